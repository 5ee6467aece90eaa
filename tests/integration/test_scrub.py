"""`ringfence scrub` and `explain` with a ledger that serves, on a real broker."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ringfence.broker import LocalBroker

CONFIG = """\
[broker]
port = {port}

[gate]
id = "tunis-1"
data = "gate"
principals = ["acme"]

[ledger]
database = "ledger.sqlite"
heartbeat = 0.2

[principals.acme]
secret = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

[principals.acme.texts.web-1]
mentions = ["professional", "third_party", "goods_services", "choice", "period", "withdrawal",
            "proof_access"]
parties = ["acme", "callco"]
channel = "web"

[campaigns.fibre]
principal = "acme"
purpose = "fibre"
sector = "telecom"
operator = "callco"
dial_mode = "preview"
caller_ids = ["+33162000001"]

[campaigns.two-numbers]
principal = "acme"
purpose = "fibre"
sector = "telecom"
operator = "callco"
dial_mode = "preview"
caller_ids = ["+33162000001", "+33162000002"]
"""


class Desk:
    """A folder with a configuration, and the command in it."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        (folder / "ringfence.toml").write_text(CONFIG.format(port=port))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ringfence", *words, "--config", "ringfence.toml"],
            cwd=self.folder,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=50,
        )

    def scrub(self, *words: str, campaign: str = "fibre") -> subprocess.CompletedProcess[str]:
        return self.run("scrub", "leads.csv", "--campaign", campaign, "-o", "out.csv", *words)


@pytest.fixture
def alone(tmp_path: Path) -> Desk:
    """Give a desk without broker and ledger."""
    desk = Desk(tmp_path, 1)
    (tmp_path / "leads.csv").write_text("tel\n+33639980001\n")
    return desk


@pytest.fixture
def desk(tmp_path: Path, broker: LocalBroker) -> Iterator[Desk]:
    """Give a desk beside a ledger that knows three consents and a refusal."""
    desk = Desk(tmp_path, broker.broker.port)
    lines = [f"+3363998000{n};2026-09-01" for n in (1, 2, 3)]
    (tmp_path / "consents.csv").write_text("\n".join(["number;date", *lines]))
    for words in (
        ("import", "consents.csv", "--purpose", "fibre", "--text", "web-1"),
        ("record", "refusal", "--to", "+33639980003", "--at", "2026-09-02 10:00"),
    ):
        assert desk.run("ledger", *words, "--principal", "acme").returncode == 0
    serve = [sys.executable, "-m", "ringfence", "ledger", "serve", "--config", "ringfence.toml"]
    with subprocess.Popen(serve, cwd=tmp_path, stdout=subprocess.PIPE) as ledger:
        assert ledger.stdout is not None
        assert ledger.stdout.readline().startswith(b"serving acme")
        yield desk
        ledger.terminate()


LEADS = (
    "Prénom;Téléphone;Code postal;Note",
    'Zoé;06 39 98 00 01;75001;"dit ""oui"""',
    "Léa;0639980002;97400;",
    "Tom;+33639980003;75001;",
    "",
    "Eve;0639980004",
    "Max;rien;;",
    "",
)
ANSWERED = (
    "Prénom;Téléphone;Code postal;Note;verdict;reason;retry_at;article;sentence",
    'Zoé;06 39 98 00 01;75001;"dit ""oui""";allow;consent;;"C. conso., art. L223-1 al. 1; ',
    # It is 13:30 in Réunion.
    "Léa;0639980002;97400;;defer;outside_hours;2026-12-01T10:00:00Z;C. conso., art. D223-9 al. 1;",
    'Tom;+33639980003;75001;;deny;refused;;"C. conso., art. R223-3; ',
    "",
    "Eve;0639980004;;;deny;no_ground;;",
    "Max;rien;;;deny;invalid_number;;;What is written is not a telephone number.",
    "",
)


