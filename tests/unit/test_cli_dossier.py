"""`evidence show`, `consent certificate` and `report` from the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from tests.unit.dossiers import NUMBER, World, at, text_of
from typer.testing import CliRunner, Result

from ringfence.cli.app import app
from ringfence.decision import Reason, Verdict
from ringfence.event import Consent, Proof, Refusal
from ringfence.ledger.proofs import Proofs
from ringfence.wire import ChainHead

SHOW = ("evidence", "show", "06 39 98 00 01", "--principal", "acme")
CERTIFICATE = ("consent", "certificate", "06 39 98 00 01", "--principal", "acme")
REPORT = ("report", "--campaign", "acme-fibre", "--month", "2026-11")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A person who consented, was denied, and refused."""
    world = World(tmp_path)
    gate = world.gate()
    world.say(Consent(to=NUMBER, purpose="fibre", text="web-2026", at=at("2026-09-01T10:00")))
    gate.decide("2026-11-02T10:00", Verdict.DENY, Reason.CONSENT_EXPIRED)
    change = world.say(Refusal(to=NUMBER, at=at("2026-11-02T10:00")))
    gate.learned(at("2026-11-02T10:00") + timedelta(seconds=0.5), change)
    yield world
    world.close()


def run(world: World, *words: object, **tables: object) -> Result:
    config = world.settings(**tables)
    return CliRunner().invoke(app, [*map(str, words), "--config", str(config)])


def given(world: World) -> list[object]:
    return [word for folder in world.folders for word in ("--evidence", folder)]


# --- show -----------------------------------------------------------------------------------------


def test_a_story_is_told_in_french_or_in_english(world: World) -> None:
    french = run(world, *SHOW, *given(world))
    english = run(world, *SHOW, *given(world), "--lang", "en")

    assert (french.exit_code, english.exit_code) == (0, 0)
    assert "Consentement donné" in french.stdout
    assert "Appel interdit" in french.stdout
    assert "Acme Télécom SAS" in french.stdout
    assert "Consent given" in english.stdout
    assert "R223-1" in english.stdout


def test_a_story_is_told_as_json(world: World) -> None:
    result = run(world, *SHOW, *given(world), "--json")

    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (told["format"], told["number"]) == (1, NUMBER)
    assert [entry["entry"] for entry in told["entries"]] == ["event", "event", "decision"]
    assert told["entries"][2]["reason"] == "consent_expired"
    assert result.stdout == json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def test_a_story_is_written_as_pdf(world: World, tmp_path: Path) -> None:
    file = tmp_path / "story.pdf"

    result = run(world, *SHOW, *given(world), "--pdf", file)

    assert (result.exit_code, result.stdout) == (0, f"{file}\n")
    assert "06 39 98 00 01" in text_of(file.read_bytes())
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_by_default_the_evidence_of_the_configured_gate_is_read(world: World) -> None:
    own = {"id": "tunis-1", "data": "tunis-1", "principals": ["acme"]}

    with_gate = run(world, *SHOW, "--json", gate=own)
    never_run = run(world, *SHOW, "--json", gate={**own, "data": "nowhere"})
    without = run(world, *SHOW, "--json")

    assert len(json.loads(with_gate.stdout)["chains"]) == 1
    assert json.loads(with_gate.stdout)["gaps"] == []
    assert json.loads(never_run.stdout)["gaps"] == ["no_evidence"]
    assert json.loads(without.stdout)["gaps"] == ["no_evidence"]


def test_where_no_ledger_is_at_hand_the_story_says_so(world: World) -> None:
    elsewhere = run(world, *SHOW, *given(world), "--json", ledger={"database": "elsewhere.sqlite"})
    none = run(world, *SHOW, *given(world), "--json", ledger=None)

    assert json.loads(elsewhere.stdout)["gaps"] == ["no_ledger"]
    assert json.loads(none.stdout)["gaps"] == ["no_ledger"]
    assert len(json.loads(none.stdout)["entries"]) == 1


# --- certificate ----------------------------------------------------------------------------------


