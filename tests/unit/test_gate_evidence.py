"""No evidence, no call: what a gate writes of its decisions, and what it does when it cannot."""

import re
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_gate import CALL, NUMBER, House, confirmed, full_disk, settings, until

from ringfence import Call, Outcome, Reason, Refusal, Verdict
from ringfence.book import NOTHING, Book, Plan
from ringfence.campaign import DialMode
from ringfence.config import AttemptSettings
from ringfence.decision import Decision
from ringfence.evidence.record import (
    AnyRecord,
    Configured,
    Decided,
    EvidenceError,
    Learned,
    Opened,
    territories,
)
from ringfence.evidence.segment import records
from ringfence.ledger.archive import Archive
from ringfence.number import METROPOLE, Keyring
from ringfence.permit import Permit
from ringfence.registrar import attest
from ringfence.replica import Patience, Replica
from ringfence.row import NO_FACTS, Ground, day_of
from ringfence.rules import france
from ringfence.rules.rulebook import Terms, judge
from ringfence.shelf import DiskShelf


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def evidence(house: House, gate: str = "a") -> list[AnyRecord]:
    def read() -> list[AnyRecord]:
        return [record for _, record in records(house.folder / gate / "evidence")]

    return await anyio.to_thread.run_sync(read)


async def decided(house: House) -> list[Decided]:
    return [record for record in await evidence(house) if isinstance(record, Decided)]


def size_of_evidence(house: House) -> int:
    (journal,) = (house.folder / "a" / "evidence").rglob("*.journal")
    return journal.stat().st_size


def heads(house: House) -> list[tuple[str, str, str, int, bytes]]:
    with Archive.open(house.folder / "ledger.sqlite") as archive:
        return [(w.principal, w.gate, w.chain, w.number, w.link) for w in archive.heads("a")]


async def nobody(_permit: Permit, _outcome: Outcome) -> None:
    """Closes no permit."""


# --- what is written ------------------------------------------------------------------------------


async def test_every_answer_of_admit_is_one_record_with_what_it_rests_on(house: House) -> None:
    async with house.open() as gate:
        allowed = await gate.admit(CALL)
        denied = await gate.admit(Call(to="+33639980002", campaign="acme-fibre", id="b"))
        config = gate._books["acme"].config
        again = await gate.admit(CALL)

    first, second = await decided(house)
    assert again is allowed
    assert (first.id, first.call, first.verdict) == (allowed.decision.id, CALL.id, Verdict.ALLOW)
    assert (first.reason, first.principal, first.config) == (Reason.CONSENT, "acme", config)
    assert (first.caller_id, first.territories) == ("+33162000001", ("FR",))
    assert first.ground != (0, 0)
    assert (second.id, second.reason) == (denied.decision.id, denied.decision.reason)


async def test_a_decision_can_be_made_again_from_its_record(house: House) -> None:
    async with house.open() as gate:
        for to in (NUMBER, "+33639980002", "x", "+32470123456"):
            await gate.admit(Call(to=to, campaign="acme-fibre", caller_id="+33162000001"))
        terms = gate._plans["acme-fibre"].terms

    for record in await decided(house):
        judged = judge(
            france.rulebook_of(record.rulebook),
            terms,
            None if record.territories is None else territories(record.territories),
            record.caller_id,
            (record.ground, record.restraints),
            record.at,
        )
        assert (judged.verdict, judged.reason) == (record.verdict, record.reason)
        assert judged.retry_at == record.retry_at  # today's four answers know no later instant


async def test_the_first_records_say_whose_chain_it_is_and_on_what_it_decides(
    house: House,
) -> None:
    async with house.open():
        pass

    opened, configured, *_ = await evidence(house)
    assert isinstance(opened, Opened)
    assert isinstance(configured, Configured)
    assert (opened.gate, configured.principal) == ("a", "acme")
    assert set(configured.config.campaigns) == {"acme-fibre"}


