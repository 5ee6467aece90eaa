"""`ringfence decide`: conformance vectors through the whole path, one JSON line a case."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ringfence import vectors
from ringfence.cli.options import stops_on
from ringfence.rules import france
from ringfence.rules.rulebook import Case, Interpretation, Rule

__all__ = ["decide"]


def decide(
    file: Annotated[Path, typer.Argument(help="Vectors in JSON; `-` reads standard input.")],
    interpretation: Annotated[
        Interpretation | None, typer.Option(help="Instead of the one the file names.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Add what every rule answers, with its articles.")
    ] = False,
) -> None:
    """Decide every case of a file: events are folded into rows, and the rows decided on.

    Prints `{"name", "verdict", "reason", "retry_at"}` a line. Exit status 1 if an expectation is
    not met or a key is not the one given, 2 if the file cannot be read.
    """
    with stops_on(OSError, ValueError):
        world = _world(file, interpretation)
        failures = list(vectors.wrong_keys(world))
        for case, result in zip(world.cases, vectors.run(world), strict=True):
            line: dict[str, object] = {**result.line()}
            if explain:
                line["rules"] = _answers(world, case)
            # Bytes, because a case may have a name that the terminal's encoding lacks.
            typer.echo(msgspec.json.encode(line))
            if result.met is False:
                failures.append(_unmet(case, result))
    for failure in failures:
        typer.echo(f"ringfence: {failure}", err=True)
    raise typer.Exit(1 if failures else 0)


def _world(file: Path, interpretation: Interpretation | None) -> vectors.World:
    data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    try:
        world = vectors.read(data)
    except msgspec.DecodeError as error:
        msg = f"{file}: {error}"
        raise ValueError(msg) from error
    if interpretation is None:
        return world
    return msgspec.structs.replace(world, interpretation=interpretation)


def _unmet(case: vectors.VectorCase, result: vectors.Result) -> str:
    got = {field: value for field, value in result.line().items() if field != "name"}
    expected, decided = (msgspec.json.encode(value).decode() for value in (case.expect, got))
    return f"case {case.name!r}: expected {expected}, got {decided}"


def _answers(world: vectors.World, case: vectors.VectorCase) -> list[dict[str, object]]:
    """Give every rule's answer to the question that the case comes to; none if it is malformed."""
    book = france.rulebook(world.interpretation)
    asked: list[Case] = []
    listening = msgspec.structs.replace(book, rules=(Rule("what is asked", (), asked.append),))
    vectors._decide(world, listening, case)  # noqa: SLF001 - `run` takes no rulebook
    return [
        {
            "asks": rule.asks,
            "articles": [article.name for article in rule.articles],
            "answer": _answer(rule, question),
        }
        for question in asked[:1]
        for rule in book.rules
    ]


def _answer(rule: Rule, question: Case) -> dict[str, str | None] | None:
    answer = rule.answer(question)
    if answer is None:
        return None
    until = None if answer.until is None else datetime.fromtimestamp(answer.until, UTC)
    return {
        "verdict": answer.verdict.value,
        "reason": answer.reason.value,
        "until": None if until is None else until.isoformat().replace("+00:00", "Z"),
    }
