"""Frames out of a station's byte stream, however it was cut on its way. What is no frame comes out too, with its bytes,
so that nothing is dropped unseen. Pure: any cutting of the same bytes gives the same pieces."""

from __future__ import annotations

from typing import NamedTuple

from ingest.codecs.sl651.frame import HEAD, LONGEST, MARK, Frame, FrameError, read_frame, read_head
from ingest.reasons import Rejection

STRAY = 1024
"""Bytes between frames that are kept together at most."""


class Piece(NamedTuple):
    """A frame, or bytes that are none and why."""

    data: bytes
    frame: Frame | None
    problem: FrameError | None = None


class Splitter:
    """Holds at most one frame that is still coming and `STRAY` bytes that are none."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._coming = bytearray()
        self._stray = bytearray()
        self._why: FrameError | None = None

    @property
    def held(self) -> int:
        return len(self._coming) + len(self._stray)

    def feed(self, data: bytes) -> list[Piece]:
        self._coming += data
        return self._take(last=False)

    def settle(self) -> list[Piece]:
        """The pieces of what is held, where no more is coming: a frame within a broken one is found even so."""
        pieces = self._take(last=True)
        self._give_stray(pieces)
        return pieces

    def _take(self, *, last: bool) -> list[Piece]:
        coming, pieces, at = self._coming, list[Piece](), 0
        while True:
            begin = coming.find(MARK, at)
            if begin < 0:
                # Half a mark may be the end of what has come so far.
                rest = len(coming) - (not last and coming.endswith(MARK[:1]) and len(coming) > at)
                self._set_aside(coming[at:rest], None, pieces)
                at = rest
                break
            self._set_aside(coming[at:begin], None, pieces)
            at = begin
            if len(coming) - at < HEAD:
                if not last:
                    break
                at = self._not_begun(at, FrameError(Rejection.unsupported_frame, "a frame cut short"), pieces)
                continue
            head = read_head(bytes(coming[at : at + HEAD]), self._longest)
            if head.problem is not None:
                at = self._not_begun(at, head.problem, pieces)
                continue
            if len(coming) - at < head.size:
                if not last:
                    break
                detail = f"{len(coming) - at} bytes of a frame of {head.size}"
                at = self._broken(at, len(coming), FrameError(Rejection.unsupported_frame, detail), pieces)
                continue
            at = self._whole(at, at + head.size, pieces)
        del coming[:at]
        return pieces

    def _whole(self, at: int, end: int, pieces: list[Piece]) -> int:
        data = bytes(self._coming[at:end])
        try:
            frame = read_frame(data)
        except FrameError as problem:
            return self._broken(at, end, problem, pieces)
        self._give_stray(pieces)
        pieces.append(Piece(data, frame))
        return end

    def _broken(self, at: int, end: int, problem: FrameError, pieces: list[Piece]) -> int:
        """A frame that is none: its length may be wrong, too, so that the next one begins within it."""
        coming = self._coming
        inner = coming.find(MARK, at + len(MARK), end)
        if inner < 0:  # its last byte may be the first of the next one's mark
            inner = end - 1 if coming[end - 1] == MARK[0] else end
        self._give_stray(pieces)
        pieces.append(Piece(bytes(coming[at:inner]), None, problem))
        return inner

    def _not_begun(self, at: int, problem: FrameError, pieces: list[Piece]) -> int:
        """The mark stands here by chance."""
        self._set_aside(self._coming[at : at + 1], problem, pieces)
        return at + 1

    def _set_aside(self, data: bytearray, why: FrameError | None, pieces: list[Piece]) -> None:
        self._stray += data
        self._why = self._why or why
        while len(self._stray) >= STRAY:
            self._give_stray(pieces, STRAY)

    def _give_stray(self, pieces: list[Piece], most: int | None = None) -> None:
        if self._stray:
            problem = self._why or FrameError(Rejection.unsupported_frame, "no frame of SL 651 in HEX/BCD")
            pieces.append(Piece(bytes(self._stray[:most]), None, problem))
            self._why = None
            del self._stray[:most]
