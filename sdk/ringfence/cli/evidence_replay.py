"""`ringfence evidence replay`: every recorded decision, decided again."""

from datetime import UTC, datetime
from time import monotonic
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from ringfence.cli.evidence_folder import (
    AnyConfig,
    Folder,
    evidence_of,
    going_through,
    load_any,
)
from ringfence.cli.options import UsageError, stops_on
from ringfence.config import ConfigError
from ringfence.evidence.record import EvidenceError, Place
from ringfence.evidence.replay import Answered, Difference, Replayed
from ringfence.evidence.replay import replay as decide_again
from ringfence.evidence.segment import records
from ringfence.rules.rulebook import Interpretation
from ringfence.rules.words import words

__all__ = ["replay"]


def replay(
    config: AnyConfig = None,
    evidence: Folder = None,
    interpretation: Annotated[
        Interpretation | None,
        typer.Option(help="Decide in this reading, instead of the one recorded."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Decide every record again, with the rulebook of its version and the terms of its time.

    Names the first that does not say what follows from it, and counts them all. Whether the records
    are those the gate wrote, `verify` tells. Exit status 0: none differs; 1: some do; 2: not done.
    """
    with stops_on(ConfigError, EvidenceError, OSError, UsageError):
        folder = evidence_of(load_any(config), evidence)
        began = monotonic()
        with going_through(folder, "replay") as told:

            def read(place: Place, so_far: Replayed) -> None:
                said = f"{so_far.decisions} decisions, {so_far.differing} differ"
                told(place.chain, place.segment, said)

            result = decide_again(records(folder), interpretation=interpretation, told=read)
        seconds = monotonic() - began
    if json:
        typer.echo(msgspec.json.encode(_written(result)))
    else:
        _tell(result, seconds)
    raise typer.Exit(1 if result.differing else 0)


def _tell(result: Replayed, seconds: float) -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    rate = result.decisions / seconds if seconds else 0
    console.print(
        f"{result.decisions} decisions in {seconds:.1f} s ({rate:.0f}/s), {result.differing}"
        " differ",
        style="red" if result.differing else "green",
    )
    if result.first is not None:
        _tell_first(console, result.first)


def _tell_first(console: Console, first: Difference) -> None:
    place, record = first.place, first.record
    console.print(
        f"the first is record {place.number} in segment {place.segment} of chain {place.chain}"
        f" ({place.gate}): call {record.call} for {record.campaign}, {_instant(record.at)}"
    )
    console.print(f"  recorded  {_answer(first.recorded)}")
    if first.replayed is None:
        console.print(f"  follows   cannot be told: {first.why}")
    else:
        console.print(f"  follows   {_answer(first.replayed)}")


def _answer(answer: Answered) -> str:
    again = "" if answer.retry_at is None else f", again from {_instant(answer.retry_at)}"
    sources = words(answer.reason).sources
    return f"{answer.verdict.upper()} {answer.reason}{again}" + (f" ({sources})" if sources else "")


def _instant(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _written(result: Replayed) -> dict[str, object]:
    first = result.first
    written: dict[str, object] = {"decisions": result.decisions, "differing": result.differing}
    written["first"] = first and {
        **msgspec.structs.asdict(first.place),
        "at": datetime.fromtimestamp(first.record.at, UTC),
        "decision": first.record.id,
        "call": first.record.call,
        "campaign": first.record.campaign,
        "rulebook": first.record.rulebook,
        "recorded": _answered(first.recorded),
        "replayed": first.replayed and _answered(first.replayed),
        "why": first.why,
    }
    return written


def _answered(answer: Answered) -> dict[str, object]:
    retry_at = answer.retry_at
    return {
        "verdict": answer.verdict,
        "reason": answer.reason,
        "retry_at": None if retry_at is None else datetime.fromtimestamp(retry_at, UTC),
        "articles": [article.name for article in words(answer.reason).articles],
    }