def test_a_certificate_is_written_and_the_proof_is_named_that_goes_with_it(
    world: World, tmp_path: Path
) -> None:
    form = tmp_path / "form.html"
    form.write_text("I agree")
    proofs = Proofs(tmp_path / "proofs")
    kept = proofs.keep(form)
    proof = Proof(uri=f"proof:{kept}", sha256=kept)
    when = at("2026-11-20T10:00")
    world.say(Consent(to=NUMBER, purpose="cover", text="web-2026", at=when, proof=proof))
    file = tmp_path / "certificate.pdf"

    result = run(world, *CERTIFICATE, "--purpose", "cover", "-o", file)

    assert result.exit_code == 0
    place = proofs.find(kept)
    assert place is not None
    assert result.stdout.replace("\u00a0", " ") == (
        f"{file}\nla preuve, à remettre avec lui : {place}\n"
    )
    assert run(world, *CERTIFICATE, "--purpose", "cover", "-o", file, "--lang", "en").stdout == (
        f"{file}\nthe proof, to be handed over with it: {place}\n"
    )
    assert kept in text_of(file.read_bytes())


def test_a_certificate_is_given_as_json(world: World) -> None:
    result = run(world, *CERTIFICATE, "--purpose", "fibre", "--json")

    told = json.loads(result.stdout)
    assert (result.exit_code, told["state"]) == (0, "refused")
    assert told["last_day"] == str(date(2027, 8, 31))


