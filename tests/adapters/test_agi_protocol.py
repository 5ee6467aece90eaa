"""FastAGI without a socket: what the bytes mean, however they arrive and whatever they are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.adapters.fastagi import DONE, USAGE, block

from ringfence_adapters.agi.protocol import (
    Closed,
    Connection,
    Event,
    Hangup,
    Reply,
    Start,
    assign,
    command,
)
from ringfence_adapters.wire import ProtocolError

SESSION = block("ringfence", "33639980001", "acme-fibre", "") + DONE + b"HANGUP\n" + USAGE + DONE


def read(*chunks: bytes, end: bool = True) -> list[Event]:
    """Feed the chunks, then the end; give all events."""
    connection = Connection()
    events: list[Event] = []
    for chunk in [*chunks, b""] if end else chunks:
        connection.feed(chunk)
        while (event := connection.next_event()) is not None:
            events.append(event)
            if isinstance(event, Closed):
                break  # it comes again and again
    return events


def test_a_session_is_a_start_then_replies_and_hang_ups_then_the_end() -> None:
    start, *rest = read(SESSION)

    assert isinstance(start, Start)
    assert start.script == "ringfence"
    assert start.arguments == ("33639980001", "acme-fibre", "")
    assert start.variables["agi_callerid"] == "0162000001"
    assert start.variables["agi_accountcode"] == ""
    assert rest == [
        Reply(200, "result=0"),
        Hangup(),
        Reply(
            520,
            "Invalid command syntax.  Proper usage follows:\n"
            "Sets a variable to the current channel.\n"
            "End of proper usage.",
        ),
        Reply(200, "result=0"),
        Closed(),
    ]


@given(cuts=st.sets(st.integers(1, len(SESSION) - 1)))
def test_events_do_not_depend_on_how_the_bytes_arrive(cuts: set[int]) -> None:
    places = pairwise([0, *sorted(cuts), len(SESSION)])

    assert read(*(SESSION[start:stop] for start, stop in places)) == read(SESSION)


PIECES = [SESSION, b"\n", b"\n\n", b"200 ", b"520-", b"520 ", b"HANGUP\n", b"agi_arg_1: 1\n", b": "]


@given(chunks=st.lists(st.binary() | st.sampled_from(PIECES)))
def test_whatever_a_scanner_sends_there_is_one_error(chunks: list[bytes]) -> None:
    connection = Connection()
    broken = False
    for chunk in [*chunks, b""]:
        connection.feed(chunk)
        try:
            while (event := connection.next_event()) is not None and event != Closed():
                assert not broken
        except ProtocolError:
            broken = True


@given(
    session=st.lists(
        st.sampled_from([DONE, USAGE, b"HANGUP\n", b"511 Command Not Permitted\n"]), max_size=20
    )
)
def test_a_command_is_answered_once_whatever_comes_between(session: list[bytes]) -> None:
    _, *events, _ = read(block("ringfence") + b"".join(session))

    assert [isinstance(event, Hangup) for event in events] == [
        piece == b"HANGUP\n" for piece in session
    ]


def test_a_hang_up_within_a_usage_text_is_a_hang_up() -> None:
    first, rest = USAGE.split(b"\n", 1)

    _, hangup, reply, _ = read(block("ringfence") + first + b"\nHANGUP\n" + rest)

    assert hangup == Hangup()
    assert isinstance(reply, Reply)
    assert "HANGUP" not in reply.text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        block("ringfence"),
        block("ringfence") + DONE,
    ],
    ids=["at once", "after the block", "after a reply"],
)
def test_the_end_between_two_lines_is_the_end(data: bytes) -> None:
    assert read(data)[-1] == Closed()


@pytest.mark.parametrize(
    "data",
    [
        b"agi_network: yes\n",
        b"agi_network: y",
        block("ringfence") + b"200 resu",
        block("ringfence") + USAGE[:-1],
        block("ringfence") + USAGE[: USAGE.index(b"520 ")],
    ],
    ids=["in the block", "in a variable", "in a reply", "in a last line", "in a usage text"],
)
def test_the_end_inside_something_is_an_error(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="the end came inside"):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"agi_network\n\n",
        b"agi_network:yes\n\n",
        b"network: yes\n\n",
        b"agi_network: yes\nHANGUP\n\n",
        block("ringfence") + b"result=0\n",
        block("ringfence") + b"20 result=0\n",
        block("ringfence") + b"200result=0\n",
        block("ringfence") + b"\n",
        block("ringfence") + "٢٠٠ result=0\n".encode(),
    ],
)
def test_what_is_not_fastagi_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(data)


def test_a_variable_given_twice_is_refused() -> None:
    """A value with a newline in it must not name another number than the one dialled."""
    forged = block("ringfence", "33639980001\nagi_arg_1: 33639980002")

    with pytest.raises(ProtocolError, match="agi_arg_1 is given twice"):
        read(forged)


def test_an_error_quotes_no_number() -> None:
    with pytest.raises(ProtocolError) as caught:
        read(b"agi_network: yes\n0639980001\n\n")

    assert "0639980001" not in str(caught.value)
    assert "line 2" in str(caught.value)


def test_after_an_error_nothing_is_read_any_more() -> None:
    connection = Connection()
    connection.feed(b"garbage\n")
    with pytest.raises(ProtocolError):
        connection.next_event()

    connection.feed(SESSION)

    with pytest.raises(ProtocolError):
        connection.next_event()


def test_data_after_the_end_is_an_error() -> None:
    connection = Connection()
    connection.feed(b"")
    connection.feed(DONE)

    with pytest.raises(ProtocolError, match="after the end"):
        connection.next_event()


@pytest.mark.parametrize(
    "data",
    [
        b"a" * 9_000,
        b"agi_arg_1: " + b"a" * 9_000 + b"\n",
        b"".join(b"agi_arg_%d: 1\n" % place for place in range(3_000)),
        block("ringfence") + b"200 " + b"a" * 9_000 + b"\n",
        block("ringfence") + b"520-no end\n" + b"usage\n" * 3_000,
    ],
    ids=["no newline", "a 9 kB line", "3000 headers", "a 9 kB reply", "an endless usage text"],
)
def test_what_has_no_end_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"within|more than"):
        read(data, end=False)


def test_names_are_read_as_utf8_or_else_latin_1() -> None:
    for spelled in ("Hélène".encode(), "Hélène".encode("latin-1")):
        start, _ = read(b"agi_calleridname: " + spelled + b"\n\n")

        assert isinstance(start, Start)
        assert start.variables["agi_calleridname"] == "Hélène"


def test_a_command_is_quoted_as_asterisk_unquotes_it() -> None:
    assert command("SET VARIABLE", 'a "b" \\c') == b'"SET VARIABLE" "a \\"b\\" \\\\c"\n'


def unquoted(line: str) -> list[str]:
    """Read a command as Asterisk's parse_args does."""
    words: list[str] = []
    quoted = escaped = within = False
    for character in line:
        if escaped or character not in '"\\ ':
            if not within:
                words.append("")
            words[-1] += character
            within, escaped = True, False
        elif character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
            if quoted and not within:
                words.append("")
                within = True
        elif quoted:
            words[-1] += character
        else:
            within = False
    return words


