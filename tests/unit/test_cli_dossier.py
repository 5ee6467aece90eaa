"""`evidence show`, `consent certificate` and `report` from the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from tests.unit.dossiers import NUMBER, World, at, text_of
from typer.testing import CliRunner, Result

from ringfence.cli.app import app
from ringfence.decision import Reason, Verdict
from ringfence.event import Consent, Proof, Refusal
from ringfence.ledger.proofs import Proofs

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
    assert "Appel refusé" in french.stdout
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
    assert result.stdout == (f"{file}\nthe proof, to be handed over with it: {proofs.find(kept)}\n")
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
    assert result.stderr.startswith("ringfence: the ledger holds no consent of +33639980001 to")
    assert not file.exists()


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
