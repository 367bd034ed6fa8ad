"""A line: one station's byte stream, and what is to be posted and answered of it. Pure; the sockets are its caller's.

Each frame becomes one message for the inbox, the packets of a message one together; bytes that are no frame become
messages, too, and the codec finds out why they are none. A heartbeat becomes nothing: it says only that the line
stands, and it has no answer in the protocol. (It repeats the last report's serial: a station could take an answer to it
for the acknowledgement of that report.)
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from ingest.codecs.sl651.elements import observation
from ingest.codecs.sl651.frame import (
    ACK,
    EOT,
    ESC,
    ETB,
    HEARTBEAT,
    LONGEST,
    NAK,
    PICTURE,
    TEST,
    Frame,
    acknowledgement,
    join,
    station_number,
)
from ingest.codecs.sl651.packets import Packets
from ingest.codecs.sl651.split import Piece, Splitter

_ANSWERED = range(TEST, PICTURE + 1)
_UNKNOWN = "unknown"
_NO_SERIAL = bytes(8)
_PATIENCE = 16
"""Malformed pieces in a row after which a line is not worth keeping: whoever sends them is no station."""


class Taken(NamedTuple):
    """One message for the inbox, and what to answer once it is there; empty: nothing."""

    topic: str
    body: bytes
    key: str
    answer: bytes = b""


class Line:
    """`most_bytes` is held of a message in many packets; a longer one is given up."""

    def __init__(self, *, longest: int = LONGEST, most_bytes: int = 262_144, stay_online: bool = True) -> None:
        self._splitter = Splitter(longest)
        self._packets = Packets()
        self._most_bytes = most_bytes
        self._done = ESC if stay_online else EOT
        self._malformed_in_a_row = 0
        self.station = _UNKNOWN
        self.frames = self.heartbeats = self.malformed = 0
        self.replies = bytearray()
        """To be sent at once: what they ask for acknowledges nothing."""

    @property
    def begun(self) -> bool:
        """A frame has begun whose end has not come."""
        return self._splitter.held > 0

    @property
    def held(self) -> int:
        return self._splitter.held + self._packets.held

    @property
    def hopeless(self) -> bool:
        return self._malformed_in_a_row >= _PATIENCE

    def feed(self, data: bytes) -> list[Taken]:
        return self._take(self._splitter.feed(data))

    def settle(self) -> list[Taken]:
        """The rest of what has begun will not come."""
        return self._take(self._splitter.settle())

    def end(self) -> list[Taken]:
        """Nothing more will come."""
        return self.settle() + [self._incomplete(frames) for frames in self._packets.give_up()]

    def _take(self, pieces: list[Piece]) -> list[Taken]:
        taken: list[Taken] = []
        for piece in pieces:
            frame = piece.frame
            if frame is None:
                taken.append(self._malformed(piece.data))
                continue
            self._malformed_in_a_row = 0
            self.station = station_number(frame.station)
            self.frames += 1
            if frame.function == HEARTBEAT:
                self.heartbeats += 1
            elif frame.total:
                taken += self._packet(frame)
            else:
                taken.append(self._message([frame]))
        return taken

    def _packet(self, frame: Frame) -> list[Taken]:
        taken = [self._incomplete(frames) for frames in self._packets.add(frame)]
        whole = self._packets.take_whole()
        if whole is not None:
            return [*taken, self._message(whole)]
        missing = self._packets.missing()
        if missing is not None:
            first = self._packets.first()
            said = first.text[:8] if first is not None else _NO_SERIAL
            self.replies += acknowledgement(frame, said, NAK, missing)
        if self._packets.held > self._most_bytes:
            taken += [self._incomplete(frames) for frames in self._packets.give_up()]
        return taken

    def _message(self, frames: list[Frame]) -> Taken:
        first, said = frames[0], join(frames)
        end = ACK if frames[-1].end == ETB else self._done
        answer = acknowledgement(first, first.text[:8], end) if said.function in _ANSWERED else b""
        # Neither sending time nor checksum: a station that sends it again renews them.
        digest = hashlib.sha256(bytes((said.function,)) + said.text).hexdigest()[:24]
        key = f"sl651/{said.station}/{said.serial:04X}/{observation(said.text).hex() or '-'}/{digest}"
        body = first.data if len(frames) == 1 else b"".join(frame.data for frame in frames)
        return Taken(f"sl651/{said.station}", body, key, answer)

    def _incomplete(self, frames: list[Frame]) -> Taken:
        return self._malformed(b"".join(frame.data for frame in frames))

    def _malformed(self, data: bytes) -> Taken:
        """Known by its bytes alone: the same garbage again, from whomever, is kept once."""
        self.malformed += 1
        self._malformed_in_a_row += 1
        return Taken(f"sl651/{self.station}", data, f"sl651/-/{hashlib.sha256(data).hexdigest()[:32]}")