async def test_no_file_holds_the_number_that_was_called(house: House) -> None:
    """However the dialer writes it into what it calls its calls."""
    async with house.open() as gate:
        for n, name in enumerate(
            [NUMBER, "SIP/0639980001-07", "06 39 98 00 01", "x06.39.98.00.01"]
        ):
            await gate.admit(
                Call(to=NUMBER, campaign="acme-fibre", id=f"{name}{n}", reference=name)
            )
            await gate.admit(Call(to=NUMBER, campaign=name, id=f"{n}"))

    written = b"".join(p.read_bytes() for p in (house.folder / "a").rglob("*") if p.is_file())
    assert written
    assert not re.search(rb"6\D?3\D?9\D?9\D?8\D?0\D?0\D?0\D?1", written)


async def test_half_a_character_in_what_a_dialer_says_stops_nothing(house: House) -> None:
    """JSON can write one, and then every text of the call may hold it."""
    half = "\ud83d"
    call = Call(to=NUMBER, campaign="acme-fibre", caller_id=half, consumer=half, reference=half)
    async with house.open() as gate:
        checked = gate.check(call)
        permit = await gate.admit(msgspec.structs.replace(call, campaign=half, id=f"x-{half}-y-z"))

    assert checked.reason is Reason.CALLER_ID_FOREIGN
    assert permit.decision.reason is Reason.UNKNOWN_CAMPAIGN
    assert len(await decided(house)) == 1


async def test_of_a_number_that_cannot_be_read_nothing_is_kept_either(house: House) -> None:
    async with house.open() as gate:
        for n, to in enumerate(
            ["tel:+33639980001", "sip:0639980001@pbx", "06399800011", "0639980001#"]
        ):
            await gate.admit(Call(to=to, campaign="acme-fibre", id=f"{n}{to}", reference=to))

    records_ = await decided(house)
    assert [(r.call, r.reference) for r in records_] == [("…", "…")] * 4


async def test_a_gate_notes_when_it_comes_to_know_of_a_refusal(house: House) -> None:
    async with house.open() as here, house.gate("b") as there:
        assert await there.ready(5)
        await here.record(Refusal(to=NUMBER, principal="acme"))
        await until(lambda: not there.check(CALL))
        change = there.current_status().principals["acme"].seq

    learned = [r for r in await evidence(house, "b") if isinstance(r, Learned)]
    assert learned[0].first == 1  # all there was when it began
    assert learned[-1].first <= change <= learned[-1].last


async def test_the_ledger_keeps_the_head_of_the_chain(house: House) -> None:
    async with house.open() as gate:
        permit = await gate.admit(CALL)
        await permit.close(Outcome.ANSWERED)
        await until(lambda: gate.current_status().unwitnessed == 0)
        head = gate._registrar._recorder.head

    held = await anyio.to_thread.run_sync(heads, house)
    assert held[-1] == ("acme", "a", head.chain, head.number, head.link)


async def test_a_gate_opened_for_a_look_tells_the_ledger_of_no_chain(house: House) -> None:
    async with house.open() as gate:
        gate.check(CALL)
        assert gate.check_many([CALL, CALL])[1]

    told = [m.topic for m in house.broker.published if m.topic.endswith("/chain")]
    assert told == []


async def test_what_a_killed_gate_did_not_tell_is_told_after_its_next_start(house: House) -> None:
    async with house.open() as gate:
        await gate.admit(CALL)
        house.broker.stop()
    house.broker.start()
    async with house.ledger(), house.gate() as again:
        assert await again.ready(5)
        await until(lambda: again.current_status().unwitnessed == 0)


# --- when it cannot be written --------------------------------------------------------------------