def test_each_lead_is_given_what_the_gate_would_answer(desk: Desk) -> None:
    (desk.folder / "leads.csv").write_bytes("\r\n".join(LEADS).encode("cp1252"))

    done = desk.scrub("--at", "2026-12-01 10:30", "--summary", "--json", "summary.json")

    assert (done.returncode, done.stderr) == (0, "")
    out = (desk.folder / "out.csv").read_bytes().decode("cp1252").split("\r\n")
    for line, beginning in zip(out, ANSWERED, strict=True):
        assert line.startswith(beginning)
    assert done.stdout.startswith("out.csv: 5 leads; 1 could be called then, 1 later, 3 never\n")
    assert "fibre, Tuesday 2026-12-01 10:30 in Paris: 5 leads" in done.stdout
    summary = msgspec.json.decode((desk.folder / "summary.json").read_bytes())
    assert summary["when"] == {
        "now": 1, "today": 1, "week": 0, "later": 0, "unknown": 0, "never": 3,
    }  # fmt: skip


def test_the_number_shown_is_the_only_one_or_said(desk: Desk) -> None:
    (desk.folder / "leads.csv").write_text("tel\n+33639980001\n")
    at = ("--at", "2026-12-01 10:30")

    unsaid = desk.scrub(*at, campaign="two-numbers")
    said = desk.scrub(*at, "--caller-id", "+33162000002", campaign="two-numbers")
    unknown = desk.scrub(*at, campaign="three-numbers")

    assert (unsaid.returncode, unsaid.stderr.split("; ")) == (
        2,
        [
            "ringfence: say with --caller-id which number two-numbers shows",
            "it lists +33162000001, +33162000002\n",
        ],
    )
    assert (said.returncode, "1 could be called then" in said.stdout) == (0, True)
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "ringfence: no campaign is called 'three-numbers'; there are fibre, two-numbers\n",
    )


def test_an_explanation_is_given_in_words(desk: Desk) -> None:
    done = desk.run("explain", "+33639980003", "--campaign", "fibre", "--lang", "fr")

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.endswith(
        "INTERDIT refused\nLa personne a refusé d’être démarchée, et son refus vaut toujours.\n"
    )
    about, consent, header = done.stdout.splitlines()[:3]
    assert re.fullmatch(
        r"\+33639980003 pour la campagne fibre, numéro affiché \+33162000001\u00a0; demandé le"
        r" \w+ \d\d/\d\d/\d{4} \d\d:\d\d à Paris",
        about,
    )
    assert consent == (
        "consentement du 01/09/2026 au texte web-1\u00a0; son dernier jour est le 31/08/2027"
    )
    assert header.split() == ["question", "réponse", "motif", "en", "clair", "sources"]
    assert "D223-9 al. 3" in " ".join(done.stdout.split())
    assert "rien à" in done.stdout


def test_an_explanation_shows_the_number_that_a_list_would_be_scrubbed_with(desk: Desk) -> None:
    at_number = ("explain", "+33639980009", "--campaign")

    only = desk.run(*at_number, "fibre")
    unsaid = desk.run(*at_number, "two-numbers")
    no_number = desk.run(*at_number, "fibre", "--caller-id", "abc")
    unknown = desk.run(*at_number, "fibr")

    assert only.stdout.splitlines()[1] == "no consent is known"
    assert "DENY no_ground" in only.stdout
    assert (unsaid.returncode, "it lists +33162000001, +33162000002" in unsaid.stderr) == (2, True)
    assert (no_number.returncode, no_number.stderr) == (
        2, "ringfence: --caller-id: not a telephone number: 'abc'\n",
    )  # fmt: skip
    assert (unknown.returncode, unknown.stderr) == (
        2, "ringfence: no campaign is called 'fibr'; there are fibre, two-numbers\n",
    )  # fmt: skip


def test_without_a_ledger_nothing_is_written(alone: Desk) -> None:
    (alone.folder / "out.csv").write_text("yesterday's")

    done = alone.scrub("--timeout", "0.3")

    assert (done.returncode, done.stdout) == (2, "")
    assert "ringfence: no answer within 0.3 s: acme: not_ready" in done.stderr
    assert (alone.folder / "out.csv").read_text() == "yesterday's"
    assert sorted(path.name for path in alone.folder.iterdir()) == [
        "leads.csv", "out.csv", "ringfence.toml",
    ]  # fmt: skip
