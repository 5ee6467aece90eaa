"""What the demo shows while it plays, and the summary at the end."""

import numpy as np
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ringfence.demo.dialer import Tally
from ringfence.demo.play import Play
from ringfence.demo.stage import Actor

__all__ = ["picture", "summary"]

_COLOURS = {"ALLOW": "green", "DENY": "red", "DEFER": "yellow"}


def picture(play: Play) -> RenderableType:
    """Draw the moment."""
    parts: list[RenderableType] = [Text(f"▶ {play.scene}", style="bold")]
    if play.world is not None:
        paris = play.world.now.astimezone().strftime("%A %d %B %Y, %H:%M UTC%z")
        parts.append(Text(f"  rehearsal: the clocks of ledger and gates were set to {paris}"))
    if play.tally.micros:
        parts += [_verdicts(play.tally), _speed(play.tally)]
    if play.gates:
        parts.append(_gates(play.gates))
    parts.append(_facts(play))
    return Panel(Group(*parts), title="ringfence", subtitle="no call without a ground")


def summary(play: Play) -> RenderableType:
    return Group(picture(play), _closing(play))


def _closing(play: Play) -> Text:
    broken = [fact for fact in play.facts if not fact.held]
    if broken:
        return Text(f"{len(broken)} of {len(play.facts)} facts did not hold", style="bold red")
    return Text(f"all {len(play.facts)} facts held", style="bold green")


def _verdicts(tally: Tally) -> Table:
    table = Table("verdict", "reason", "calls", "", title="verdicts by reason", box=None)
    total = sum(tally.reasons.values())
    for (verdict, reason), calls in tally.reasons.most_common():
        bar = "█" * max(1, round(40 * calls / total))
        colour = _COLOURS.get(verdict, "white")
        table.add_row(f"[{colour}]{verdict}", reason, str(calls), f"[{colour}]{bar}")
    return table


def _speed(tally: Tally) -> Text:
    p50, p99, p999 = np.percentile(tally.micros, (50, 99, 99.9)) / 1000
    return Text(
        f"  {tally.per_second:,.0f} calls/s gated over FastAGI;"
        f" connection to verdict p50 {p50:.1f} ms, p99 {p99:.1f} ms, p99.9 {p999:.1f} ms"
    )


def _gates(gates: list[Actor]) -> Table:
    head = ("gate", "link", "rows", "change", "age", "outbox", "state")
    table = Table(*head, title="replicas", box=None)
    for gate in gates:
        principals = gate.status.get("principals")
        if not isinstance(principals, dict):
            table.add_row(gate.name, "starting")
            continue
        for one in principals.values():
            age = "-" if one["age"] is None else f"{one['age']:.1f} s"
            rows = f"{one['grounds']} + {one['restraints']}"
            said = (str(gate.status[key]) for key in ("link", "outbox"))
            link, outbox = said
            table.add_row(
                gate.name, link[:40], rows, str(one["seq"]), age, outbox, one["doubt"] or "vouches"
            )
    return table


def _facts(play: Play) -> Text:
    text = Text()
    for fact in play.facts:
        text.append("  ✔ " if fact.held else "  ✘ ", style="green" if fact.held else "bold red")
        text.append(fact.text + "\n")
    return text