async def test_an_attempt_whose_evidence_cannot_be_written_is_given_back(house: House) -> None:
    """The outbox, which is the smaller file, took it; the evidence does not fit any more.

    Nor can the ledger, on the same disk, say that there are attempts left: it is not asked.
    """
    async with house.open(attempts=AttemptSettings(margin=0)) as gate:
        await confirmed(gate)
        with full_disk(size_of_evidence(house)):
            permit = await gate.admit(CALL)
            outbox = gate.current_status().outbox
            doubtful = gate.check(CALL)
        await until(lambda: gate.check(CALL).allowed)
        await confirmed(gate)
        await until(lambda: gate._plans["acme-fibre"].read(NUMBER, CALL).rows[1] == ((0, 0),))
        again = await gate.admit(CALL)

    assert outbox > 0
    assert doubtful.reason is permit.decision.reason is Reason.EVIDENCE_UNAVAILABLE
    assert again
    assert [r.verdict for r in await decided(house)] == [Verdict.DEFER, Verdict.ALLOW]


async def test_a_full_disk_defers_also_what_would_be_denied(house: House) -> None:
    """A DENY that nobody could prove might be kept for ever by the dialer."""
    stranger = Call(to="+33639980002", campaign="acme-fibre", caller_id="+33162000001")
    async with house.open() as gate:
        with full_disk():
            permit = await gate.admit(stranger)
        await until(lambda: gate.current_status().writable)
        later = await gate.admit(msgspec.structs.replace(stranger, id="again"))

    assert permit.decision.reason is Reason.EVIDENCE_UNAVAILABLE
    assert later.decision.reason is Reason.NO_GROUND
    assert [r.reason for r in await decided(house)][-1] is Reason.NO_GROUND


async def test_evidence_that_was_altered_stops_the_gate_at_its_start(house: House) -> None:
    async with house.open() as gate:
        await gate.admit(CALL)
    (journal,) = (house.folder / "a" / "evidence").rglob("*.journal")
    data = bytearray(journal.read_bytes())
    data[200] ^= 1
    journal.write_bytes(data)

    with pytest.raises(EvidenceError, match="ringfence evidence verify"):
        async with house.gate():
            pass


async def test_with_fsync_a_denied_call_waits_for_its_evidence_too(house: House) -> None:
    async with house.ledger(), house.gate(durability="fsync") as gate:
        assert await gate.ready(5)
        permit = await gate.admit(CALL)

    assert permit.decision.reason is Reason.NO_GROUND
    assert len(await decided(house)) == 1


# --- what is kept of a caller ID ------------------------------------------------------------------

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC).timestamp()
AGREED = Ground(text=1, consent_from=day_of(date(2026, 11, 1))).pack()


def plan(mode: str) -> Plan:
    given = settings(Path("unused")).campaigns["acme-fibre"]
    campaign = msgspec.structs.replace(given, dial_mode=DialMode(mode))
    replica = Replica("a", DiskShelf(Path("unused")), Random(1), Patience())
    return Plan(Terms.of(campaign, frozenset([1])), Book("acme", Keyring(bytes(32)), replica), b"")


PLANS = {mode: plan(mode) for mode in ("preview", "predictive")}
shown = st.text("+0123456789 .-", max_size=70) | st.text(max_size=70)
prefixes = st.sampled_from(["", "+33162", "+2629478", "0033 6", "01 62 00 00 0", "118", "3", "089"])


@given(head=prefixes, tail=shown, mode=st.sampled_from(sorted(PLANS)))
def test_what_is_kept_of_a_caller_id_decides_as_the_whole_did(
    head: str, tail: str, mode: str
) -> None:
    call = Call(to=NUMBER, campaign="acme-fibre", caller_id=head + tail)
    permit = Permit(call, Decision(Verdict.ALLOW, Reason.CONSENT), "acme", 0.0, nobody)

    kept = attest(permit, PLANS[mode], NOTHING, NOW).caller_id

    def judged(caller_id: str | None) -> object:
        rows = AGREED, (NO_FACTS,)
        terms = PLANS[mode].terms
        return judge(france.rulebook(), terms, (METROPOLE,), caller_id, rows, NOW)

    assert judged(kept) == judged(call.caller_id)
