"""Proofs of consents: kept by hand, with a consent that is recorded, with a list of them."""

from hashlib import sha256
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from tests.integration.desk import Desk, Ended
from tests.integration.test_ledger_cli import UNSERVED
from typer.testing import CliRunner

from ringfence.broker import LocalBroker
from ringfence.cli.app import app
from ringfence.event import AnyEvent, Consent, Proof
from ringfence.ledger.archive import Archive
from ringfence.ledger.proofs import Proofs
from ringfence.number import Keyring

CONTENT = b"signed"
DIGEST = sha256(CONTENT).hexdigest()
KEPT = Proof(f"proof:{DIGEST}", DIGEST)
URI = "https://crm.example/4711"
KEYRING = Keyring(bytes(range(32)))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Give a desk with nobody who serves, and no broker."""
    return Desk(tmp_path, port=1)


@pytest.fixture
def form(tmp_path: Path) -> Path:
    path = tmp_path / "0639980001.pdf"
    path.write_bytes(CONTENT)
    return path


def kept(desk: Desk) -> Proofs:
    return Proofs(desk.folder / "proofs")


def keep(desk: Desk, *files: Path, config: Path | None = None) -> Ended:
    words = ["consent", "keep", *map(str, files), "--config", str(config or desk.config)]
    result = CliRunner().invoke(app, words)
    return Ended(result.exit_code, result.stdout, result.stderr)


def record(desk: Desk, *words: str, kind: str = "consent") -> Ended:
    about = ("--purpose", "fibre", "--text", "web-1") if kind == "consent" else ()
    who = ("--principal", "acme", "--to", "06 39 98 00 01")
    return desk.run_here("record", kind, *who, *about, *words)


def events(desk: Desk, number: str = "+33639980001") -> list[AnyEvent]:
    keys = [KEYRING.purpose(number, "fibre"), KEYRING.number(number)]
    with Archive.open(desk.database) as archive:
        return [event for _, event in archive.events("acme", keys)]


def proofs(desk: Desk, number: str = "+33639980001") -> list[Proof | None]:
    return [event.proof for event in events(desk, number) if isinstance(event, Consent)]


# --- consent keep ---------------------------------------------------------------------------------


def test_files_are_kept_and_named_as_sha256sum_does(desk: Desk, form: Path) -> None:
    other = form.with_name("b.png")
    other.write_bytes(b"shown")

    ended = keep(desk, form, other)

    shown = sha256(b"shown").hexdigest()
    assert (ended.status, ended.complained) == (0, "")
    assert ended.said == f"{DIGEST}  0639980001.pdf\n{shown}  b.png\n"
    assert kept(desk).read(DIGEST) == CONTENT
    assert kept(desk).label(shown).media_type == "image/png"


def test_what_cannot_be_kept_says_why(desk: Desk, form: Path) -> None:
    form.write_bytes(b"")

    for file, config, complaint in (
        (form, None, f"{form} is empty"),
        (form.with_name("none"), None, "No such file or directory"),
        (form, desk.elsewhere, "elsewhere.toml has no table [ledger]"),
    ):
        ended = keep(desk, file, config=config)

        assert (ended.status, ended.said) == (2, "")
        assert ended.complained.startswith("ringfence: ")
        assert complaint in ended.complained


# --- record ---------------------------------------------------------------------------------------


def test_a_consent_is_recorded_with_a_file_that_is_kept(desk: Desk, form: Path) -> None:
    ended = record(desk, "--proof", str(form))
    form.unlink()

    assert (ended.status, ended.complained) == (0, UNSERVED)
    assert proofs(desk) == [KEPT]
    assert kept(desk).read(DIGEST) == CONTENT
    assert b"639980001" not in desk.database.read_bytes()


def test_a_consent_is_recorded_with_a_uri_or_with_what_is_kept(desk: Desk, form: Path) -> None:
    keep(desk, form)

    record(desk, "--proof", URI, "--proof-sha256", DIGEST)
    record(desk, "--proof", KEPT.uri)

    assert proofs(desk) == [Proof(URI, DIGEST), KEPT]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--proof", URI], "a proof's URI without its SHA-256"),
        (["--proof", "none.pdf"], "no such proof, and no URI: 'none.pdf'"),
        (["--proof-sha256", DIGEST], "--proof-sha256: there is no --proof"),
        (
            ["--proof", "https://x/?to=0639980001", "--proof-sha256", DIGEST],
            "the telephone number is in its proof's uri",
        ),
    ],
)
def test_a_proof_that_cannot_be_meant_records_nothing(
    desk: Desk, words: list[str], complaint: str
) -> None:
    ended = record(desk, *words)

    assert (ended.status, ended.said) == (2, "")
    assert complaint in ended.complained
    assert not desk.database.exists()


def test_only_a_consent_has_a_proof(desk: Desk, form: Path) -> None:
    ended = record(desk, "--proof", str(form), kind="refusal")

    assert ended.status == 2
    assert "refusal: takes no --proof" in ended.complained


# --- import ---------------------------------------------------------------------------------------

HEADER = "tel;date;texte;objet;Preuve;SHA-256\n"
REST = "01/03/2026;web-1;fibre"


def bring_in(desk: Desk, lines: str, *words: str) -> Ended:
    csv = desk.folder / "crm.csv"
    csv.write_text(HEADER + lines)
    return desk.run_here("import", str(csv), "--principal", "acme", *words)


def test_a_list_of_consents_brings_its_proofs(desk: Desk, form: Path) -> None:
    lines = (
        f"0639980001;{REST};{form.name};\n"
        f"0639980002;{REST};{URI};{DIGEST}\n"
        f"0639980003;{REST};;\n"
        f"0639980004;{REST};oui;\n"
    )

    ended = bring_in(desk, lines)
    again = bring_in(desk, lines)

    assert "4 lines read, 3 imported, 0 known, 1 rejected" in ended.said
    assert "         1 no such proof, and no URI\n" in ended.said
    assert "4 lines read, 0 imported, 3 known, 1 rejected" in again.said
    assert proofs(desk, "+33639980001") == [KEPT]
    assert proofs(desk, "+33639980002") == [Proof(URI, DIGEST)]
    assert proofs(desk, "+33639980003") == [None]
    assert kept(desk).read(DIGEST) == CONTENT
    assert (desk.folder / "crm.csv.rejected.csv").read_text("utf-8-sig").splitlines()[1:] == [
        f"5;no such proof, and no URI: 'oui';0639980004;{REST};oui;"
    ]


def test_other_statements_have_no_proof_whatever_the_list_says(desk: Desk) -> None:
    ended = bring_in(desk, f"0639980001;{REST};oui;\n", "--kind", "refusal")

    assert "1 lines read, 1 imported, 0 known, 0 rejected" in ended.said


def test_the_column_of_proofs_can_be_named(desk: Desk, form: Path) -> None:
    csv = desk.folder / "crm.csv"
    csv.write_text(f"tel;date;texte;objet;Pièce jointe\n0639980001;{REST};{form.name}\n")

    words = ("--principal", "acme", "--column", "proof=pièce jointe")
    ended = desk.run_here("import", str(csv), *words)

    assert ended.status == 0
    assert proofs(desk) == [KEPT]


async def test_a_machine_without_the_ledger_takes_no_file_that_it_cannot_keep(
    tmp_path: Path, form: Path, broker: LocalBroker
) -> None:
    desk = Desk(tmp_path, broker.broker.port)
    csv = tmp_path / "crm.csv"
    csv.write_text(
        f"{HEADER}0639980001;{REST};{form.name};{DIGEST}\n0639980002;{REST};{KEPT.uri};\n"
    )
    consent = ("record", "consent", "--principal", "acme", "--to", "0639980003", "--purpose",
               "fibre", "--text", "web-1", "--proof", str(form))  # fmt: skip

    async with desk.serving():
        ended = await desk.bring_in(csv, config=desk.elsewhere)
        recorded = await desk.run(*consent, config=desk.elsewhere)

    assert ended.status == 1
    assert "2 lines read, 1 imported, 0 known, 1 rejected" in ended.said
    assert "1 a proof that cannot be kept, as the configuration has no table [ledger]" in ended.said
    assert (recorded.status, recorded.said) == (2, "")
    assert "a proof that cannot be kept" in recorded.complained
    assert await anyio.to_thread.run_sync(proofs, desk, "+33639980002") == [KEPT]
    assert not await anyio.Path(kept(desk).folder).exists()
