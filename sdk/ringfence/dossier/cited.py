"""The articles that a document cites, as it quotes them at its end."""

from collections.abc import Iterable

from ringfence.decision import Reason
from ringfence.rules.rulebook import Article
from ringfence.rules.words import words

__all__ = ["cited"]


def cited(reasons: Iterable[Reason]) -> tuple[Article, ...]:
    """Give the articles behind the reasons, each once, by name.

    Several may have one name: a paragraph that holds two rules is quoted for each that is cited.
    """
    found = {article for reason in set(reasons) for article in words(reason).articles}
    return tuple(sorted(found, key=lambda article: (article.name, article.quote)))
