"""`ringfence explain` without a gate: what it says of a call beside the rules' answers."""

from datetime import UTC, date, datetime

import msgspec
import pytest

from ringfence.call import Call
from ringfence.cli.explain import _about, _Explained, _in
from ringfence.decision import Decision, Reason, Verdict
from ringfence.row import NO_GROUND, Ground, day_of
from ringfence.rules.france import rulebook

GIVEN = Ground(text=1, consent_from=day_of(date(2026, 3, 1)))
ENDED = msgspec.structs.replace(GIVEN, consent_until=day_of(date(2026, 12, 31)))
TAKEN_BACK = msgspec.structs.replace(GIVEN, withdrawn=True)


def explained(ground: Ground, sector: str = "telecom") -> _Explained:
    return _Explained(
        Call(to="0639980001", campaign="fibre", caller_id="+33162000001"),
        datetime(2026, 12, 1, 9, tzinfo=UTC),
        ground,
        "web-1",
        sector,
        Decision(Verdict.DENY, Reason.NO_GROUND),
        [],
    )


def test_an_explanation_names_the_call_and_the_time_it_judged() -> None:
    assert _about(explained(NO_GROUND), "en")[0] == (
        "0639980001 for the campaign fibre, showing +33162000001; asked Tuesday 2026-12-01 10:00 in"
        " Paris"
    )
    assert "demandé le mardi 01/12/2026 10:00 à Paris" in _about(explained(NO_GROUND), "fr")[0]


@pytest.mark.parametrize(
    ("ground", "sector", "english", "french"),
    [
        (NO_GROUND, "telecom", "no consent is known", "aucun consentement n’est connu"),
        (GIVEN, "telecom", "consent of 2026-03-01 to the text web-1; its last day is 2027-02-28",
         "consentement du 01/03/2026 au texte web-1\u00a0; son dernier jour est le 28/02/2027"),
        (GIVEN, "insurance", "consent of 2026-03-01 to the text web-1; its last day is 2026-03-31",
         "consentement du 01/03/2026 au texte web-1\u00a0; son dernier jour est le 31/03/2026"),
        (ENDED, "telecom", "consent of 2026-03-01 to the text web-1; its last day is 2026-12-31",
         "consentement du 01/03/2026 au texte web-1\u00a0; son dernier jour est le 31/12/2026"),
        (TAKEN_BACK, "telecom", "consent withdrawn on 2026-03-01",
         "consentement retiré le 01/03/2026"),
    ],
)  # fmt: skip
def test_an_explanation_names_the_consent_that_is_known(
    ground: Ground, sector: str, english: str, french: str
) -> None:
    assert _about(explained(ground, sector), "en")[1] == english
    assert _about(explained(ground, sector), "fr")[1] == french


def test_every_question_is_asked_in_french() -> None:
    asked = [_in("fr", rule.asks) for rule in rulebook().rules]

    assert len(set(asked)) == len(rulebook().rules)
    assert not {rule.asks for rule in rulebook().rules} & {*asked}
