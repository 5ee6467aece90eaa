import csv
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.filing import DAY, TUESDAY, changed, decided, file, filed, refile
from typer.testing import CliRunner, Result

from ringfence.cli.app import app
from ringfence.decision import Reason, Verdict
from ringfence.evidence.chain import Filed
from ringfence.evidence.record import AnyRecord, Decided, Dropped
from ringfence.evidence.recorder import Recorder
from ringfence.evidence.segment import segments
from ringfence.gate import system_clock
from ringfence.ledger.store import Store
from ringfence.ledger.witness import Claim
from ringfence.row import NO_FACTS
from ringfence.wire import ChainHead

TOML = """
[gate]
id = "tunis-1"
data = "gate"
principals = ["acme"]

[ledger]
database = "ledger.sqlite"

[principals.acme]
secret = "00112233445566778899aabbccddeeff"
"""
HEAD = {"gate": "a", "chain": "b", "number": 1, "link": "", "heard": "2026-11-24T12:00:00Z"}
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Office:
    """A configuration, and the evidence of its gate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "ringfence.toml"
        self.config.write_text(TOML)
        self.evidence = folder / "gate" / "evidence"
        self.evidence.parent.mkdir()

    def file(self, *batches: list[AnyRecord]) -> Path:
        return file(self.evidence, *batches)

    def run(self, command: str, *arguments: str | Path) -> Result:
        given = [command, "--config", self.config, *arguments]
        return CliRunner().invoke(app, ["evidence", *map(str, given)])

    def hear(self, chain: Path, last: Filed, at: datetime = NOON) -> None:
        """Let a ledger hear that this record is the newest."""
        with Store(self.folder / "ledger.sqlite", 1) as store:
            store.register("acme", {}, {})
            head = ChainHead("tunis-1", chain.name, last.number, last.link, at)
            store.commit([], [Claim("acme", head, NOON)])


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def cut(chain: Path) -> Filed:
    """Take the newest record away, and give it."""
    segment, there = filed(chain)
    refile(segment, there[:-1])
    return there[-1]


# --- verify --------------------------------------------------------------------------------------


def test_what_holds_is_told_with_what_it_was_compared_with(office: Office) -> None:
    chain = office.file([decided()], [decided(TUESDAY + 60)])
    _, there = filed(chain)
    office.hear(chain, there[-1])

    result = office.run("verify")

    assert (result.exit_code, result.stderr) == (0, "")
    told = [line.split() for line in result.stdout.splitlines()]
    assert ["chain", chain.name] in told
    assert ["witnessed", "to", "record", "6", "of", "6"] in told
    assert told[-1] == ["all", "holds"]


def test_what_does_not_hold_is_named_and_the_status_says_so(office: Office) -> None:
    chain = office.file([decided()] * 5)
    segment, there = filed(chain)
    refile(segment, [record for record in there if record.number != 4])

    result = office.run("verify")

    assert result.exit_code == 1
    assert f"{chain.name}/000001.journal: record 4 was removed: after 3 comes 5\n" in result.stdout
    assert result.stdout.endswith("does not hold: 1 found\n")


def test_a_cut_is_found_through_the_database_of_the_ledger(office: Office) -> None:
    chain = office.file([decided()] * 5)
    office.hear(chain, cut(chain))

    result = office.run("verify")

    assert result.exit_code == 1
    assert "record 7 is missing from the end: the ledger witnessed record 7" in result.stdout


def test_a_cut_is_found_through_what_the_ledger_wrote(office: Office, tmp_path: Path) -> None:
    chain = office.file([decided()] * 5)
    office.hear(chain, cut(chain))
    heads = CliRunner().invoke(app, ["ledger", "heads", "--config", str(office.config)])
    file = tmp_path / "heads.json"
    file.write_text(heads.stdout)

    result = CliRunner().invoke(
        app, ["evidence", "verify", "--evidence", str(office.evidence), "--heads", str(file)]
    )

    assert heads.exit_code == 0
    assert result.exit_code == 1
    assert "record 7 is missing from the end" in result.stdout


@pytest.mark.parametrize("gone", ["chain", "folder"])
def test_a_chain_that_is_gone_is_found_though_nothing_is_left(office: Office, gone: str) -> None:
    chain = office.file([decided()])
    _, there = filed(chain)
    office.hear(chain, there[-1])
    shutil.rmtree(chain if gone == "chain" else office.evidence)

    result = office.run("verify")

    assert result.exit_code == 1
    assert f"{chain.name}: the whole chain is missing" in result.stdout


def test_half_a_record_at_the_end_is_told_and_is_no_fault(office: Office) -> None:
    """A kill leaves it, and the gate may never start again."""
    chain = office.file([decided()] * 5)
    segment, there = filed(chain)
    office.hear(chain, there[-2])
    segment.path.write_bytes(segment.path.read_bytes()[:-3])

    result = office.run("verify")
    told = office.run("verify", "--json")

    assert result.exit_code == 0
    assert "000001.journal proves nothing from record 7 on" in result.stdout
    assert "a process was killed while it wrote them" in result.stdout
    assert result.stdout.endswith("all holds\n")
    assert [it["what"] for it in json.loads(told.stdout)["chains"][0]["findings"]] == ["torn"]


def test_what_no_ledger_was_told_of_is_found(office: Office) -> None:
    chain = office.file([decided()] * 5)
    office.hear(chain, filed(chain)[1][3])

    result = office.run("verify")

    assert result.exit_code == 1
    assert "records 5 to 7 were never witnessed, and there are some of 2026-11-24" in result.stdout


@pytest.mark.parametrize("source", ["database", "file"])
def test_a_record_that_says_more_was_dropped_than_could_be_is_found(
    office: Office, source: str
) -> None:
    """By the time at which the ledger was told, too: it says so in both ways."""
    then = TUESDAY - 1000 * DAY
    chain = office.file(
        [decided(then - 300 * DAY)] * 2, [decided(then)], [Dropped(TUESDAY, 1096, ((1, 7),))]
    )
    first, last = filed(chain, 0)[1][-1], filed(chain)[1][-1]
    office.hear(chain, first, datetime.fromtimestamp(then, UTC))
    office.hear(chain, last)
    for segment in segments(chain)[:2]:
        segment.path.unlink()
    arguments: list[str | Path] = []
    if source == "file":
        heads = CliRunner().invoke(app, ["ledger", "heads", "--config", str(office.config)])
        (office.folder / "heads.json").write_text(heads.stdout)
        arguments = ["--heads", office.folder / "heads.json"]

    result = office.run("verify", *arguments)

    assert result.exit_code == 1
    assert (
        "records 5 to 7 were removed before the time: the ledger was told of record 4 on"
        " 2024-02-28 09:30:00 UTC"
    ) in result.stdout


def test_without_heads_it_says_what_was_not_checked(office: Office) -> None:
    office.file([decided()])

    alone = office.run("verify")
    with Store(office.folder / "ledger.sqlite", 1):
        pass
    unheard = office.run("verify")

    missing = "whether its end was cut off, or all of it written anew, is not checked"
    assert (alone.exit_code, unheard.exit_code) == (0, 0)
    assert "there are no heads to compare with (--heads, or a configuration with a [ledger]" in (
        alone.stdout
    )
    assert missing in alone.stdout
    assert f"the ledger has heard no head of it: {missing}" in unheard.stdout


def test_the_same_is_told_as_json(office: Office) -> None:
    chain = office.file([decided()] * 5)
    segment, there = filed(chain)
    refile(segment, [record for record in there if record.number != 4])

    result = office.run("verify", "--json")

    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert told["holds"] is False
    (only,) = told["chains"]
    assert (only["chain"], only["records"], only["compared"]) == (chain.name, 6, False)
    assert only["findings"] == [
        {
            "what": "removed",
            "number": 4,
            "last": 4,
            "segment": "000001.journal",
            "words": "record 4 was removed: after 3 comes 5",
        }
    ]


@pytest.mark.parametrize(
    "heads",
    ["", "{}", '[{"gate": "a"}]', json.dumps([{**HEAD, "link": "xx"}])],
    ids=["empty", "object", "half", "no link"],
)
def test_a_file_that_holds_no_heads_is_named(office: Office, heads: str) -> None:
    office.file([decided()])
    file = office.folder / "heads.json"
    file.write_text(heads)

    result = office.run("verify", "--heads", file)

    assert result.exit_code == 2
    assert result.stderr.startswith(
        f"ringfence: --heads: {file} is not what `ringfence ledger heads` writes: "
    )


@pytest.mark.parametrize("command", ["verify", "replay"])
def test_where_there_is_no_evidence_it_says_so(office: Office, command: str) -> None:
    result = office.run(command)

    assert result.exit_code == 2
    assert result.stderr == f"ringfence: {office.evidence}: there is no evidence\n"


@pytest.mark.parametrize("command", ["verify", "replay"])
def test_a_folder_that_is_not_there_is_a_slip(office: Office, command: str) -> None:
    """And no crime, whatever the ledger has witnessed."""
    chain = office.file([decided()])
    office.hear(chain, filed(chain)[1][-1])

    result = office.run(command, "--evidence", office.folder / "evidense")

    assert result.exit_code == 2
    assert "evidense: there is no evidence" in result.stderr


def test_where_nothing_says_where_the_evidence_is_it_asks() -> None:
    result = CliRunner().invoke(app, ["evidence", "verify"])

    assert result.exit_code == 2
    assert result.stderr == (
        "ringfence: give --config with the gate, or --evidence with the folder\n"
    )


# --- replay --------------------------------------------------------------------------------------


def wrong() -> Decided:
    return decided(ground=NO_FACTS, verdict=Verdict.ALLOW, reason=Reason.CONSENT)


def test_a_replay_without_a_difference_says_how_many(office: Office) -> None:
    office.file([decided()] * 3)

    result = office.run("replay")

    assert result.exit_code == 0
    assert result.stdout.startswith("3 decisions in ")
    assert result.stdout.endswith(", 0 differ\n")


def test_the_first_that_differs_is_told_with_both_answers_and_their_articles(
    office: Office,
) -> None:
    chain = office.file([decided(), wrong(), wrong()])

    result = office.run("replay")

    assert result.exit_code == 1
    first, *lines = result.stdout.splitlines()
    assert first.endswith(", 2 differ")
    assert lines == [
        (
            f"the first is record 4 in segment 1 of chain {chain.name} (tunis-1): call c-1 for"
            " acme-fibre, 2026-11-24 09:30:00 UTC"
        ),
        (
            "  recorded  ALLOW consent (C. conso., art. L223-1 al. 1; C. conso., art. L223-1 al. 2;"
            " C. conso., art. R223-1)"
        ),
        ("  follows   DENY no_ground (C. conso., art. L223-1 al. 1; C. conso., art. L223-1 al. 3)"),
    ]


def test_a_difference_is_told_as_json(office: Office) -> None:
    saturday = decided(TUESDAY + 4 * DAY)
    office.file([saturday, wrong(), decided(rulebook="france/1")])

    result = office.run("replay", "--json")

    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (told["decisions"], told["differing"]) == (3, 2)
    assert told["first"]["number"] == 4
    assert told["first"]["recorded"]["reason"] == "consent"
    assert told["first"]["replayed"] == {
        "verdict": "deny",
        "reason": "no_ground",
        "retry_at": None,
        "articles": ["C. conso., art. L223-1 al. 1", "C. conso., art. L223-1 al. 3"],
    }


def test_what_cannot_be_told_says_why(office: Office) -> None:
    office.file([decided(rulebook="france/1")])

    result = office.run("replay")

    assert result.exit_code == 1
    assert "  follows   cannot be told: no rulebook 'france/1' in this release" in result.stdout


def test_another_reading_is_tried_on_purpose(office: Office) -> None:
    easter = datetime(2027, 3, 26, 10, tzinfo=UTC).timestamp()
    office.file([decided(easter, places=("FR-AM",))])

    assert office.run("replay").exit_code == 0
    letter = office.run("replay", "--interpretation", "letter")

    assert letter.exit_code == 1
    assert "  recorded  DEFER holiday, again from 2027-03-30 08:00:00 UTC" in letter.stdout
    assert "  follows   ALLOW consent" in letter.stdout


def test_a_file_that_cannot_be_read_ends_a_replay(office: Office) -> None:
    chain = office.file([decided()], [decided()])
    path = segments(chain)[0].path
    path.write_bytes(path.read_bytes()[:-1])

    result = office.run("replay")

    assert result.exit_code == 2
    assert str(path) in result.stderr


# --- export --------------------------------------------------------------------------------------


def test_a_sheet_is_written_of_a_campaign_and_period(office: Office) -> None:
    office.file([decided(), decided(TUESDAY + DAY), decided(TUESDAY + 2 * DAY)])
    out = office.folder / "out.csv"

    result = office.run(
        "export",
        "--campaign",
        "acme-fibre",
        "--from",
        "2026-11-24",
        "--to",
        "25/11/2026",
        "-o",
        out,
    )

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{out}: 2 decisions of acme-fibre\n"
    with out.open(encoding="utf-8", newline="") as file:
        assert [row["record"] for row in csv.DictReader(file)] == ["3", "4"]


@pytest.mark.parametrize(
    ("first", "last", "name", "said"),
    [
        ("2026-11-25", "2026-11-24", "out.csv", "--from: 2026-11-25 is after --to 2026-11-24"),
        ("24.11.26", "2026-11-24", "out.csv", "--from: "),
        ("2026-11-24", "tomorrow", "out.csv", "--to: "),
        ("2026-11-24", "2026-11-24", "out.xlsx", "out.xlsx ends in '.xlsx': give one of .csv"),
    ],
    ids=["order", "from", "to", "extension"],
)
def test_what_cannot_be_written_is_told(
    office: Office, first: str, last: str, name: str, said: str
) -> None:
    office.file([decided()])
    out = office.folder / name

    result = office.run(
        "export", "--campaign", "acme-fibre", "--from", first, "--to", last, "-o", out
    )

    assert result.exit_code == 2
    assert said in result.stderr
    assert not out.exists()


# --- retain --------------------------------------------------------------------------------------


def aged(office: Office) -> Path:
    """Evidence of two decisions, of which one is past its retention by this machine's clock."""
    now = system_clock().utc
    return office.file(
        [decided(now - 1200 * DAY), decided(now - 1000 * DAY, to="+33639980002")], []
    )


