"""Permits are kept for outcomes that come by another way: so many, and for so long."""

from ringfence.call import Call, Outcome
from ringfence.decision import Decision, Reason, Verdict
from ringfence.permit import Permit, Permits

ALLOWED = Decision(Verdict.ALLOW, Reason.CONSENT)


async def nobody(_permit: Permit, _outcome: Outcome) -> None:
    """Closes no permit."""


def permit(name: str, since: float) -> Permit:
    call = Call(to="+33639980001", campaign="c", id=name)
    return Permit(call, ALLOWED, "acme", since, nobody)


def test_a_permit_is_found_by_its_call_until_its_time_is_over() -> None:
    permits = Permits(limit=10, kept=60)
    first = permit("a", 0)
    permits.add(first)

    assert permits.get("a", 60) is first
    assert permits.get("a", 60.1) is None
    assert permits.get("b", 0) is None


def test_the_oldest_go_when_there_are_too_many_or_their_time_is_over() -> None:
    permits = Permits(limit=2, kept=60)
    for name, since in [("a", 0), ("b", 1), ("c", 2)]:
        permits.add(permit(name, since))
    assert [name for name in "abc" if permits.get(name, 2)] == ["b", "c"]

    permits.add(permit("d", 62.5))

    assert len(permits) == 1


def test_a_permit_asked_for_anew_takes_the_place_of_the_old_one_and_is_the_youngest() -> None:
    permits = Permits(limit=2, kept=60)
    again = permit("a", 2)
    for each in (permit("a", 0), permit("b", 1), again, permit("c", 3)):
        permits.add(each)

    assert permits.get("a", 3) is again
    assert permits.get("b", 3) is None