@given(words=st.lists(st.text(), min_size=1, max_size=5))
def test_a_command_comes_out_as_its_words_or_not_at_all(words: list[str]) -> None:
    try:
        line = command(*words)
    except ValueError:
        assert any(not word.isprintable() for word in words) or sum(map(len, words)) > 400
        return

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert unquoted(line.decode().removesuffix("\n")) == words


@pytest.mark.parametrize("word", ["a\nEXEC Dial x", "a\rb", "a\0b", "a\tb", "\udcff"])
def test_a_word_that_could_be_a_second_command_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        command("SET", "VARIABLE", "NAME", word)


def test_a_command_that_asterisk_would_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="Asterisk reads 2047"):
        command("a" * 2046)


def test_variables_are_set_by_one_command_in_their_order() -> None:
    line = assign({"REASON": "refused", "RETRY_AT": "", "VERDICT": "DENY"})

    assert line == b'"EXEC" "MSet" "REASON=refused,RETRY_AT=,VERDICT=DENY"\n'


@pytest.mark.parametrize("value", ["a,VERDICT=ALLOW", 'a"', "a\\", "${SECRET}", "a b", "a\n", "é"])
def test_a_value_that_asterisk_would_take_apart_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="REASON cannot be"):
        assign({"REASON": value, "VERDICT": "DENY"})


@pytest.mark.parametrize(
    ("reply", "refused"),
    [
        (Reply(200, "result=0"), False),
        (Reply(200, "result=-2"), True),
        (Reply(510, "Invalid or unknown command"), True),
        (Reply(511, "Command Not Permitted on a dead channel"), True),
        (Reply(520, "Invalid command syntax."), True),
    ],
)
def test_a_reply_tells_whether_the_command_was_carried_out(reply: Reply, *, refused: bool) -> None:
    assert reply.refused is refused
