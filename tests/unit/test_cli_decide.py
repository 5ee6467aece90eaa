import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ringfence.cli.app import app

FILE = Path(__file__).parents[1] / "data" / "vectors.json"
WORLD = json.loads(FILE.read_bytes())

CALL = {"campaign": "acme-fibre", "to": "+33639980001", "caller_id": "+33162000001"}
REFUSED = {
    "name": "refusée hier",
    "now": "2026-11-24T11:00:00+01:00",
    "call": CALL,
    "events": [{"kind": "refusal", "at": "2026-11-23T11:00:00+01:00"}],
    "expect": {"verdict": "deny", "reason": "refused", "retry_at": None},
}
SATURDAY = {
    **REFUSED,
    "name": "Saturday",
    "now": "2026-11-28T11:00:00+01:00",
    "events": [{"kind": "contract", "at": "2025-03-01T09:00:00+01:00"}],
    "expect": {"verdict": "defer", "reason": "closed_day", "retry_at": "2026-11-30T09:00:00Z"},
}

Json = Mapping[str, object]


def decide(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["decide", *arguments], input=stdin)


def world(*cases: Json, **changes: object) -> str:
    return json.dumps({**WORLD, "cases": cases, **changes})


def lines(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_case_is_a_line_and_all_as_expected_is_success() -> None:
    result = decide(str(FILE))

    assert (result.exit_code, result.stderr) == (0, "")
    assert [line["name"] for line in lines(result)] == [case["name"] for case in WORLD["cases"]]
    assert {tuple(line) for line in lines(result)} == {("name", "verdict", "reason", "retry_at")}


def test_a_dash_reads_standard_input() -> None:
    result = decide("-", stdin=world(REFUSED, SATURDAY))

    assert result.exit_code == 0
    assert lines(result) == [
        {"name": "refusée hier", "verdict": "deny", "reason": "refused", "retry_at": None},
        {
            "name": "Saturday",
            "verdict": "defer",
            "reason": "closed_day",
            "retry_at": "2026-11-30T09:00:00Z",
        },
    ]


@pytest.mark.parametrize(
    "expect",
    [
        {"verdict": "allow", "reason": "consent"},
        {"verdict": "deny", "reason": "refused", "retry_at": "2027-01-23T09:00:00Z"},
    ],
)
def test_an_expectation_that_is_not_met_is_named_with_what_came_instead(expect: Json) -> None:
    result = decide("-", stdin=world({**REFUSED, "expect": expect}, SATURDAY))

    (told,) = result.stderr.splitlines()
    assert result.exit_code == 1
    assert len(lines(result)) == 2
    assert told.startswith("ringfence: case 'refusée hier': expected {")
    assert json.dumps(expect, separators=(",", ":")) in told
    assert told.endswith('got {"verdict":"deny","reason":"refused","retry_at":null}')


def test_a_case_without_an_expectation_is_only_decided() -> None:
    unexpected = {field: value for field, value in REFUSED.items() if field != "expect"}

    assert decide("-", stdin=world(unexpected)).exit_code == 0


def test_a_wrong_key_fails_although_every_case_is_as_expected() -> None:
    wrong = {"principal": "acme", "message": "id:crm-42", "key": 1}

    result = decide("-", stdin=world(REFUSED, keys=[wrong]))

    assert result.exit_code == 1
    assert result.stderr == ("ringfence: key of 'id:crm-42' for acme: 5715030902540153509, not 1\n")


def test_the_reading_can_be_chosen() -> None:
    good_friday = {
        **SATURDAY,
        "now": "2027-03-26T11:00:00+01:00",
        "call": CALL | {"department": "67"},
        "expect": {"verdict": "allow", "reason": "contract"},
    }

    careful, letter = (
        decide("-", *option, stdin=world(good_friday))
        for option in ([], ["--interpretation", "letter"])
    )

    assert (careful.exit_code, lines(careful)[0]["reason"]) == (1, "holiday")
    assert (letter.exit_code, lines(letter)[0]["reason"]) == (0, "contract")


def test_an_explanation_adds_what_every_rule_answers_and_its_articles() -> None:
    result = decide("-", "--explain", stdin=world(SATURDAY))

    (line,) = lines(result)
    assert (line["verdict"], line["retry_at"]) == ("defer", "2026-11-30T09:00:00Z")
    rules = line["rules"]
    assert isinstance(rules, list)
    assert [rule["answer"] for rule in rules] == [
        None,
        None,
        None,
        {"verdict": "allow", "reason": "contract", "until": None},
        None,
        {"verdict": "defer", "reason": "closed_day", "until": "2026-11-30T09:00:00Z"},
        None,
    ]
    assert rules[1]["articles"] == ["RGPD, art. 21(3)"]
    assert rules[5]["asks"] == "which day and hour is it there"


def test_a_question_that_no_rule_was_asked_has_no_explanation() -> None:
    unknown = {**REFUSED, "call": {"campaign": "acme-typo", "to": "+33639980001"}, "expect": None}

    (line,) = lines(decide("-", "--explain", stdin=world(unknown)))

    assert (line["reason"], line["rules"]) == ("unknown_campaign", [])


@pytest.mark.parametrize(
    ("stdin", "told"),
    [
        (b"", ["-: ", "truncated"]),
        (b"\xff", ["-: ", "malformed", "byte 0"]),
        (world({**REFUSED, "colour": "red"}), ["-: ", "`colour`", "$.cases[0]"]),
        (world(REFUSED, interpretation="loose"), ["'loose'", "$.interpretation"]),
        (world({**REFUSED, "events": [{"kind": "refusal"}]}), ["'refusée hier'", "without `at`"]),
        (world(SATURDAY, {**REFUSED, "now": "today"}), ["$.cases[1].now"]),
        (world({**REFUSED, "now": "2026-11-24T11:00:00"}), ["$.cases[0].now"]),
        (world(keys=[{"principal": "nobody", "message": "", "key": 1}]), ["nobody"]),
    ],
)
def test_a_malformed_file_is_one_line_of_what_and_where(
    stdin: str | bytes, told: list[str]
) -> None:
    result = decide("-", stdin=stdin)

    (line,) = result.stderr.splitlines()
    assert result.exit_code == 2
    assert line.startswith("ringfence: ")
    assert [piece for piece in told if piece not in line] == []


def test_a_file_that_is_not_there_or_is_a_folder_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        result = decide(str(path))

        (line,) = result.stderr.splitlines()
        assert result.exit_code == 2
        assert str(path) in line


def test_a_reading_that_does_not_exist_is_refused() -> None:
    assert decide(str(FILE), "--interpretation", "loose").exit_code == 2


def test_the_command_is_listed_with_what_it_does() -> None:
    result = CliRunner().invoke(app, ["--help"])

    assert result.exit_code == 0
    assert "decide" in result.stdout
    assert "Decide every case of a file" in result.stdout


# --- as a process ---------------------------------------------------------------------------------


def ringfence(
    *arguments: str, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **environment},
        timeout=50,
        check=False,
    )


def test_the_command_decides_in_a_process_wherever_the_operator_is() -> None:
    """Not in the zone of the consumer, and not in an encoding that has its letters."""
    done = ringfence(
        "-m", "ringfence", "decide", str(FILE), TZ="Asia/Tokyo", PYTHONIOENCODING="latin-1"
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(WORLD["cases"])
    assert "Réunion, half past ten there" in done.stdout


def test_a_malformed_file_is_no_traceback_in_a_process() -> None:
    done = ringfence("-m", "ringfence", "decide", "-", stdin="{")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ringfence: -: Input data was truncated\n"


def test_without_typer_the_command_says_what_to_install() -> None:
    absent = "import sys; sys.modules['typer'] = None; from ringfence.cli import main; main()"

    done = ringfence("-c", absent)

    assert done.returncode == 1
    assert "pip install 'ringfence[cli]'" in done.stderr
    assert "Traceback" not in done.stderr