def test_where_there_is_no_consent_the_command_says_so_and_writes_nothing(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "certificate.pdf"

    result = run(world, *CERTIFICATE, "--purpose", "mobile", "-o", file)

    assert result.exit_code == 1
    assert result.stderr.replace("\u00a0", " ") == (
        "ringfence: le registre n’a aucun consentement du 06 39 98 00 01 pour « mobile » d’acme,"
        " dont les campagnes ont pour finalités : cover, fibre\n"
    )
    assert not file.exists()
    english = run(world, *CERTIFICATE, "--purpose", "mobile", "-o", file, "--lang", "en")
    assert english.stderr.startswith("ringfence: the ledger holds no consent of +33639980001 to")


@pytest.mark.parametrize(
    ("harm", "told"), [("altered", "ne correspond plus"), ("deleted", "fichier manquant")]
)
def test_a_proof_that_is_no_longer_what_was_kept_is_not_handed_over(
    world: World, tmp_path: Path, harm: str, told: str
) -> None:
    form = tmp_path / "form.html"
    form.write_text("I agree")
    proofs = Proofs(tmp_path / "proofs")
    kept = proofs.keep(form)
    proof = Proof(uri=f"proof:{kept}", sha256=kept)
    when = at("2026-11-20T10:00")
    world.say(Consent(to=NUMBER, purpose="cover", text="web-2026", at=when, proof=proof))
    place = proofs.find(kept)
    assert place is not None
    if harm == "altered":
        place.write_text("I never agreed")
    else:
        place.unlink()
    file = tmp_path / "certificate.pdf"

    result = run(world, *CERTIFICATE, "--purpose", "cover", "-o", file)
    as_json = run(world, *CERTIFICATE, "--purpose", "cover", "--json")

    assert (result.exit_code, result.stdout) == (1, f"{file}\n")
    assert told in result.stderr
    assert told in text_of(file.read_bytes())
    assert (as_json.exit_code, json.loads(as_json.stdout)["proof_file"]) == (1, None)


# --- report ---------------------------------------------------------------------------------------


def test_a_month_is_reported(world: World) -> None:
    result = run(world, *REPORT, *given(world))

    assert result.exit_code == 0
    assert "1 × 375 000 €" in result.stdout.replace("\u00a0", " ")
    assert "500 ms" in result.stdout.replace("\u00a0", " ")
    assert "█" in result.stdout


def test_a_month_is_reported_as_json_and_as_pdf(world: World, tmp_path: Path) -> None:
    file = tmp_path / "report.pdf"

    as_json = run(world, *REPORT, *given(world), "--json")
    as_pdf = run(world, *REPORT, *given(world), "--pdf", file, "--lang", "en")

    told = json.loads(as_json.stdout)
    assert (told["month"], told["denied"]["decisions"]) == ("2026-11", 1)
    assert told["liability"]["legal"] == 375_000
    assert as_pdf.stdout == f"{file}\n"
    assert "An upper bound, not a forecast." in text_of(file.read_bytes())


# --- evidence that is not what the ledger knows ---------------------------------------------------


@pytest.mark.parametrize("command", [SHOW, REPORT], ids=["show", "report"])
def test_evidence_that_the_ledger_knows_otherwise_is_told_first_and_in_the_exit_status(
    world: World, tmp_path: Path, command: tuple[str, ...]
) -> None:
    world.witness(msgspec.structs.replace(world.gate().head, link=bytes(32)))
    file = tmp_path / "out.pdf"

    as_text = run(world, *command, *given(world))
    as_json = run(world, *command, *given(world), "--json")
    as_pdf = run(world, *command, *given(world), "--pdf", file)

    assert [each.exit_code for each in (as_text, as_json, as_pdf)] == [1, 1, 1]
    assert "PREUVES NON CONFORMES" in "".join(as_text.stdout.splitlines()[:3])
    for each in (as_text, as_json, as_pdf):
        assert "PREUVES NON CONFORMES" in each.stderr
    assert json.loads(as_json.stdout)["chains"][0]["witnessed"] == "differs"
    first = text_of(file.read_bytes()).partition("Page 2 sur")[0]
    assert "PREUVES NON CONFORMES" in first


@pytest.mark.parametrize("command", [SHOW, REPORT], ids=["show", "report"])
def test_gates_that_the_ledger_knows_and_whose_evidence_was_not_given_are_named(
    world: World, tmp_path: Path, command: tuple[str, ...]
) -> None:
    world.witness(world.gate().head)
    for gate in ("tunis-2", "tunis-3"):
        head = ChainHead(gate, gate[-1] * 16, 9, bytes(32), at("2026-11-05T10:00"))
        world.witness(head)
    file = tmp_path / "out.pdf"

    as_text = run(world, *command, *given(world))
    as_json = run(world, *command, *given(world), "--json")
    run(world, *command, *given(world), "--pdf", file)

    told = "Le registre connaît aussi tunis-2 et tunis-3, dont les preuves n’ont pas été lues"
    assert as_text.exit_code == 0
    assert told in as_text.stdout
    assert told in text_of(file.read_bytes()).partition("Page 2 sur")[0]
    answer = json.loads(as_json.stdout)
    assert answer["gaps"] == ["unread_chains"]
    assert [(one["gate"], one["number"]) for one in answer["unread"]] == [
        ("tunis-2", 9),
        ("tunis-3", 9),
    ]


# --- what cannot be done --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*SHOW, "--evidence", "nowhere"), "nowhere: no evidence there"),
        ((*SHOW, "--json", "--pdf", "x.pdf"), "not both"),
        (("evidence", "show", "12", "--principal", "acme"), "not a telephone number: '12'"),
        (("evidence", "show", NUMBER, "--principal", "globex"), "principals.globex"),
        ((*CERTIFICATE, "--purpose", "fibre"), "give -o FILE"),
        ((*CERTIFICATE, "--purpose", "fibre", "--json", "-o", "x.pdf"), "give -o FILE"),
        ((*CERTIFICATE, "--purpose", "fibre", "-o", "no/such/folder.pdf"), "no/such"),
        (REPORT, "give --evidence FOLDER for each gate"),
        ((*REPORT[:-1], "November"), "like 2026-11, not 'November'"),
        (("report", "--campaign", "nope", "--month", "2026-11"), "no campaign is called 'nope'"),
    ],
)
def test_what_cannot_be_done_is_one_line_of_what_and_why(
    world: World, words: tuple[str, ...], told: str
) -> None:
    result = run(world, *words)

    (line,) = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (2, "")
    assert line.startswith("ringfence: ")
    assert told in line


def test_evidence_that_was_altered_is_named_and_nothing_is_told(world: World) -> None:
    (file,) = world.gate().folder.glob("*/*.journal")
    file.write_bytes(file.read_bytes().replace(b"SIP/tunis", b"SIP/Tunis"))

    result = run(world, *SHOW, *given(world))

    assert (result.exit_code, result.stdout) == (2, "")
    assert "record 3" in result.stderr


def test_without_reportlab_a_pdf_says_what_to_install(world: World, tmp_path: Path) -> None:
    absent = "import sys; sys.modules['reportlab'] = None; from ringfence.cli import main; main()"
    file = tmp_path / "story.pdf"
    words = [*SHOW, "--config", str(world.settings()), "--pdf", str(file)]

    done = subprocess.run(
        [sys.executable, "-c", absent, *words],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=50,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ringfence: a PDF needs reportlab: pip install 'ringfence[pdf]'\n"
    assert not file.exists()
