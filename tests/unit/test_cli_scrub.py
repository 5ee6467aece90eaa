"""`ringfence scrub` without a gate: what it is told, what it writes, what it shows."""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from ringfence.call import Call
from ringfence.cli.app import app
from ringfence.cli.moment import SILENCE, NoAnswerError, await_ready
from ringfence.cli.scrub import ATTEMPTS, _decide, _read_time, _replacing
from ringfence.cli.summary import as_json, drawn, in_short, troubles
from ringfence.config import GateSettings, PrincipalSettings, Settings
from ringfence.decision import DOUBTS, Decision, Reason, Verdict
from ringfence.gate import Gate
from ringfence.rules.words import Language
from ringfence.scrub import Order, Tally, When
from ringfence.status import Readiness

AT = datetime(2026, 12, 1, 9, tzinfo=UTC)
ALLOW = Decision(Verdict.ALLOW, Reason.CONSENT)


# --- what it is told ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-12-01 10:00", AT),
        ("01/12/2026 10:00", AT),
        ("2026-07-01 10:00", datetime(2026, 7, 1, 8, tzinfo=UTC)),
        ("2026-12-01T10:00+04:00", datetime(2026, 12, 1, 6, tzinfo=UTC)),
        ("2026-12-01T10:00Z", datetime(2026, 12, 1, 10, tzinfo=UTC)),
    ],
)
def test_a_time_without_an_offset_is_that_of_paris(text: str, at: datetime) -> None:
    """The clock of these tests is Casablanca's."""
    assert _read_time(text) == at


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "leads.csv").write_text("tel;nom\n+33639980001;A\n")
    (tmp_path / "plain.csv").write_text("nom;ville\nA;B\n")
    (tmp_path / "again.csv").write_text("tel;verdict\n+33639980001;allow\n")
    (tmp_path / "ringfence.toml").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("leads.csv -o leads.csv", "leads.csv is to be written, and is another of the files too"),
        ("leads.csv -o ./new/../leads.csv", "is another of the files too"),
        ("leads.csv -o out.csv --json out.csv", "out.csv is to be written, and is another"),
        ("leads.csv -o .", ". is no regular file"),
        ("leads.csv -o none/out.csv", "none/out.csv: there is no such folder"),
        ("none.csv -o out.csv", "none.csv: No such file or directory"),
        ("plain.csv -o out.csv", "no column for the number; there are 'nom', 'ville'"),
        ("again.csv -o out.csv", "there is a column 'verdict' already"),
        ("leads.csv -o out.csv --column tel=nom", "--column: 'tel=nom' is not ROLE=NAME"),
        ("leads.csv -o out.csv --column number=gsm", "no column is called 'gsm'"),
        ("leads.csv -o out.csv --at 2026-12-01", "--at: '2026-12-01' is a date without a time"),
        ("leads.csv -o out.csv --at tomorrow", "not a date like 31/12/2026"),
        ("leads.csv -o out.csv --caller-id abc", "--caller-id: not a telephone number: 'abc'"),
        ("leads.csv -o out.csv", "the configuration has no table [gate]"),
    ],
)
def test_what_cannot_be_done_says_why_and_writes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: str, complaint: str
) -> None:
    monkeypatch.chdir(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    command = ["scrub", *words.split(), "--campaign", "c", "--config", "ringfence.toml"]

    ended = CliRunner().invoke(app, command)

    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("ringfence: ")
    assert complaint in ended.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


# --- what it writes -------------------------------------------------------------------------------


def test_a_list_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("yesterday's")

    with _replacing(target, "utf-8-sig") as file:
        file.write("é\r\n")
        assert target.read_text() == "yesterday's"

    assert target.read_bytes() == b"\xef\xbb\xbf\xc3\xa9\r\n"
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [target]


def test_half_a_list_is_never_left(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("yesterday's")

    def write_half() -> None:
        with _replacing(target, "utf-8") as file:
            file.write("half of ")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()

    assert target.read_text() == "yesterday's"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_stays_one(tmp_path: Path) -> None:
    link, target = tmp_path / "link.csv", tmp_path / "out.csv"
    link.symlink_to(target)

    with _replacing(link, "utf-8") as file:
        file.write("new")

    assert link.is_symlink()
    assert target.read_text() == "new"


# --- a gate that comes to doubt -------------------------------------------------------------------


class Hesitant(Gate):
    """A gate that knows the answer when it is asked often enough, or is told to be ready."""

    def __init__(self, doubt: Reason, times: int, missing: dict[str, str]) -> None:
        super().__init__(
            Settings(
                gate=GateSettings(id="g", data=Path("/nowhere"), principals=["acme"]),
                principals={"acme": PrincipalSettings(secret="00" * 16)},
            )
        )
        self._answers = [Decision(Verdict.DEFER, doubt)] * times
        self._missing = missing
        self.waited: list[float | None] = []

    def check_many(self, calls: Iterable[Call], at: datetime | None = None) -> list[Decision]:
        assert at == AT
        answer = self._answers.pop() if self._answers else ALLOW
        return [answer for _ in calls]

    async def ready(self, timeout: float | None = None) -> Readiness:
        self.waited.append(timeout)
        return Readiness(self._missing)


CALLS = [Call(to="+33639980001", campaign="c")] * 2


@pytest.mark.parametrize("doubt", sorted(DOUBTS))
async def test_no_doubt_of_the_gate_enters_the_list(doubt: Reason) -> None:
    """A list full of `not_ready` would be of no use to anybody."""
    gate = Hesitant(doubt, ATTEMPTS - 1, {})

    assert await _decide(gate, AT, 0.1, CALLS) == [ALLOW, ALLOW]


async def test_a_gate_that_stays_in_doubt_ends_the_list() -> None:
    with pytest.raises(NoAnswerError, match="no answer within 1 s: acme: stale"):
        await _decide(Hesitant(Reason.STALE, 1, {"acme": "stale"}), AT, 1, CALLS)
    with pytest.raises(NoAnswerError, match="does not know the answer any more: forked"):
        await _decide(Hesitant(Reason.FORKED, ATTEMPTS, {}), AT, 1, CALLS)


async def test_a_long_wait_is_not_silent(capsys: pytest.CaptureFixture[str]) -> None:
    gate = Hesitant(Reason.STALE, 0, {"acme": "not_ready"})
    for patience in (SILENCE, 30):
        with pytest.raises(NoAnswerError, match=f"no answer within {patience:g} s"):
            await await_ready(gate, patience)

    await await_ready(Hesitant(Reason.STALE, 0, {}), 30)

    assert gate.waited == [SILENCE, SILENCE, 30 - SILENCE]
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "waiting up to 30 s for an answer: acme: not_ready\n")


# --- what it shows --------------------------------------------------------------------------------

TALLY = Tally(
    answers=Counter(
        {
            (Verdict.ALLOW, Reason.CONSENT, When.NOW): 250_000,
            (Verdict.DEFER, Reason.OUTSIDE_HOURS, When.TODAY): 124_999,
            (Verdict.DEFER, Reason.OUTSIDE_HOURS, When.WEEK): 1,
            (Verdict.DENY, Reason.NO_GROUND, When.NEVER): 625_000,
        }
    )
)


def order(language: Language) -> Order:
    return Order(campaign="acme-fibre", caller_id=None, at=AT, language=language)


def shown(tally: Tally, language: Language) -> list[str]:
    paper = Console(width=80, file=StringIO(), record=True)
    paper.print(drawn(tally, order(language)))
    return paper.export_text().splitlines()


def test_the_summary_says_when_and_why() -> None:
    lines = [re.sub(r" +", " ", line).strip() for line in shown(TALLY, "en")]

    assert lines[:8] == [
        "acme-fibre, Tuesday 2026-12-01 10:00 in Paris: 1,000,000 leads",
        "leads share",
        "then 250,000 25.0% █████",
        "later that day 124,999 12.5% ██▍",
        "within seven days 1 0.0%",
        "later still 0 0.0%",
        "never, as things stand 625,000 62.5% ████████████▌",
        "leads share",
    ]
    assert [line for line in lines[8:] if "%" in line] == [
        "deny no_ground 625,000 62.5% ████████████▌",
        "allow consent 250,000 25.0% █████",
        "defer outside_hours 125,000 12.5% ██▌",
    ]
    assert "The person has consented to be called for this offer" in " ".join(lines)


def test_the_summary_speaks_french() -> None:
    lines = [re.sub(r" +", " ", line).strip() for line in shown(TALLY, "fr")]

    assert lines[0] == (
        "acme-fibre, mardi 01/12/2026 10:00 à Paris\u00a0: 1\u202f000\u202f000 contacts"
    )
    assert lines[2] == "à ce moment 250\u202f000 25,0\u00a0% █████"
    assert in_short(TALLY, order("fr"), "out.csv") == (
        "out.csv\u00a0: 1\u202f000\u202f000 contacts\u00a0; 250\u202f000 pourraient être appelés à"
        " ce moment, 125\u202f000 plus tard, 625\u202f000 jamais"
    )


def test_leads_that_are_denied_unread_are_told_of_in_the_language_that_is_asked_for() -> None:
    tally = Tally(troubles=["ligne 2"], troubled=1250)

    assert list(troubles(tally, "fr")) == [
        "1\u202f250 lignes n’ont pas pu être lues, et les appels sont interdits\u00a0:",
        "  ligne 2",
        "  …",
    ]
    assert next(troubles(tally, "en")) == "1,250 lines could not be read, and are denied:"
    assert next(troubles(Tally(troubled=1), "en")).startswith("1 line could not")
    assert list(troubles(Tally(), "fr")) == []


def test_a_list_without_leads_has_a_summary_too() -> None:
    assert "0 leads" in shown(Tally(), "en")[0]
    assert in_short(Tally(), order("en"), "o") == (
        "o: 0 leads; 0 could be called then, 0 later, 0 never"
    )


def test_the_summary_can_be_read_by_a_program() -> None:
    read = msgspec.json.decode(as_json(TALLY, order("en")))

    assert (read["campaign"], read["at"], read["leads"], read["unreadable"]) == (
        "acme-fibre", "2026-12-01T09:00:00Z", 1_000_000, 0,
    )  # fmt: skip
    assert read["when"] == {
        "now": 250_000, "today": 124_999, "week": 1, "later": 0, "unknown": 0, "never": 625_000,
    }  # fmt: skip
    assert read["reasons"][0] == {
        "verdict": "deny",
        "reason": "no_ground",
        "leads": 625_000,
        "articles": ["C. conso., art. L223-1 al. 1", "C. conso., art. L223-1 al. 3"],
        "sentence": "No consent, contract in progress or request to be called back permits this"
        " call.",
    }
