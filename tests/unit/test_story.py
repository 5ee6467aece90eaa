"""The story of one person: nothing left out, nothing of anybody else."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tests.unit.dossiers import (
    CONSENTED,
    FIBRE,
    KEYRING,
    NOW,
    NUMBER,
    OTHER,
    PARTIES,
    RELEASE,
    WEB,
    World,
    at,
    facts,
    restraint,
    text_of,
)
from tests.unit.filing import DAY, TUESDAY, decided, file
from tests.unit.filing import consent as ground_of

from ringfence.call import Outcome
from ringfence.campaign import MENTIONS, Channel, DialMode, Text, sound_texts
from ringfence.decision import Reason, Verdict
from ringfence.dossier.chains import Evidence, Witnessed
from ringfence.dossier.custody import Custody
from ringfence.dossier.findings import Sources, tell
from ringfence.dossier.flaws import Flaw, flaws
from ringfence.dossier.standing import Standing, State
from ringfence.dossier.story import Attempted, Gap, Person, Ruled, Story, Told
from ringfence.dossier.story_paper import print_story
from ringfence.dossier.story_screen import draw_story
from ringfence.dossier.telling import told_of
from ringfence.dossier.tongue import ENGLISH, FRENCH, Tongue
from ringfence.event import (
    AnyEvent,
    Attempt,
    AttemptCancelled,
    Bloctel,
    Callback,
    Consent,
    Contract,
    ContractEnded,
    Event,
    Objection,
    ObjectionLifted,
    Proof,
    Refusal,
    Slot,
    Withdrawal,
)
from ringfence.evidence.record import EvidenceError
from ringfence.evidence.recorder import Recorder
from ringfence.evidence.retention import LEAST, plan, state, sweep
from ringfence.evidence.segment import Segment, write
from ringfence.evidence.verify import verify
from ringfence.ledger.proofs import Proofs
from ringfence.number import parse
from ringfence.rules.words import words


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def story(
    world: World, *, consumer: str | None = None, proofs: Proofs | None = None, to: str = NUMBER
) -> Story:
    person = Person(
        principal="acme",
        number=parse(to),
        keyring=KEYRING,
        consumer=consumer,
        names={name: party.name for name, party in PARTIES.items()},
    )
    with world.archive() as archive:
        evidence = world.evidence() if world.folders else None
        return tell(person, Sources(archive, proofs, evidence), NOW, RELEASE)


def screen(told: Story, tongue: Tongue) -> str:
    """Give what a terminal shows, as one line whose spaces all are alike."""
    console = Console(file=StringIO(), width=200)
    console.print(draw_story(told, tongue))
    assert isinstance(console.file, StringIO)
    return " ".join(console.file.getvalue().replace("\u00a0", " ").split())


def consent(on: str, **fields: object) -> Consent:
    told = Consent(to=NUMBER, purpose="fibre", text="web-2026", at=at(f"{on}T10:00"))
    return msgspec.structs.replace(told, **fields)


# --- what is in it --------------------------------------------------------------------------------


def test_everything_of_the_person_comes_in_time_order_and_nothing_of_others(world: World) -> None:
    gate = world.gate()
    world.say(Refusal(to=NUMBER, at=at("2026-10-02T10:00")))
    world.say(consent("2026-09-01"))
    world.say(consent("2026-09-15", purpose="cover"))
    world.say(consent("2026-09-16", to=OTHER))
    gate.decide("2026-09-20T10:00", Verdict.ALLOW, Reason.CONSENT)
    gate.decide("2026-09-20T10:01", Verdict.ALLOW, Reason.CONSENT, to=OTHER)

    told = story(world)

    assert [(type(entry), entry.at) for entry in told.entries] == [
        (Told, at("2026-09-01T10:00")),
        (Told, at("2026-09-15T10:00")),
        (Ruled, at("2026-09-20T10:00")),
        (Told, at("2026-10-02T10:00")),
    ]
    assert [entry.purpose for entry in told.entries if isinstance(entry, Told)] == [
        "fibre",
        "cover",
        None,
    ]


def test_a_call_and_its_outcome_are_one_attempt_that_names_its_record(world: World) -> None:
    decided = world.gate().decide("2026-09-20T10:00", Verdict.ALLOW, Reason.CONSENT)
    world.call(decided, Outcome.NO_ANSWER, seconds=30)

    (ruled, attempt) = story(world).entries

    assert isinstance(ruled, Ruled)
    assert attempt == Attempted(
        at=at("2026-09-20T10:00"),
        on=date(2026, 9, 20),
        call=decided.id,
        outcome=Outcome.NO_ANSWER,
        cancelled=False,
        closed_at=at("2026-09-20T10:00") + timedelta(seconds=30),
        changes=(1, 2),
        gate="tunis-1",
        record=ruled.record,
        this_number=True,
    )


def test_a_call_that_was_not_placed_is_told_as_given_back(world: World) -> None:
    world.call(
        world.gate().decide("2026-09-20T10:00", Verdict.ALLOW, Reason.CONSENT), Outcome.NOT_PLACED
    )

    attempt = story(world).entries[1]

    assert isinstance(attempt, Attempted)
    assert attempt.cancelled
    assert told_of(attempt, story(world), ENGLISH).headline == (
        "Call not placed, attempt given back"
    )


def test_a_decision_says_why_on_what_and_where_it_is_recorded(world: World) -> None:
    decided = world.gate().decide(
        "2026-11-24T13:00",
        Verdict.DEFER,
        Reason.OUTSIDE_HOURS,
        ground=facts(text=1, consent_from="2026-09-01", consent_until="2027-01-31"),
        restraints=(restraint(refused_on="2026-03-01", attempts=("2026-11-20", "2026-11-09")),),
        retry_at="2026-11-24T14:00",
    )

    (ruled,) = story(world).decisions

    sentence = words(Reason.OUTSIDE_HOURS)
    assert (ruled.verdict, ruled.reason) == (Verdict.DEFER, Reason.OUTSIDE_HOURS)
    assert (ruled.french, ruled.english) == (sentence.french, sentence.english)
    assert ruled.articles == ("C. conso., art. D223-9 al. 1",)
    assert ruled.retry_at == at("2026-11-24T14:00")
    assert (ruled.change, ruled.age, ruled.rulebook) == (100, 0.412, decided.rulebook)
    assert (ruled.ground.consent_text, ruled.ground.consent_on) == ("web-2026", date(2026, 9, 1))
    assert ruled.restraints[0].attempts == (date(2026, 11, 20), date(2026, 11, 9))
    assert (ruled.gate, ruled.record, ruled.reference) == ("tunis-1", 3, decided.reference)


def test_the_articles_of_its_decisions_are_quoted_once_each(world: World) -> None:
    gate = world.gate()
    gate.decide("2026-11-24T13:00", Verdict.DEFER, Reason.OUTSIDE_HOURS)
    gate.decide("2026-11-24T13:01", Verdict.DEFER, Reason.HOLIDAY)
    gate.decide("2026-11-24T14:01", Verdict.DENY, Reason.REFUSED)

    quoted = story(world).articles

    names = [article.name for article in quoted]
    assert names == sorted(names)
    assert len(names) == len(set(names)) == 4
    assert {article.name: article for article in words(Reason.REFUSED).articles}.keys() < set(names)


def test_two_rules_of_one_paragraph_are_both_quoted(world: World) -> None:
    gate = world.gate()
    gate.decide("2026-11-24T14:01", Verdict.DENY, Reason.REFUSED)
    gate.decide("2026-11-24T14:02", Verdict.DENY, Reason.ATTEMPT_LIMIT)

    quoted = [a.quote for a in story(world).articles if a.name == "C. conso., art. D223-9 al. 3"]

    assert len(quoted) == 2
    assert "plus de quatre fois" in quoted[1] + quoted[0]


def test_a_consumers_other_numbers_are_told_if_the_id_is_given(world: World) -> None:
    gate = world.gate()
    decided = gate.decide(
        "2026-09-20T10:00", Verdict.ALLOW, Reason.CONSENT, to=OTHER, consumer="crm-42"
    )
    world.call(decided, Outcome.BUSY, to=OTHER, consumer="crm-42")
    gate.decide("2026-09-21T10:00", Verdict.ALLOW, Reason.CONSENT, consumer="crm-42")

    alone, whole = story(world), story(world, consumer="crm-42")

    assert [type(entry) for entry in alone.entries] == [Ruled]
    assert alone.gaps == (Gap.OTHER_NUMBERS,)
    assert [(type(e), e.this_number) for e in whole.entries] == [
        (Ruled, False),
        (Attempted, False),
        (Ruled, True),
    ]
    assert whole.gaps == ()
    assert "another number" in " ".join(told_of(whole.entries[0], whole, ENGLISH).details)


def test_the_purpose_of_a_campaign_that_is_gone_is_found_in_the_evidence(world: World) -> None:
    gone = msgspec.structs.replace(world.config.campaigns["acme-fibre"], purpose="mobile")
    world.config = msgspec.structs.replace(world.config, campaigns={"acme-mobile": gone})
    world.gate()
    world.say(consent("2026-09-01", purpose="mobile"))

    (entry,) = story(world).entries

    assert isinstance(entry, Told)
    assert entry.purpose == "mobile"


# --- proofs ---------------------------------------------------------------------------------------


def test_a_consent_tells_what_was_shown_and_where_its_proof_is(
    world: World, tmp_path: Path
) -> None:
    form = tmp_path / "form.html"
    form.write_text("I agree")
    proofs = Proofs(tmp_path / "proofs")
    kept = proofs.keep(form)
    world.say(consent("2026-09-01", proof=Proof(uri=f"proof:{kept}", sha256=kept)))
    world.say(consent("2026-09-02", proof=Proof(uri="https://crm.example/1", sha256="ab" * 32)))
    world.say(consent("2026-09-03"))

    def custodies() -> list[Custody]:
        entries = story(world, proofs=proofs).entries
        return [entry.custody for entry in entries if isinstance(entry, Told)]

    assert custodies() == [Custody.KEPT, Custody.ELSEWHERE, Custody.NONE]
    assert [e.text for e in story(world).entries if isinstance(e, Told)] == [WEB] * 3

    place = proofs.find(kept)
    assert place is not None
    place.write_text("I never agreed")
    assert custodies() == [Custody.DAMAGED, Custody.ELSEWHERE, Custody.NONE]


# --- how consents stand ---------------------------------------------------------------------------

GIVEN = consent("2026-09-01")
HOW: dict[str, tuple[list[Event], State, str | None]] = {
    "nothing was said": ([], State.NONE, None),
    "given": ([GIVEN], State.IN_FORCE, "2027-08-31"),
    "given until a day": ([consent("2026-09-01", until=date(2026, 11, 30))], State.IN_FORCE,
                          "2026-11-30"),
    "over since a day": ([consent("2026-09-01", until=date(2026, 11, 29))], State.EXPIRED,
                         "2026-11-29"),
    "over since a year": ([consent("2025-11-30")], State.EXPIRED, "2026-11-29"),
    "withdrawn": ([GIVEN, Withdrawal(to=NUMBER, purpose="fibre", at=at("2026-09-02T10:00"))],
                  State.WITHDRAWN, "2027-08-31"),
    "given again": ([GIVEN, Withdrawal(to=NUMBER, purpose="fibre", at=at("2026-09-02T10:00")),
                     consent("2026-09-03")], State.IN_FORCE, "2027-09-02"),
    "refused": ([GIVEN, Refusal(to=NUMBER, at=at("2026-09-02T10:00"))], State.REFUSED,
                "2027-08-31"),
    "refused on the day": ([GIVEN, Refusal(to=NUMBER, at=at("2026-09-01T09:00"))], State.REFUSED,
                           "2027-08-31"),
    "refused before": ([GIVEN, Refusal(to=NUMBER, at=at("2026-08-31T10:00"))], State.IN_FORCE,
                       "2027-08-31"),
    "objected": ([Objection(to=NUMBER, at=at("2026-08-20T10:00")), GIVEN], State.OBJECTED,
                 "2027-08-31"),
    "objection lifted": ([Objection(to=NUMBER, at=at("2026-08-20T10:00")),
                          ObjectionLifted(to=NUMBER, at=at("2026-08-21T10:00")), GIVEN],
                         State.IN_FORCE, "2027-08-31"),
}  # fmt: skip


@pytest.mark.parametrize(("events", "state", "last"), HOW.values(), ids=HOW.keys())
def test_a_consent_stands_as_the_gates_take_it(
    world: World, events: list[Event], state: State, last: str | None
) -> None:
    for event in events:
        world.say(event)

    (stands,) = [s for s in story(world).standings if s.purpose == "fibre"]

    assert stands.state is state
    assert stands.last_day == (None if last is None else date.fromisoformat(last))


def test_a_consent_to_insurance_lasts_thirty_days(world: World) -> None:
    world.say(consent("2026-11-01", purpose="cover"))

    (stands,) = [s for s in story(world).standings if s.purpose == "cover"]

    assert (stands.state, stands.last_day) == (State.IN_FORCE, date(2026, 12, 1))


def test_a_standing_names_the_campaigns_that_the_text_covers(world: World) -> None:
    def covered() -> list[Standing]:
        return [s for s in story(world).standings if s.purpose == "fibre"]

    world.say(GIVEN)
    assert covered()[0].campaigns == ("acme-fibre",)

    world.say(consent("2026-09-02", text="flyer"))
    assert covered()[0].campaigns == ()


def test_a_consent_on_which_the_gates_let_no_call_rest_is_not_called_in_force(
    world: World,
) -> None:
    world.say(consent("2026-09-02", text="flyer"))

    told = story(world)

    (stands,) = [s for s in told.standings if s.purpose == "fibre"]
    assert (stands.state, stands.flaws) == (State.DEFECTIVE, (Flaw.MENTIONS, Flaw.PARTIES))
    sentence = "En cours, mais ne permet aucun appel : il manque au texte des mentions exigées"
    assert sentence in screen(told, FRENCH)
    assert sentence in text_of(print_story(told, FRENCH))
    assert "En vigueur" not in text_of(print_story(told, FRENCH))


@given(
    mentions=st.sets(st.sampled_from(sorted(MENTIONS)), min_size=len(MENTIONS) - 1),
    parties=st.sets(st.sampled_from(["acme", "callco"])),
    channel=st.sampled_from(Channel),
    automated=st.booleans(),
    sector=st.sampled_from(["telecom", "insurance"]),
    dial_mode=st.sampled_from(DialMode),
)
def test_a_text_has_flaws_where_the_gates_do_not_take_it_and_nowhere_else(
    mentions: set[str],
    parties: set[str],
    channel: Channel,
    automated: bool,  # noqa: FBT001 - one of the sides
    sector: str,
    dial_mode: DialMode,
) -> None:
    text = Text(
        mentions=frozenset(mentions),
        parties=frozenset(parties),
        channel=channel,
        automated=automated,
    )
    campaign = msgspec.structs.replace(FIBRE, sector=sector, dial_mode=dial_mode)

    assert (not flaws(text, campaign)) is bool(sound_texts(campaign, {"a": text}, {"a": 1}))


# --- times ----------------------------------------------------------------------------------------


def test_of_what_is_known_by_the_day_only_no_time_is_told(world: World) -> None:
    given = at("2026-09-01T12:00")
    proof = Proof(uri="https://crm.example/1", sha256="ab" * 32, collected_at=given)
    world.say(consent("2026-09-01", at=given, source="import (day only)", proof=proof))
    world.say(Refusal(to=NUMBER, at=at("2026-09-03T12:00"), source="import (day only)"))

    world.say(Objection(to=NUMBER, at=at("2026-09-04T12:00"), source="import (no date)"))

    told = story(world)

    for said in (screen(told, FRENCH), text_of(print_story(told, FRENCH))):
        assert "01/09/2026" in said
        assert "Recueillie le 1er septembre 2026 ;" in said
        assert "12:00:00" not in said
        assert "import, jour seul connu" in said
    assert "import, date inconnue : jour de l’import" in screen(told, FRENCH)
    assert "du 1er septembre 2026 au 4 septembre 2026" in text_of(print_story(told, FRENCH))


# --- what it rests on -----------------------------------------------------------------------------


def test_what_is_not_at_hand_is_said_to_be_missing() -> None:
    person = Person(principal="acme", number=parse(NUMBER), keyring=KEYRING)

    told = tell(person, Sources(None, None, None), NOW, RELEASE)

    assert told.gaps == (Gap.NO_LEDGER, Gap.NO_EVIDENCE)
    assert (told.entries, told.standings, told.chains) == ((), (), ())


def test_without_a_ledger_a_gates_evidence_still_tells_its_decisions(world: World) -> None:
    world.gate().decide("2026-09-20T10:00", Verdict.ALLOW, Reason.CONSENT, ground=CONSENTED)
    person = Person(principal="acme", number=parse(NUMBER), keyring=KEYRING)

    told = tell(person, Sources(None, None, Evidence(world.folders)), NOW, RELEASE)

    assert [type(entry) for entry in told.entries] == [Ruled]
    assert told.gaps == (Gap.NO_LEDGER,)


@pytest.mark.parametrize(
    ("changes", "witnessed"),
    [
        (None, Witnessed.UNKNOWN),
        ({}, Witnessed.AGREES),
        ({"number": 4}, Witnessed.AHEAD),
        ({"link": bytes(32)}, Witnessed.DIFFERS),
    ],
)
def test_a_chain_is_named_with_its_head_and_compared_with_what_the_ledger_was_told(
    world: World, changes: dict[str, object] | None, witnessed: Witnessed
) -> None:
    gate = world.gate()
    gate.decide("2026-09-20T10:00", Verdict.ALLOW, Reason.CONSENT)
    if changes is not None:
        world.witness(msgspec.structs.replace(gate.head, **changes))

    (chain,) = story(world).chains

    assert (chain.gate, chain.chain, chain.number) == ("tunis-1", gate.head.chain, 3)
    assert (chain.link, chain.witnessed) == (gate.head.link.hex(), witnessed)


def test_no_story_rests_on_a_chain_that_was_altered(world: World) -> None:
    """Though every file is sound by itself."""
    gate = world.gate()
    for minute in range(3):
        gate.decide(f"2026-09-20T10:0{minute}", Verdict.ALLOW, Reason.CONSENT)
    (journal,) = gate.folder.glob("*/*.journal")
    filed = list(Segment(journal, 1).filed())
    body = filed[3].body.replace(b"SIP/tunis-1-2", b"SIP/tunis-1-9")
    filed[3] = msgspec.structs.replace(filed[3], body=body)
    write(journal.with_suffix(".sealed"), filed)

    with pytest.raises(EvidenceError, match=r"000001\.sealed: record 4 does not follow"):
        story(world)


def test_records_that_were_dropped_are_counted_and_the_chain_still_holds(world: World) -> None:
    gate = world.gate()
    for minute in range(3):
        gate.decide(f"2026-09-20T10:0{minute}", Verdict.ALLOW, Reason.CONSENT)
    (journal,) = gate.folder.glob("*/*.journal")
    filed = list(Segment(journal, 1).filed())
    filed[2] = msgspec.structs.replace(filed[2], body=filed[2].digest, dropped=True)
    write(journal.with_suffix(".sealed"), filed)

    told = story(world)

    assert len(told.decisions) == 2
    assert (told.chains[0].number, told.chains[0].dropped) == (5, 1)
    paper = text_of(print_story(told, FRENCH))
    assert "Effacés à l’échéance, empreinte conservée : 1" in paper
    sentence = "Effacés des preuves lues, leur durée de conservation étant écoulée : 1 enreg"
    assert sentence in paper.partition("Page 2 sur")[0]
    assert sentence in screen(told, FRENCH)


def test_segments_that_were_dropped_whole_are_counted_as_verify_counts_them(
    tmp_path: Path,
) -> None:
    old = TUESDAY - LEAST * DAY
    given = ground_of(date(2023, 11, 1))
    kept, later = decided(old - 3 * DAY, ground=given), decided(old + 300 * DAY, ground=given)
    other = decided(old - 2 * DAY, to=OTHER, ground=given)
    chain = file(tmp_path, [kept], [other], [later], [])
    recorder = Recorder("tunis-1", chain.parent, release="1.0")
    recorder.open(TUESDAY)
    planned = plan(chain, at=TUESDAY)
    state(planned, recorder)
    for swept in planned.sweeps:
        sweep(swept)
    recorder.close()
    now = datetime.fromtimestamp(TUESDAY, UTC)
    evidence = Evidence([chain.parent])

    list(evidence.records())

    assert planned.segments == 1
    (verified,) = verify([chain], now=now).chains
    assert (verified.findings, evidence.chains[0].dropped) == ((), verified.dropped)


def test_segments_that_are_gone_and_of_which_nothing_says_so_are_an_error(tmp_path: Path) -> None:
    chain = file(tmp_path, [decided(TUESDAY)], [decided(TUESDAY)], [decided(TUESDAY)])
    (chain / "000002.sealed").unlink()

    with pytest.raises(EvidenceError, match="were removed, and none says so"):
        list(Evidence([chain.parent]).records())


def test_a_folder_without_evidence_and_a_chain_given_twice_are_refused(
    world: World, tmp_path: Path
) -> None:
    folder = world.gate().folder

    with pytest.raises(EvidenceError, match="no evidence there"):
        list(Evidence([tmp_path / "nowhere"]).records())
    with pytest.raises(EvidenceError, match="give one"):
        list(Evidence([folder, folder]).records())


# --- how it is told -------------------------------------------------------------------------------

EVERY_KIND: list[Event] = [
    GIVEN,
    consent("2026-09-02", text="flyer", until=date(2026, 12, 31), source="salon",
            proof=Proof(uri="https://crm.example/1", sha256="ab" * 32, channel=Channel.PAPER,
                        collected_at=at("2026-09-02T10:00"), text_version="v3")),
    Withdrawal(to=NUMBER, purpose="fibre", at=at("2026-09-03T10:00")),
    Refusal(to=NUMBER, at=at("2026-09-04T10:00"), source="agent:17"),
    Objection(to=NUMBER, at=at("2026-09-05T10:00")),
    ObjectionLifted(to=NUMBER, at=at("2026-09-06T10:00")),
    Attempt(to=NUMBER, at=at("2026-09-07T10:00"), call="a"),
    AttemptCancelled(to=NUMBER, at=at("2026-09-08T10:00"), call="b"),
    Contract(to=NUMBER, purpose="fibre", at=at("2026-09-09T10:00"), until=date(2027, 1, 1)),
    ContractEnded(to=NUMBER, purpose="fibre", at=at("2026-09-10T10:00")),
    Callback(to=NUMBER, purpose="fibre", at=at("2026-09-11T10:00"), explicit=True),
    Slot(to=NUMBER, purpose="fibre", at=at("2026-09-12T10:00"), start=at("2026-09-19T11:00"),
         minutes=30),
    Bloctel(to=NUMBER, at=at("2026-03-12T10:00"), until=date(2026, 8, 10)),
]  # fmt: skip


@pytest.fixture
def full(world: World) -> Story:
    """A person to whom everything has happened."""
    gate = world.gate()
    assert {type(event) for event in EVERY_KIND} == set(get_args(AnyEvent))
    for event in EVERY_KIND:
        world.say(event)
    for minute, reason in enumerate(Reason):
        gate.decide(
            at("2026-10-01T10:00") + timedelta(minutes=minute),
            list(Verdict)[minute % 3],
            reason,
            ground=facts(
                text=1, withdrawn=minute % 2 > 0, consent_from="2026-09-01", contract_until=65535,
                callback_on="2026-09-11", slot_at=1_790_000_000,
            ),
            restraints=(restraint(refused_on="2026-09-04", objected=True, attempts=("2026-09-07",),
                                  bloctel_until="2026-08-10"),),
            age=None if minute == 0 else 0.2,
        )  # fmt: skip
    return story(world)


@pytest.mark.parametrize("tongue", [FRENCH, ENGLISH], ids=["fr", "en"])
def test_every_entry_is_told_in_both_languages(full: Story, tongue: Tongue) -> None:
    told = [told_of(entry, full, tongue) for entry in full.entries]

    assert len(told) == len(EVERY_KIND) + len(Reason)
    assert all(one.headline and one.reference for one in told)


def test_the_sentences_are_the_ones_that_are_meant(full: Story) -> None:
    told = [told_of(entry, full, ENGLISH) for entry in full.entries]

    assert [one.headline for one in told][:13] == [
        "On Bloctel until 10\u00a0August 2026",
        "Consent given – fibre",
        "Consent given – fibre",
        "Consent withdrawn – fibre",
        "Canvassing refused",
        "Objection to all canvassing by this advertiser",
        "Objection lifted",
        "Call attempted, outcome not told",
        "Call not placed, attempt given back",
        "Contract in progress – fibre",
        "Contract ended – fibre",
        "Callback asked of the company by name – fibre",
        "Time agreed: 19\u00a0September 2026, 11:00:00 (30 min) – fibre",
    ]
    flyer = "; ".join(told[2].details)
    assert "Text shown: flyer (paper form), naming Acme Télécom SAS" in flyer
    assert "that are missing: the period of the consent, of one year at most; the right" in flyer
    assert "Period stated: until 31\u00a0December 2026" in flyer
    assert f"SHA-256 of the proof: {'ab' * 32}" in flyer


def test_what_is_on_the_screen_is_on_paper(full: Story) -> None:
    console = Console(file=StringIO(), width=200)
    console.print(draw_story(full, FRENCH))
    file = console.file
    assert isinstance(file, StringIO)
    screen = " ".join(file.getvalue().replace("\u00a0", " ").split())

    paper = text_of(print_story(full, FRENCH))

    for text in ("06 39 98 00 01", "Refus d’être démarché", "Opposition levée", "tunis-1",
                 full.chains[0].chain, "Articles cités"):  # fmt: skip
        assert text in screen
        assert text in paper
    assert full.chains[0].link[:32] in paper


def test_a_person_of_whom_nothing_is_known_has_a_story_that_says_so() -> None:
    person = Person(principal="acme", number=parse(NUMBER), keyring=KEYRING, consumer="crm-42")
    told = tell(person, Sources(None, None, None), NOW, RELEASE)
    console = Console(file=StringIO(), width=200)
    console.print(draw_story(told, ENGLISH))
    assert isinstance(console.file, StringIO)

    paper = text_of(print_story(told, ENGLISH))

    for text in ("Nothing was found about this number", "The ledger was not consulted"):
        assert text in paper
        assert text in console.file.getvalue()
    assert "crm-42" in paper
    assert "without evidence of gates" in paper


def test_json_tells_all_and_is_the_same_each_time(full: Story) -> None:
    encoded = msgspec.json.encode(full, order="deterministic")

    again = msgspec.json.decode(encoded, type=Story)

    assert again == full
    assert msgspec.json.encode(again, order="deterministic") == encoded