def test_what_is_past_its_retention_goes_and_the_rest_verifies(office: Office) -> None:
    chain = aged(office)

    told = office.run("retain", "--dry-run")
    before = office.run("verify", "--json")
    done = office.run("retain")
    again = office.run("retain")
    after = office.run("verify", "--json")

    kept = "in 1 segments of which 0 as a whole; retention 1096 days"
    assert (told.exit_code, done.exit_code, again.exit_code) == (0, 0, 0)
    assert told.stdout == f"{chain.name}: 1 records would be dropped, {kept}\n"
    assert done.stdout == f"{chain.name}: 1 records dropped, {kept}\n"
    assert again.stdout.startswith(f"{chain.name}: 0 records dropped, in 0 segments")
    assert [json.loads(it.stdout)["chains"][0]["dropped"] for it in (before, after)] == [0, 1]
    assert json.loads(after.stdout)["holds"] is True


def test_each_gate_that_shares_a_folder_drops_its_own_and_sees_the_calls_of_the_others(
    office: Office,
) -> None:
    now = system_clock().utc
    old = now - 1200 * DAY
    first = file(
        office.evidence / "1",
        [decided(old), decided(old, to="+33639980002")],
        [],
        gate="tunis-1-1",
    )
    called = decided(now - DAY, verdict=Verdict.ALLOW)
    tenth = file(office.evidence / "10", [called], gate="tunis-1-10")

    verified = office.run("verify", "--json")
    done = office.run("retain")

    told = [chain["chain"] for chain in json.loads(verified.stdout)["chains"]]
    assert told == [first.name, tenth.name]
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        [f"{first.name}:", "1"],  # the call to the other number; this one was called since
        [f"{tenth.name}:", "0"],
    ]


