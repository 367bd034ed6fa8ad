"""The packets of a message that came in many (SYN, total and number), gathered until all are there."""

from __future__ import annotations

from ingest.codecs.sl651.frame import ETX, Frame


class Packets:
    """Of one station's stream. Another message's packet ends what was begun."""

    def __init__(self) -> None:
        self._frames: dict[int, Frame] = {}

    @property
    def held(self) -> int:
        return sum(len(frame.data) for frame in self._frames.values())

    def add(self, frame: Frame) -> list[list[Frame]]:
        """Take one in; answers what it has put an end to, incomplete."""
        begun = next(iter(self._frames.values()), frame)
        another = (begun.station, begun.function, begun.total) != (frame.station, frame.function, frame.total)
        again = frame.number == 1 and self._frames.get(1, frame).text != frame.text
        ended = self.give_up() if another or again else []
        self._frames[frame.number] = frame
        return ended

    def take_whole(self) -> list[Frame] | None:
        """All packets in their order, once they are there."""
        if not self._frames or len(self._frames) < next(iter(self._frames.values())).total:
            return None
        frames = [self._frames[number] for number in sorted(self._frames)]
        self._frames.clear()
        return frames

    def missing(self) -> int | None:
        """The first that is missing, once the last of them has come."""
        last = next((frame for frame in self._frames.values() if frame.end == ETX), None)
        if last is None:
            return None
        return next((number for number in range(1, last.total + 1) if number not in self._frames), None)

    def first(self) -> Frame | None:
        return self._frames.get(1)

    def give_up(self) -> list[list[Frame]]:
        """What is there of a message that will not be whole."""
        if not self._frames:
            return []
        frames = [self._frames[number] for number in sorted(self._frames)]
        self._frames.clear()
        return [frames]
