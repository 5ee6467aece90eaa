"""Tables that another process keeps in step, and replaces while a call is decided."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ringfence.aside import at_once
from ringfence.bulletin import Bulletin
from ringfence.decision import Reason
from ringfence.follower import CONFIG, PAGE, Follower
from ringfence.mapped import TableBusy
from ringfence.page import NOTHING, Page, Vouched
from ringfence.replica import Now, Patience
from ringfence.row import NO_FACTS, Restraint
from ringfence.shelf import RESTRAINT, DiskShelf
from ringfence.table import Table
from ringfence.wire import Config, Log, encode

DEFAULT = Patience()
NOW = Now(100.0, 1_000_100.0)
SURE = Vouched(
    epoch=1, seq=5, proved_at=99.0, sure_until=159.0, sure_clock=1_000_000.0, doubt=None,
    config_epoch=1, config_version=1,
)  # fmt: skip


class Syncing:
    """A page, in which is vouched for tables beside one bulletin."""

    def __init__(self, page: Page, bulletin: Bulletin) -> None:
        self._page = page
        self._series = bulletin.series

    def say(self, vouched: Vouched) -> None:
        self._page.say(vouched._replace(series=vouched.series or self._series))


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Syncing]:
    """What the syncer vouches for, beside tables of epoch 1 and their configuration."""
    shelf = DiskShelf(tmp_path)
    tables = shelf.new(1, 10, 10)
    assert tables is not None
    shelf.keep(*tables)
    for table in tables:
        table.close()
    (tmp_path / CONFIG).write_bytes(encode(Config(1, 1, {}, {}, {})))
    page, bulletin = Page.create(tmp_path / PAGE), Bulletin.open(tmp_path / "bulletin")
    syncing = Syncing(page, bulletin)
    syncing.say(SURE)
    yield syncing
    page.close()
    bulletin.close()


@contextmanager
def opened(folder: Path, patience: Patience = DEFAULT) -> Iterator[Follower]:
    bulletin = Bulletin.open(folder / "bulletin")
    follower = Follower("acme", folder, patience, bulletin, lambda: False, at_once)
    yield follower
    follower.close()
    bulletin.close()


@pytest.fixture
def follower(tmp_path: Path, page: Syncing) -> Iterator[Follower]:
    del page  # it is there
    with opened(tmp_path) as follower:
        for _ in range(2):  # the page, and the configuration that it means
            follower.fetch()
            follower.tick(NOW)
        yield follower


def test_before_there_is_a_page_nothing_is_known(tmp_path: Path) -> None:
    with opened(tmp_path) as follower:
        assert follower.doubt(NOW) is NOTHING.doubt
        assert follower.restraint(1) == NO_FACTS


def test_what_the_syncer_vouches_for_is_told(follower: Follower) -> None:
    origin = follower.origin(NOW.mono)

    assert follower.doubt(NOW) is None
    assert (origin.epoch, origin.seq, origin.age) == (1, 5, 1.0)
    assert follower.skew(NOW) == 0.0


def test_a_change_that_comes_while_a_call_is_decided_takes_nothing_back(
    follower: Follower, page: Syncing
) -> None:
    doubt, ground = follower.doubt(NOW), follower.ground(1)
    page.say(SURE._replace(seq=6))

    assert (doubt, ground, follower.restraint(1)) == (None, NO_FACTS, NO_FACTS)
    assert follower.seq == 6


@pytest.mark.parametrize(
    "said",
    [NOTHING, SURE._replace(loads=1), SURE._replace(epoch=2)],
    ids=["nothing", "loaded anew", "another epoch"],
)
def test_no_call_is_decided_on_tables_that_were_given_up_or_replaced_meanwhile(
    follower: Follower, page: Syncing, said: Vouched
) -> None:
    assert follower.doubt(NOW) is None
    follower.ground(1)
    page.say(said)

    with pytest.raises(TableBusy, match="changed while a call was decided"):
        follower.restraint(1)


def test_after_its_end_it_vouches_for_nothing(follower: Follower) -> None:
    follower.close()

    assert follower.doubt(NOW) is not None


def test_of_a_change_that_was_heard_and_that_the_tables_do_not_show_the_gate_doubts(
    follower: Follower, page: Syncing
) -> None:
    """A withdrawal, for instance, and a syncer that was stopped: the old consent is still there."""
    follower.receive_log(Log(1, 6, 6, row(7), b"", []), NOW)
    soon, later = Now(100.1, 1_000_100.1), Now(100.3, 1_000_100.3)
    doubts = follower.doubt(soon), follower.doubt(later)

    page.say(SURE._replace(seq=6))

    assert doubts == (None, Reason.NOT_READY)
    assert follower.doubt(later) is None


def test_a_page_that_is_renewed_without_that_change_does_not_end_the_doubt(
    follower: Follower, page: Syncing
) -> None:
    follower.receive_log(Log(1, 6, 7, row(7), b"", []), NOW)
    page.say(SURE._replace(seq=5, proved_at=100.2, sure_until=160.2))

    assert follower.doubt(Now(100.3, 1_000_100.3)) is Reason.NOT_READY


def test_a_gate_that_is_less_patient_than_the_syncer_goes_by_its_own_time(
    tmp_path: Path, page: Syncing
) -> None:
    del page  # it is there
    with opened(tmp_path, Patience(stale_after=10)) as follower:
        for _ in range(2):
            follower.fetch()
            follower.tick(NOW)
        doubts = [follower.doubt(Now(at, at + 1_000_000.0)) for at in (108.9, 109.1)]

    assert doubts == [None, Reason.STALE]


def row(key: int) -> bytes:
    return np.array([[key, 1 << 16, 0]], np.uint64).tobytes()


def test_what_was_vouched_for_beside_another_bulletin_counts_for_nothing(
    follower: Follower, page: Syncing
) -> None:
    """All gates of the machine had ended: what they had told one another is in their outboxes."""
    before = follower.doubt(NOW)
    page.say(SURE._replace(series=1))

    assert (before, follower.doubt(NOW)) == (None, Reason.NOT_READY)


def test_an_early_row_does_not_hide_a_later_one_of_the_table(
    follower: Follower, page: Syncing, tmp_path: Path
) -> None:
    """The refusal was dropped from the bulletin, as the table shows it by now."""
    key = 7
    follower.receive_log(Log(1, 6, 6, b"", row(key), []), NOW)
    follower.doubt(NOW)
    follower.ground(key)
    table = Table.open(tmp_path / RESTRAINT)
    refused = Restraint(refused_on=2000).pack()
    table.upsert(np.array([[key, *refused]], np.uint64))
    page.say(SURE._replace(seq=7))
    table.close()

    assert follower.restraint(key) == refused


def test_a_batch_of_a_later_epoch_is_a_doubt_until_the_ledger_has_proved_the_tables_again(
    follower: Follower, page: Syncing
) -> None:
    """The ledger was replaced, and the syncer, which was stopped, does not say so."""
    soon, later = Now(100.1, 1_000_100.1), Now(100.3, 1_000_100.3)
    follower.receive_log(Log(2, 1, 1, row(7), b"", []), NOW)
    doubts = follower.doubt(soon), follower.doubt(later)

    page.say(SURE._replace(seq=6))
    renewed = follower.doubt(later)
    page.say(SURE._replace(seq=6, proved_at=100.2, sure_until=160.2))

    assert doubts == (None, Reason.NOT_READY)
    assert renewed is Reason.NOT_READY
    assert follower.doubt(later) is None
