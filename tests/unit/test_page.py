"""A page says what its writer said last, or nothing: after a kill, a reboot, on another machine."""

import math
import platform
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ringfence.decision import DOUBTS, Reason
from ringfence.page import DOUBTS as NUMBERED
from ringfence.page import NOTHING, STAMP, Page, PageError, Vouched, boot_of_machine

SURE = Vouched(3, 12, 1000.5, 1060.5, 1.7e9, None, 3, 4, 1, 10_000_000, 1_000_000)
BOOT, NEXT = b"1" * 16, b"2" * 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "acme.page"


@pytest.fixture
def writer(path: Path) -> Iterator[Page]:
    with closing(Page.create(path, boot=BOOT)) as page:
        yield page


@pytest.fixture
def reader(writer: Page, path: Path) -> Iterator[Page]:
    assert writer.read() == NOTHING
    with closing(Page.open(path, boot=BOOT)) as page:
        yield page


def test_nobody_vouches_for_anything_at_first(reader: Page) -> None:
    assert reader.read() == NOTHING
    assert (NOTHING.sure_until, NOTHING.doubt) == (-math.inf, Reason.NOT_READY)


@pytest.mark.parametrize(
    "vouched",
    [SURE, NOTHING, *(SURE._replace(proved_at=None, doubt=doubt) for doubt in sorted(DOUBTS))],
)
def test_what_is_said_is_read_at_once(writer: Page, reader: Page, vouched: Vouched) -> None:
    writer.say(SURE)

    writer.say(vouched)

    assert reader.read() == vouched


def test_the_stamp_tells_whether_something_was_said(writer: Page, reader: Page) -> None:
    before = reader.stamp
    assert reader.stamp == before

    writer.say(SURE)

    assert reader.stamp != before


def test_a_writer_that_was_killed_while_it_spoke_has_said_nothing(
    writer: Page, reader: Page, path: Path
) -> None:
    writer.say(SURE)
    writer.words[STAMP] += 1

    stamp = reader.stamp
    assert reader.read() == NOTHING

    with closing(Page.create(path, boot=BOOT)) as successor:
        assert reader.stamp > stamp
        assert reader.read() == NOTHING
        successor.say(SURE)
        assert reader.read() == SURE


def test_whoever_takes_a_page_over_vouches_for_nothing_yet(
    writer: Page, reader: Page, path: Path
) -> None:
    writer.say(SURE)

    with closing(Page.create(path, boot=BOOT)):
        assert reader.read() == NOTHING


def test_a_page_of_before_a_reboot_vouches_for_nothing(writer: Page, path: Path) -> None:
    """The clock began anew, so that what was sure long ago might seem to be so still."""
    writer.say(SURE)

    with closing(Page.open(path, boot=NEXT)) as reader:
        assert reader.read() == NOTHING
        with closing(Page.create(path, boot=NEXT)) as successor:
            successor.say(SURE)
            assert reader.read() == SURE


def test_a_doubt_of_a_later_release_is_a_doubt(writer: Page, reader: Page) -> None:
    writer.say(SURE._replace(doubt=Reason.STALE))
    memory = writer._memory
    at = memory.find((2).to_bytes(8, "little"), 24 + 56)
    memory[at] = 99

    assert reader.read().doubt is Reason.NOT_READY


def test_each_doubt_has_a_number_of_its_own_for_good() -> None:
    """Another release may write the page."""
    assert NUMBERED[:7] == (
        None,
        Reason.NOT_READY,
        Reason.STALE,
        Reason.DIVERGED,
        Reason.CLOCK_SKEW,
        Reason.FORKED,
        Reason.EVIDENCE_UNAVAILABLE,
    )


@pytest.mark.parametrize("content", [b"", b"foreign" * 1000])
def test_what_is_no_page_is_refused_and_can_be_taken_over(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(PageError, match="the keeper of the tables"):
        Page.open(path)

    with closing(Page.create(path)) as page, closing(Page.open(path)) as reader:
        page.say(SURE)
        assert reader.read() == SURE


def test_a_page_that_is_not_there_is_refused(path: Path) -> None:
    with pytest.raises(PageError, match="No such file"):
        Page.open(path)


@pytest.mark.usefixtures("writer")
def test_only_the_owner_may_read_the_page(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_machine_that_may_reorder_stores_shares_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")

    for use in Page.create, Page.open:
        with pytest.raises(PageError, match="not to be shared on aarch64"):
            use(path)


def test_the_boot_of_a_machine_is_one_and_the_same() -> None:
    assert boot_of_machine() == boot_of_machine()
    assert len(boot_of_machine()) == 16
