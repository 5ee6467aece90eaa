"""Proofs that are kept, and what people write to refer to one."""

import os
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from ringfence.config import LedgerSettings, load
from ringfence.event import Proof
from ringfence.ledger.exhibits import BadProof, Exhibits
from ringfence.ledger.intake import read
from ringfence.ledger.proofs import Label, ProofError, Proofs, digest_of

CONTENT = b"%PDF-1.7 signed by hand" * 100_000  # more than is read at once
DIGEST = sha256(CONTENT).hexdigest()
URI = "https://crm.example/4711"


@pytest.fixture
def form(tmp_path: Path) -> Path:
    path = tmp_path / "lists" / "formulaire signé.pdf"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def proofs(tmp_path: Path) -> Proofs:
    return Proofs(tmp_path / "var" / "proofs")


def files(proofs: Proofs) -> list[str]:
    return sorted(
        str(path.relative_to(proofs.folder)) for path in proofs.folder.rglob("*") if path.is_file()
    )


# --- keeping --------------------------------------------------------------------------------------


def test_a_file_is_kept_under_its_hash_with_its_name_beside(proofs: Proofs, form: Path) -> None:
    assert proofs.keep(form) == DIGEST
    form.unlink()

    place = proofs.folder / DIGEST[:2] / DIGEST
    assert proofs.find(DIGEST) == place
    assert place.read_bytes() == proofs.read(DIGEST) == CONTENT
    assert proofs.label(DIGEST) == Label("formulaire signé.pdf", "application/pdf")
    assert files(proofs) == [f"{DIGEST[:2]}/{DIGEST}", f"{DIGEST[:2]}/{DIGEST}.json"]


def test_what_is_kept_twice_is_kept_once_under_its_first_name(proofs: Proofs, form: Path) -> None:
    proofs.keep(form)
    place = proofs.find(DIGEST)
    assert place is not None
    first = place.stat().st_ino

    again = form.rename(form.with_name("copy"))

    assert proofs.keep(again) == DIGEST
    assert place.stat().st_ino == first
    assert proofs.label(DIGEST).name == "formulaire signé.pdf"
    assert len(files(proofs)) == 2


def test_what_is_kept_is_its_owners_alone(proofs: Proofs, form: Path) -> None:
    form.chmod(0o644)

    proofs.keep(form)

    for path in (proofs.folder, *proofs.folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], CONTENT[:-1] + b"!"])
def test_a_file_that_was_damaged_is_an_error_until_it_is_kept_again(
    proofs: Proofs, form: Path, damage: bytes
) -> None:
    proofs.keep(form)
    place = proofs.find(DIGEST)
    assert place is not None
    place.write_bytes(damage)

    with pytest.raises(ProofError, match=f"{DIGEST} is damaged: its SHA-256 is {digest(damage)}"):
        proofs.read(DIGEST)
    proofs.keep(form)

    assert proofs.read(DIGEST) == CONTENT


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def test_what_is_not_kept_is_not_found(proofs: Proofs, form: Path) -> None:
    assert proofs.find(DIGEST) is None
    proofs.keep(form)
    for other in (DIGEST.upper(), DIGEST[:-1], f"../{DIGEST}", "", "\0"):
        assert proofs.find(other) is None
        with pytest.raises(ProofError, match="keeps no file with the SHA-256"):
            proofs.read(other)


def test_a_label_that_is_lost_does_not_lose_the_file(proofs: Proofs, form: Path) -> None:
    proofs.keep(form)
    label = proofs.folder / DIGEST[:2] / f"{DIGEST}.json"
    for lost in (lambda: label.write_bytes(b"{"), label.unlink):
        lost()
        assert proofs.label(DIGEST) == Label(DIGEST, "application/octet-stream")

    assert proofs.read(DIGEST) == CONTENT


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("0639980001.mp3", Label("proof.mp3", "audio/mpeg")),
        ("Dupont 06.39.98.00.01.PDF", Label("proof.PDF", "application/pdf")),
        ("٠٦٣٩٩٨٠٠٠١.pdf", Label("proof.pdf", "application/pdf")),
        ("appel.0639980001", Label("proof", "application/octet-stream")),
        ("form-47112.pdf", Label("form-47112.pdf", "application/pdf")),
    ],
)
def test_a_name_in_which_a_number_may_stand_is_not_kept(
    proofs: Proofs, tmp_path: Path, name: str, kept: Label
) -> None:
    file = tmp_path / name
    file.write_bytes(CONTENT)

    proofs.keep(file)

    assert proofs.label(DIGEST) == kept