def test_the_retention_is_that_of_the_configuration_or_the_command(office: Office) -> None:
    aged(office)
    office.config.write_text(TOML + "[gate.evidence]\nretention_days = 1300\n")

    configured = office.run("retain", "--dry-run")
    given = office.run("retain", "--dry-run", "--days", "1150")
    too_short = office.run("retain", "--dry-run", "--days", "1095")

    assert "0 records would be dropped" in configured.stdout
    assert "1 records would be dropped" in given.stdout
    assert too_short.exit_code == 2
    assert "a retention of 1095 days: the proof is kept for 1096 days at least" in too_short.stderr


def test_a_running_gate_is_named_and_nothing_is_touched(office: Office) -> None:
    aged(office)
    recorder = Recorder("tunis-1", office.evidence, release="1.0")
    recorder.open(TUESDAY)

    refused = office.run("retain")
    looked = office.run("retain", "--dry-run")
    recorder.close()

    assert refused.exit_code == 2
    assert refused.stderr == (
        f"ringfence: gate tunis-1 is running and writes {office.evidence}: stop it, run this, and"
        " start it again\n"
    )
    assert looked.exit_code == 0


def test_evidence_of_another_gate_is_not_touched(office: Office) -> None:
    file(office.evidence, [decided()], gate="casablanca-1")

    result = office.run("retain")

    assert result.exit_code == 2
    assert "gate tunis-1 has begun no chain there" in result.stderr


def test_evidence_that_was_altered_ends_it(office: Office) -> None:
    chain = aged(office)
    segment, there = filed(chain, 0)
    refile(segment, [changed(record, link=bytes(32)) for record in there])

    result = office.run("retain")

    assert result.exit_code == 2
    assert "000001.sealed: record 1 does not follow" in result.stderr
