"""Correction: an alarm's record held against what input in order would have recorded of it.

Pure. Nothing on record is edited: what differs is said beside it, and what was missed is recorded as what is past.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from alerts.history.episodes import FOREVER, Past


class Finding(StrEnum):
    """What late data has shown of an episode. `merged`: it is a part of another one; `unfounded`: there was nothing."""

    missed = "missed"
    changed = "changed"
    merged = "merged"
    unfounded = "unfounded"

    @property
    def stands(self) -> bool:
        """The episode is in the corrected record."""
        return self in (Finding.missed, Finding.changed)


FINDING_LABELS: dict[Finding, str] = {
    Finding.missed: "补录：当时未告警",
    Finding.changed: "更正：时间或级别有变",
    Finding.merged: "更正：与另一次告警为同一险情",
    Finding.unfounded: "更正：当时不应告警",
}


@dataclass(frozen=True)
class Recorded:
    """An episode on record, as corrected so far (`stands` false: corrected away). `is_open`: its row has no end yet;
    `levels`: when it had which severity; `row_raised_us`: what its row says, corrected or not."""

    episode: int
    raised_us: int
    cleared_us: int | None
    worst: int
    levels: tuple[tuple[int, int], ...]
    is_open: bool = False
    stands: bool = True
    row_raised_us: int = 0
    proof: dict[str, Any] = field(default_factory=dict)

    @property
    def ends_us(self) -> int:
        return FOREVER if self.cleared_us is None else self.cleared_us

    def severity_at(self, at_us: int) -> int:
        """The severity it had then; 0 where it was not open."""
        if not self.stands or not self.raised_us <= at_us < self.ends_us:
            return 0
        return next((severity for since_us, severity in reversed(self.levels) if since_us <= at_us), self.levels[0][1])


@dataclass(frozen=True)
class Corrected:
    """What is to be said of an episode on record. `told`: whoever was told of it is to know; not so where it only took
    another severity at another time."""

    of: Recorded
    finding: Finding
    raised_us: int | None = None
    cleared_us: int | None = None
    worst: int | None = None
    levels: tuple[tuple[int, int], ...] = ()
    told: bool = True


@dataclass
class Comparison:
    """`missed`: over by now, and not on record. `opened`: open, and not on record as open. `ended`: on record as open,
    and over. `still_open`: open on both sides."""

    missed: list[Past] = field(default_factory=list)
    opened: Past | None = None
    ended: tuple[Recorded, Past | None] | None = None
    still_open: tuple[Recorded, Past] | None = None
    corrected: list[Corrected] = field(default_factory=list)


def compare(recorded: Sequence[Recorded], replayed: Sequence[Past], since_us: int) -> Comparison:
    """Of what was open at `since_us` or later. Before it the record is right: nothing late concerns it."""
    recorded = [one for one in recorded if one.ends_us >= since_us]
    replayed = [past for past in replayed if past.ends_us >= since_us]
    found = Comparison()
    pairs = _pairs(recorded, replayed)
    for one, past in pairs:
        if one.is_open and past.cleared_us is None:
            found.still_open = (one, past)
        elif one.is_open:
            found.ended = (one, past)
        found.corrected += _differing(one, past, since_us)
    matched = {id(one) for one, _ in pairs}, {id(past) for _, past in pairs}
    for one in recorded:
        if id(one) in matched[0]:
            continue
        if one.is_open:
            found.ended = (one, None)
        if one.stands:
            part = any(past.overlaps(one.raised_us, one.ends_us) for past in replayed)
            found.corrected.append(Corrected(one, Finding.merged if part else Finding.unfounded))
    for past in replayed:
        if id(past) in matched[1]:
            continue
        if past.cleared_us is None:
            found.opened = past
        else:
            found.missed.append(past)
    return found


def _pairs(recorded: Sequence[Recorded], replayed: Sequence[Past]) -> list[tuple[Recorded, Past]]:
    """Which is which: what is open on both sides, else what has most in common. What is over is never open again."""
    pairs = [
        (one, past) for one in recorded for past in replayed if one.is_open and past.cleared_us is None
    ]  # there is at most one of each
    candidates = sorted(_candidates(recorded, replayed), key=lambda candidate: candidate[0], reverse=True)
    for _, one, past in candidates:
        if all(one is not taken and past is not other for taken, other in pairs):
            pairs.append((one, past))
    return pairs


def _candidates(
    recorded: Sequence[Recorded], replayed: Sequence[Past]
) -> Iterator[tuple[tuple[int, ...], Recorded, Past]]:
    for one in recorded:
        for past in replayed:
            if past.cleared_us is not None and past.overlaps(one.raised_us, one.ends_us):
                common = min(one.ends_us, past.cleared_us) - max(one.raised_us, past.raised_us)
                rank = (one.is_open, one.stands, one.raised_us == past.raised_us, common, -one.episode)
                yield tuple(int(part) for part in rank), one, past


def _differing(one: Recorded, past: Past, since_us: int) -> Iterator[Corrected]:
    began_before = one.stands and one.raised_us < since_us and past.raised_us < since_us
    raised_us = one.raised_us if began_before else past.raised_us
    cleared_us = past.cleared_us
    if one.is_open and cleared_us is not None:
        # Its row is to get that end, but never one before its raise.
        on_record: tuple[Any, ...] = (one.raised_us, max(cleared_us, one.row_raised_us), one.worst)
    else:
        on_record = (one.raised_us, one.cleared_us, one.worst)
    same = one.stands and on_record == (raised_us, cleared_us, past.worst)
    levels = tuple(past.levels())
    if not same or levels != one.levels:
        yield Corrected(one, Finding.changed, raised_us, cleared_us, past.worst, levels, told=not same)


def steps(levels: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """When it took another severity than it had before."""
    found: list[tuple[int, int]] = []
    for at_us, severity in levels:
        if not found or found[-1][1] != severity:
            found.append((at_us, severity))
    return tuple(found)
