"""Messages are what the protocol says, or a WireError: nothing a peer sends ends a process."""

import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.truth import NOON, TEXT, Truth, key, refusal

from ringfence.event import Keys, Refusal
from ringfence.row import ROW
from ringfence.snapshot import PART_ROWS
from ringfence.wire import (
    MAX_MESSAGE,
    MAX_REPORT,
    MAX_ROWS,
    MAX_SHARDS,
    MAX_TABLE,
    Ask,
    ChainHead,
    Config,
    Gone,
    Head,
    Known,
    Log,
    Presence,
    Range,
    Rejected,
    Reply,
    Snapshot,
    Topic,
    WireError,
    Witnessed,
    decode,
    decode_reply,
    encode,
    encode_report,
    event_id,
    pack,
    read_event,
    read_report,
    unpack,
    whole_rows,
)

HEAD = Head(7, 3, NOON, 2**64 - 1, 0, 5, 6, 4, 1)
LOG = Log(7, 1, 2, b"", bytes(range(ROW)), ["a", "b"])
MESSAGES = [
    HEAD,
    LOG,
    Snapshot(7, 3, 0, 4, 0, 1, pack(b""), pack(bytes(range(ROW)))),
    Config(7, 1, {}, {"web-1": TEXT}, {"web-1": 1}),
    Ask("gate", 7, shards=[1, 2]),
    ChainHead("gate", "00ff00ff00ff00ff", 2**63 - 1, bytes(32), NOON),
    Presence(online=True, version="1", boot="x", age=0.5),
]
REPLIES: list[Reply] = [
    Rejected("a", "why"),
    Known(7, 3, ["a"]),
    Gone(7, 1),
    Range(LOG),
    Witnessed("00ff00ff00ff00ff", 5),
]
EVENT = msgspec.msgpack.encode(refusal(1))

READERS: list[Callable[[bytes], object]] = [
    *(partial(decode, kind=type(message)) for message in MESSAGES),
    decode_reply,
    read_report,
    read_event,
    lambda data: read_event(data, json=True),
    unpack,
    whole_rows,
    lambda data: Topic.parse(data.decode("latin-1")),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_read_as_it_was_written(message: msgspec.Struct) -> None:
    assert decode(encode(message), type(message)) == message


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: type(reply).__name__)
def test_a_reply_is_read_as_it_was_written(reply: Reply) -> None:
    assert decode_reply(encode(reply)) == reply


def read_by_all(data: bytes) -> None:
    """Whatever it is, every reader gives something or raises WireError."""
    for reader in READERS:
        with suppress(WireError):
            reader(data)
    assert isinstance(event_id(data), str)
    assert isinstance(event_id(data, json=True), str)


@given(data=st.binary(max_size=300))
@example(data=b"\x91" * 90_000)
@example(data=b"[" * 90_000)
@example(data=b"\x81\xa1a" * 30_000)
@example(data=b"\xdd\xff\xff\xff\xff")
@example(data=b"\x82\xa6events\x90\xa6sender\xa1\xff")
@example(data=b'{"events":[],"sender":"\xff"}')
@example(data=b"")
def test_garbage_is_a_wire_error_whoever_reads_it(data: bytes) -> None:
    read_by_all(data)


@given(
    message=st.sampled_from([encode(m) for m in [*MESSAGES, *REPLIES]]),
    at=st.integers(0, 200),
    octets=st.binary(max_size=12),
)
def test_a_message_with_wrong_octets_in_it_is_a_wire_error_or_another_message(
    message: bytes, at: int, octets: bytes
) -> None:
    read_by_all(message[:at] + octets + message[at + len(octets) :])


# --- what no message may say ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Head, [7, 2**63, NOON, 0, 0, 0, 0, 1, 1]),
        (Head, [-1, 0, NOON, 0, 0, 0, 0, 1, 1]),
        (Head, [7, 0, "2026-11-24T12:00:00", 0, 0, 0, 0, 1, 1]),
        (Head, [7, 0, NOON, -5, 0, 0, 0, 1, 1]),
        (Head, [7, 0, NOON, 0, 0, 0, 0, 0, 1]),
        (Head, [7, 0, NOON, 0, 0, 0, 0, 3, 1]),
        (Head, [7, 0, NOON, 0, 0, 0, 0, 2 * MAX_SHARDS, 1]),
        (Head, [7, 0, NOON, 0, 0, MAX_TABLE + 1, 0, 1, 1]),
        (Head, [7, 0, NOON, 0, 0, 0, 2**60, 1, 1]),
        (Log, [7, 0, 0, b"", b"", []]),
        (Log, [7, 5, 4, b"", b"", []]),
        (Ask, ["gate/#", 7]),
        (Ask, ["gate\n", 7]),
        (Ask, ["", 7]),
        (Ask, ["gate", 7, 2**63, 0]),
        (Ask, ["gate", 7, 0, 0, [-1]]),
        (ChainHead, ["gate/#", "0" * 16, 1, bytes(32), NOON]),
        (ChainHead, ["gate", "0" * 15, 1, bytes(32), NOON]),
        (ChainHead, ["gate", "G" * 16, 1, bytes(32), NOON]),
        (ChainHead, ["gate", "0" * 16 + "\n", 1, bytes(32), NOON]),
        (ChainHead, ["gate", "0" * 16, 0, bytes(32), NOON]),
        (ChainHead, ["gate", "0" * 16, 2**63, bytes(32), NOON]),
        (ChainHead, ["gate", "0" * 16, 1, bytes(31), NOON]),
        (ChainHead, ["gate", "0" * 16, 1, bytes(33), NOON]),
        (ChainHead, ["gate", "0" * 16, 1, bytes(32), "2026-11-24T12:00:00"]),
    ],
)
def test_numbers_and_names_out_of_range_are_wire_errors(
    kind: type[msgspec.Struct], fields: list[object]
) -> None:
    with pytest.raises(WireError, match=kind.__name__):
        decode(encode(fields), kind)


