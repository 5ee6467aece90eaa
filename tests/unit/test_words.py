"""Every reason can be said, to an inspector or an agent, in French and in English."""

import re
from typing import get_args

import pytest

from ringfence.decision import Reason
from ringfence.rules.words import Language, say, words

OF_THE_QUESTION = {
    Reason.INVALID_NUMBER,
    Reason.UNKNOWN_CAMPAIGN,
    Reason.UNSUPPORTED_DESTINATION,
}
"""Not of the law."""

every_reason = pytest.mark.parametrize("reason", Reason)


@every_reason
@pytest.mark.parametrize("language", get_args(Language))
def test_every_reason_is_one_short_sentence(reason: Reason, language: Language) -> None:
    sentence = say(reason, language)

    assert re.fullmatch(r"[A-ZÀ][^.\n]+[^\s.]\.", sentence)
    assert len(sentence) < 160


@every_reason
def test_no_two_languages_say_the_same(reason: Reason) -> None:
    assert say(reason, "fr") != say(reason, "en")


def test_no_two_reasons_say_the_same() -> None:
    assert len({words(reason).french for reason in Reason}) == len(Reason)
    assert len({words(reason).english for reason in Reason}) == len(Reason)


@every_reason
def test_french_is_set_as_french_is(reason: Reason) -> None:
    sentence = say(reason, "fr")

    assert not re.search(r"\s[,.]", sentence)
    assert not re.search(r"[^\u00a0][:;?!]", sentence)
    assert "'" not in sentence
    assert "  " not in sentence


@every_reason
def test_no_letter_is_lost_in_a_windows_list(reason: Reason) -> None:
    for language in get_args(Language):
        say(reason, language).encode("cp1252")
    words(reason).sources.encode("cp1252")


@every_reason
def test_what_the_law_decides_cites_it(reason: Reason) -> None:
    cited = words(reason).articles

    assert bool(cited) is (reason not in OF_THE_QUESTION)
    assert len(set(cited)) == len(cited)


def test_that_a_consent_has_expired_is_true_of_insurance_too() -> None:
    assert "un an au plus, trente jours pour l’assurance" in say(Reason.CONSENT_EXPIRED, "fr")
    assert "one year at most, thirty days for insurance" in say(Reason.CONSENT_EXPIRED, "en")


def test_articles_are_named_in_one_line() -> None:
    assert words(Reason.REFUSED).sources == (
        "C. conso., art. R223-3; C. conso., art. L221-16; C. conso., art. D223-9 al. 3"
    )