def test_what_proves_nothing_is_not_kept(proofs: Proofs, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")

    for name, why in (("empty", "is empty"), ("pipe", "no regular file"), (".", "no regular file")):
        with pytest.raises(ProofError, match=why):
            proofs.keep(tmp_path / name)
        with pytest.raises(ProofError, match=why):
            digest_of(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        proofs.keep(tmp_path / "none")
    assert not proofs.folder.exists()


def test_a_file_that_cannot_be_kept_leaves_nothing_behind(proofs: Proofs, form: Path) -> None:
    proofs.folder.mkdir(parents=True)
    (proofs.folder / DIGEST[:2]).touch()  # in the place of a folder

    with pytest.raises(OSError, match=DIGEST[:2]):
        proofs.keep(form)

    assert files(proofs) == [DIGEST[:2]]


# --- references -----------------------------------------------------------------------------------


@pytest.fixture
def exhibits(proofs: Proofs, form: Path) -> Exhibits:
    return Exhibits(proofs, form.parent)


def why(exhibits: Exhibits, written: str, stated: str = "") -> str:
    with pytest.raises(BadProof) as bad:
        exhibits.refer(written, stated)
    return str(bad.value)


def test_a_file_is_kept_and_referred_to_by_its_hash(
    exhibits: Exhibits, proofs: Proofs, form: Path
) -> None:
    """Its name stays here: names of files hold names of people."""
    expected = Proof(f"proof:{DIGEST}", DIGEST)

    assert exhibits.refer(form.name) == expected
    assert exhibits.refer(f"./../lists/{form.name}", DIGEST.upper()) == expected
    assert exhibits.refer(expected.uri) == exhibits.refer(expected.uri, DIGEST) == expected
    assert proofs.read(DIGEST) == CONTENT


def test_without_a_ledger_at_hand_a_file_is_no_proof_as_it_cannot_be_kept(form: Path) -> None:
    exhibits = Exhibits(None, form.parent)

    assert why(exhibits, form.name).startswith("a proof that cannot be kept, as the configuration")
    assert why(exhibits, form.name, DIGEST).endswith(f"and name it proof:SHA256: {form.name!r}")
    assert exhibits.refer(f"proof:{DIGEST}") == Proof(f"proof:{DIGEST}", DIGEST)
    assert exhibits.refer(URI, DIGEST) == Proof(URI, DIGEST)
    assert list(form.parent.iterdir()) == [form]


def test_whoever_runs_the_command_may_name_any_file(proofs: Proofs, form: Path) -> None:
    assert Exhibits(proofs).refer(str(form)) == Proof(f"proof:{DIGEST}", DIGEST)


def test_a_uri_is_taken_with_its_hash(exhibits: Exhibits) -> None:
    assert exhibits.refer(URI, DIGEST) == Proof(URI, DIGEST)
    assert exhibits.refer("crm:4711", DIGEST.upper()) == Proof("crm:4711", DIGEST)


def test_what_names_no_proof_says_why(exhibits: Exhibits, form: Path) -> None:
    secret = form.parent.parent / "secret"
    secret.write_bytes(b"of somebody else")
    (form.parent / "link").symlink_to(secret)
    (form.parent / "loop").symlink_to("loop")
    (form.parent / "empty").touch()
    outside = "a proof outside of the file's folder"

    assert why(exhibits, URI) == f"a proof's URI without its SHA-256: {URI!r}"
    assert why(exhibits, URI, "4711") == "not a SHA-256: '4711'"
    assert why(exhibits, "https://x/" + "y" * 512, DIGEST).startswith("not the URI of a proof: ")
    assert why(exhibits, "oui") == "no such proof, and no URI: 'oui'"
    assert why(exhibits, "oui", DIGEST) == "no such proof, and no URI: 'oui'"
    assert why(exhibits, ".") == "no such proof, and no URI: '.'"
    assert why(exhibits, "loop") == "no such proof, and no URI: 'loop'"
    assert why(exhibits, "c:\\forms\\1.pdf") == r"no such proof, and no URI: 'c:\\forms\\1.pdf'"
    assert why(exhibits, "../secret") == f"{outside}: '../secret'"
    assert why(exhibits, str(secret)) == f"{outside}: {str(secret)!r}"
    assert why(exhibits, "link") == f"{outside}: 'link'"
    assert why(exhibits, "a\0b") == r"not the path of a proof: 'a\x00b'"
    assert why(exhibits, "y" * 300).startswith("not the path of a proof: ")
    assert why(exhibits, "empty") == "an empty proof: 'empty'"
    other = "0" * 64
    assert why(exhibits, form.name, other) == f"another SHA-256 than the proof's: {other!r}"
    assert why(exhibits, f"proof:{DIGEST}", other).startswith("another SHA-256")
    assert why(exhibits, f"proof:{other}") == f"a proof that is not kept here: 'proof:{other}'"


def test_an_event_with_a_malformed_proof_is_turned_away_with_the_reason() -> None:
    told = {"kind": "consent", "id": "c1", "text": "web-1", "proof": {"uri": URI, "sha256": "4711"}}
    report = msgspec.json.encode({"sender": "crm", "events": [told]})

    (received,) = read("acme", report)

    assert (received.event, received.sender, received.id) == (None, "crm", "c1")
    assert "a proof's `sha256` has 64 lower-case hexadecimal digits: '4711'" in received.error


# --- where ----------------------------------------------------------------------------------------


def test_proofs_lie_beside_the_database_unless_the_configuration_says_otherwise(
    tmp_path: Path,
) -> None:
    file = tmp_path / "ringfence.toml"
    folders = []
    for more in ("", 'proofs = "safe"'):
        file.write_text(f'[ledger]\ndatabase = "var/ledger.sqlite"\n{more}\n')
        ledger = load(file).ledger
        assert ledger is not None
        folders.append(ledger.proof_folder)

    assert folders == [tmp_path / "var" / "proofs", tmp_path / "safe"]
    assert LedgerSettings(database=Path("a/b")).proof_folder == Path("a/proofs")
