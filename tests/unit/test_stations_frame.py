"""Frames of SL 651-2014: what was published is read, what is broken is named, answers are those of a real centre."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codecs.sl651.frame import ACK, EOT, ESC, LONGEST, NAK, Frame, FrameError, acknowledgement, join, read_frame
from ingest.codecs.sl651.packets import Packets
from ingest.codecs.sl651.split import STRAY, Piece, Splitter
from ingest.reasons import Rejection
from tests.unit import sl651_frames as known
from tests.unit.sl651_frames import built, closed, crc, packets


def split(stream: bytes, *cuts: int, longest: int = LONGEST) -> list[Piece]:
    """The pieces of a stream that came cut at these places."""
    splitter = Splitter(longest)
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    pieces = [piece for first, last in itertools.pairwise(places) for piece in splitter.feed(stream[first:last])]
    return pieces + splitter.settle()


def reasons(pieces: list[Piece]) -> list[str]:
    return ["frame" if piece.problem is None else piece.problem.reason.value for piece in pieces]


# one frame ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", known.PUBLISHED, ids=range(len(known.PUBLISHED)))
def test_published_frames_are_read(data: bytes) -> None:
    frame = read_frame(data)
    assert frame.data == data
    assert frame.station == data[3:8]
    assert frame.text == data[14:-3]


def test_the_parts_of_a_published_frame() -> None:
    frame = read_frame(known.TIMED)
    assert (frame.centre, frame.station.hex(), frame.password.hex(), frame.function) == (5, "0011223344", "03e8", 0x32)
    said = join([frame])
    assert (said.station, said.serial, said.sent.hex()) == ("0011223344", 0x34, "170718110016")


def test_answers_are_those_of_a_real_centre() -> None:
    for report, answer in ((known.TEST_REPORT, known.TEST_ANSWER), (known.TIMED, known.TIMED_ANSWER)):
        frame = read_frame(report)
        assert acknowledgement(frame, frame.text[:8], ESC) == answer


@pytest.mark.parametrize("end", [EOT, ACK])
def test_the_control_byte_of_an_answer(end: int) -> None:
    frame = read_frame(known.TIMED)
    answer = acknowledgement(frame, frame.text[:8], end)
    assert answer[-3] == end
    assert crc(answer[:-2]) == answer[-2:]


def test_an_answer_to_packets_says_of_how_many_and_which() -> None:
    frame = read_frame(packets(b"x" * 40, 20)[2])
    answer = acknowledgement(frame, bytes(8), NAK, 2)
    assert answer[13] == 0x16
    assert answer[11:13] == (0x8000 | 11).to_bytes(2, "big")
    assert answer[14:17] == bytes.fromhex("003002")
    assert crc(answer[:-2]) == answer[-2:]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (known.TIMED[:-1], "unsupported_frame"),
        (known.TIMED + b"\0", "unsupported_frame"),
        (known.TIMED[:30] + b"\x01" + known.TIMED[31:], "checksum"),
        (known.TIMED[:-1] + bytes([known.TIMED[-1] ^ 0x80]), "checksum"),
        (known.TIMED_ANSWER, "unsupported_frame"),
        (closed(known.TIMED[:-3], 0x05), "unsupported_frame"),
        (closed(known.TIMED[:13] + b"\x01" + known.TIMED[14:-3]), "unsupported_frame"),
        (closed(known.HEARTBEAT[:12] + b"\x07\x02" + known.HEARTBEAT[14:-4]), "unsupported_frame"),
        (b"GET / HTTP/1.1\r\n\r\n", "unsupported_frame"),
        (b"", "unsupported_frame"),
    ],
)
def test_what_is_no_frame_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(FrameError) as raised:
        read_frame(data)
    assert raised.value.reason.value == reason


def test_a_packets_number_must_be_possible() -> None:
    for total, number in ((0, 0), (2, 0), (2, 3)):
        body = (total << 12 | number).to_bytes(3, "big") + bytes(20)
        head = known.TIMED[:11] + len(body).to_bytes(2, "big") + b"\x16"
        with pytest.raises(FrameError, match=f"packet {number} of {total}"):
            read_frame(closed(head + body))


# many packets ---------------------------------------------------------------------------------------------------------


def gather(frames: list[Frame]) -> tuple[list[list[Frame]], Packets]:
    gathered, left = Packets(), []
    for frame in frames:
        left += gathered.add(frame)
    return left, gathered


@given(st.binary(min_size=30, max_size=600), st.integers(10, 200), st.randoms(use_true_random=False))
def test_packets_in_any_order_are_one_message(text: bytes, size: int, shuffled: random.Random) -> None:
    frames = [read_frame(data) for data in packets(text, size)]
    in_order = join(frames)
    shuffled.shuffle(frames)
    left, gathered = gather(frames + frames[:1])
    whole = gathered.take_whole()
    assert left == []
    assert whole is not None
    assert join(whole) == in_order
    assert in_order.text == text
    assert gathered.held == 0


def test_what_is_missing_is_known_once_the_last_has_come() -> None:
    frames = [read_frame(data) for data in packets(bytes(50), 10)]
    gathered = Packets()
    for frame in (frames[0], frames[2]):
        gathered.add(frame)
    assert gathered.missing() is None
    gathered.add(frames[-1])
    assert gathered.missing() == 2
    assert gathered.take_whole() is None


def test_another_message_ends_an_unfinished_one() -> None:
    first, second = packets(bytes(50), 10, serial=1), packets(b"\x01" * 50, 10, serial=2)
    left, gathered = gather([read_frame(data) for data in [*first[:3], *second]])
    assert [[frame.data for frame in frames] for frames in left] == [first[:3]]
    assert gathered.take_whole() is not None


# a stream -------------------------------------------------------------------------------------------------------------

frames = st.one_of(
    st.sampled_from(known.PUBLISHED),
    st.binary(max_size=60).map(built),
    st.binary(max_size=30).map(lambda text: built(b"\x7e\x7e" + text + b"\x7e")),
)
garbage = st.one_of(
    st.binary(max_size=40),
    st.text(alphabet="~\x01", max_size=40).map(str.encode),
    st.integers(0, 12).map(lambda cut: known.TIMED[: 2 + cut]),
    st.integers(14, 59).map(lambda cut: known.TIMED[:cut]),
    st.integers(14, 59).map(lambda place: known.TIMED[:place] + b"\x55" + known.TIMED[place + 1 :]),
)


@given(st.lists(frames, max_size=6), st.lists(st.integers(0, 10_000), max_size=12))
def test_frames_come_out_whole_however_they_were_cut(sent: list[bytes], cuts: list[int]) -> None:
    pieces = split(b"".join(sent), *cuts)
    assert [piece.data for piece in pieces] == sent
    assert all(piece.frame is not None for piece in pieces)


@given(st.lists(st.one_of(frames, garbage), max_size=8), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_cutting_gives_the_same_pieces_and_no_byte_is_lost(sent: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(sent)
    at_once = split(stream)
    cut = split(stream, *cuts)
    assert [piece.data for piece in cut] == [piece.data for piece in at_once]
    assert reasons(cut) == reasons(at_once)
    assert b"".join(piece.data for piece in at_once) == stream


@given(st.binary(max_size=4000), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_bytes_at_all(stream: bytes, cuts: list[int]) -> None:
    pieces = split(stream, *cuts)
    assert b"".join(piece.data for piece in pieces) == stream
    assert [piece.data for piece in pieces] == [piece.data for piece in split(stream)]


@given(garbage, st.lists(st.integers(0, 10_000), max_size=5))
def test_after_garbage_the_next_frames_are_found(bad: bytes, cuts: list[int]) -> None:
    """Also where the garbage is the head of a frame that promises more bytes than come."""
    good = [known.HOURLY, known.HEARTBEAT, known.TEST_REPORT]
    found = [piece.data for piece in split(bad + b"".join(good), *cuts) if piece.frame is not None]
    assert found[-3:] == good


def test_a_broken_frame_is_one_piece_with_its_reason() -> None:
    broken = known.TIMED[:40] + b"\x55" + known.TIMED[41:]
    pieces = split(known.HEARTBEAT + broken + known.HEARTBEAT)
    assert [piece.data for piece in pieces] == [known.HEARTBEAT, broken, known.HEARTBEAT]
    assert reasons(pieces) == ["frame", "checksum", "frame"]


def test_a_wrong_length_does_not_swallow_the_next_frame() -> None:
    broken = known.TIMED[:12] + b"\xff" + known.TIMED[13:]
    splitter = Splitter()
    pieces = splitter.feed(broken + known.HOURLY + known.HEARTBEAT)
    pieces += splitter.feed(known.HOURLY)
    assert [piece.data for piece in pieces if piece.frame] == [known.HOURLY, known.HEARTBEAT, known.HOURLY]


def test_a_longer_frame_than_is_taken() -> None:
    long = built(b"\x39\x23" * 200)
    pieces = split(long + known.HEARTBEAT, longest=200)
    assert pieces[0].problem is not None
    assert pieces[0].problem.reason is Rejection.too_large
    assert pieces[-1].data == known.HEARTBEAT


def test_what_is_held_is_bounded() -> None:
    splitter = Splitter()
    head = known.TIMED[:11] + b"\x0f\xff\x02"
    dice = random.Random(1)
    for _ in range(200):
        splitter.feed(dice.choice([bytes(5000), head, b"\x7e\x7e", dice.randbytes(3000)]))
        assert splitter.held <= LONGEST + STRAY