def test_a_row_without_a_key_or_cut_short_is_a_wire_error() -> None:
    for rows in (b"\0" * ROW, b"\1" * (ROW - 1)):
        with pytest.raises(WireError):
            whole_rows(rows)
        with pytest.raises(WireError):
            unpack(pack(rows))


def test_what_unpacks_to_more_than_a_message_holds_is_a_wire_error() -> None:
    with pytest.raises(WireError, match="more than"):
        unpack(zlib.compress(b"\1" * (MAX_ROWS + ROW)))


def test_packed_rows_that_were_cut_are_a_wire_error() -> None:
    with pytest.raises(WireError, match="cut"):
        unpack(pack(b"\1" * 10 * ROW)[:-3])


@pytest.mark.parametrize(
    "text", ["", "ringfence/2/acme/head", "ringfence/1/acme", "ringfence/1/acme/head/x", "a/b/c/d"]
)
def test_a_foreign_topic_is_a_wire_error_that_quotes_it(text: str) -> None:
    with pytest.raises(WireError, match=repr(text)):
        Topic.parse(text)


def test_a_topic_is_read_as_it_was_written() -> None:
    for topic in (
        Topic("acme", "head"),
        Topic("acme", "chain"),
        Topic("acme", "reply", "g"),
        Topic("acme", "gate", "g"),
    ):
        assert Topic.parse(str(topic)) == topic


# --- nothing is too large for a broker ------------------------------------------------------------


def test_a_full_batch_with_the_longest_ids_and_both_keys_fits_in_a_message() -> None:
    events = [refusal(n, name=f"{n:064}", consumer=2**64 - n) for n in range(1, 513)]

    log = Truth(epoch=2**63 - 1).tell(*events)

    assert len(log.restraint) == 2 * 512 * ROW
    assert len(encode(Range(log))) < MAX_MESSAGE


def test_a_part_of_rows_that_do_not_compress_fits_in_a_message() -> None:
    rows = bytes(
        b"".join(
            (n * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "little") for n in range(3 * PART_ROWS)
        )
    )

    part = Snapshot(2**63 - 1, 2**63 - 1, 1, 2, 1, 2, pack(rows), pack(b""))

    assert len(encode(part)) < MAX_MESSAGE


def test_a_question_for_all_shards_but_one_fits_in_a_message() -> None:
    ask = Ask("g" * 48, 2**63 - 1, shards=list(range(1, MAX_SHARDS)))

    assert len(encode(ask)) < MAX_MESSAGE


# --- what publishers send -------------------------------------------------------------------------


def test_a_report_is_read_whether_json_or_msgpack_one_event_or_many() -> None:
    packed, told = msgspec.msgpack.encode, msgspec.json.encode
    event = refusal(1)

    for report in ({"sender": "crm", "events": [event]}, [event], event):
        for write, json in ((packed, False), (told, True)):
            sender, events, is_json = read_report(write(report))

            assert (sender, is_json) == ("crm" if isinstance(report, dict) else "", json)
            assert [read_event(data, json=json) for data in events] == [event]


def test_a_report_of_encoded_events_is_read_as_it_was_written() -> None:
    assert read_report(encode_report("gate", [EVENT, EVENT])) == ("gate", [EVENT, EVENT], False)


def test_keys_above_what_json_carries_may_come_as_text() -> None:
    told = msgspec.json.encode(refusal(1)).replace(str(key(1)).encode(), b'"18446744073709551615"')

    event = read_event(told, json=True)

    assert isinstance(event, Refusal)
    assert event.keys == Keys(number=2**64 - 1)


@pytest.mark.parametrize("sender", ["a/b", "#", "x" * 49, "é", 5])
def test_a_sender_that_names_no_topic_is_a_wire_error_with_its_place(sender: object) -> None:
    with pytest.raises(WireError, match=r"not a report: .*\$\.sender"):
        read_report(msgspec.json.encode({"sender": sender, "events": []}))


def test_a_report_of_too_many_events_is_a_wire_error_that_says_how_many() -> None:
    with pytest.raises(WireError, match=str(MAX_REPORT)):
        read_report(msgspec.msgpack.encode([0] * (MAX_REPORT + 1)))


def test_an_error_in_an_event_names_its_place() -> None:
    with pytest.raises(WireError, match=r"\$\.keys\.number"):
        read_event(b'{"kind":"refusal","keys":{"number":"x"}}', json=True)


def test_the_id_of_what_is_no_event_is_found_if_there_is_one() -> None:
    assert event_id(b'{"id":"a","kind":"nonsense"}', json=True) == "a"
    assert event_id(msgspec.msgpack.encode({"id": "b"})) == "b"
    assert event_id(msgspec.msgpack.encode({"id": 7})) == ""
    assert event_id(b"3") == ""


def test_an_instant_is_the_same_whatever_its_offset() -> None:
    said = datetime.fromisoformat("2026-11-24T13:00:00+01:00")

    head = decode(encode(msgspec.structs.replace(HEAD, at=said)), Head)

    assert head.at == said
    assert head.at.tzinfo == UTC
