"""The condition region of one alarm as a pure function: (limits, state, input) → (state, changes).

No clock, no I/O. Event times are device times in microseconds; only a proof by silence uses the server's clock, and
that comes in as an input. Anchors: ISA-18.2 / IEC 62682 alarm states, dead band and delays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from underfoot.alarms import Condition, Reason

Proof = dict[str, Any]
"""The reading that proved something, as it will be copied into the episode: ts, received_at, field, value, limit, …"""


@dataclass(frozen=True, slots=True)
class Limits:
    """A level rule made comparable: values are signed so that larger is always worse.

    `reach[i]` and `leave[i]` (= reach − dead band) belong to level i + 1, both rising with i; delays in microseconds.
    """

    reach: tuple[float, ...]
    leave: tuple[float, ...]
    severity: tuple[int, ...]
    on_delay_us: tuple[int, ...]
    samples: tuple[int, ...]
    off_delay_us: int
    off_samples: int
    by_silence: bool


@dataclass(frozen=True, slots=True)
class Held:
    """Something that has held without interruption since a report: its event time, receipt, and how many reports."""

    since_us: int
    received_us: int
    samples: int
    proof: Proof

    def again(self, proof: Proof) -> Held:
        return replace(self, samples=self.samples + 1, proof=proof)


@dataclass(frozen=True, slots=True)
class State:
    """`level` is the open episode's (0: none). `rising[i]` holds that level i + 1 is reached, `falling[i]` that it is
    left, neither believed yet. Each level has its own way down: what has left them all must not be taken for less."""

    level: int = 0
    rising: tuple[Held | None, ...] = ()
    falling: tuple[Held | None, ...] = ()

    @property
    def condition(self) -> Condition:
        if self.level == 0:
            return Condition.pending if any(self.rising) else Condition.normal
        return Condition.clearing if self.falling and self.falling[0] is not None else Condition.active

    @property
    def settled(self) -> bool:
        """Nothing is on its way: only a value that crosses a limit can change anything."""
        return not any(self.falling) and not any(self.rising)


NORMAL = State()


@dataclass(frozen=True, slots=True)
class Change:
    """One transition of the condition region. Levels are before and after; `at_us` is event time."""

    reason: Reason
    before: Condition
    after: Condition
    level_before: int
    level: int
    at_us: int
    received_us: int
    proof: Proof


@dataclass(frozen=True, slots=True)
class Sample:
    """An in-order report's value for this rule, signed as `Limits` is."""

    value: float
    at_us: int
    received_us: int
    proof: Proof


def on_sample(limits: Limits, state: State, sample: Sample) -> tuple[State, list[Change]]:
    """What one in-order report does."""
    rising = [i >= state.level and sample.value >= reach for i, reach in enumerate(limits.reach)]
    falling = [i < state.level and sample.value < leave for i, leave in enumerate(limits.leave)]
    on_its_way = State(state.level, _held(state.rising, rising, sample), _held(state.falling, falling, sample))
    return _settle(limits, on_its_way, state, sample, None)


def on_silence(limits: Limits, state: State, now_us: int) -> tuple[State, list[Change]]:
    """What it does that nothing contrary came until `now_us` (server's clock; all that came by then is committed)."""
    return _settle(limits, state, state, None, now_us)


def due_us(limits: Limits, state: State) -> int | None:
    """When silence will next have proven something, on the server's clock; None where it cannot."""
    if not limits.by_silence:
        return None
    times = [held.received_us + limits.on_delay_us[i] for i, held in enumerate(state.rising) if held is not None]
    times += [held.received_us + limits.off_delay_us for held in state.falling if held is not None]
    return min(times, default=None)


def _held(before: tuple[Held | None, ...], holds: list[bool], sample: Sample) -> tuple[Held | None, ...]:
    """What holds now, level by level: gone on with where it held before."""
    if not any(holds):
        return ()
    earlier = before or (None,) * len(holds)
    return tuple(
        (held.again(sample.proof) if held is not None else _begin(sample)) if now else None
        for held, now in zip(earlier, holds, strict=True)
    )


def _begin(sample: Sample) -> Held:
    return Held(sample.at_us, sample.received_us, 1, sample.proof)


def _settle(
    limits: Limits, state: State, before: State, sample: Sample | None, now_us: int | None
) -> tuple[State, list[Change]]:
    """Believe what has held long enough, and name what changed."""
    changes: list[Change] = []

    def change(reason: Reason, after: State, held: Held | None) -> None:
        assert held is not None  # noqa: S101 - only what is held is believed
        at_us = sample.at_us if sample is not None else held.since_us
        received_us = sample.received_us if sample is not None else held.received_us
        proof = sample.proof if sample is not None else held.proof
        changes.append(
            Change(reason, before.condition, after.condition, before.level, after.level, at_us, received_us, proof)
        )

    proven = max((i + 1 for i, held in enumerate(state.rising) if _risen(limits, i, held, sample, now_us)), default=0)
    if proven > state.level:
        after = State(level=proven, rising=_only(state.rising, range(proven, len(state.rising))))
        reason = Reason.severity_rose if state.level else _by(Reason.limit_reached, Reason.held_in_silence, sample)
        change(reason, after, state.rising[proven - 1])
        return after, changes
    kept = max((i + 1 for i in range(state.level) if not _fallen(limits, i, state, sample, now_us)), default=0)
    if kept < state.level:
        after = State(level=kept, falling=_only(state.falling, range(kept)))
        reason = Reason.severity_fell if kept else _by(Reason.below_limit, Reason.clear_in_silence, sample)
        change(reason, after, state.falling[kept])
        return after, changes
    if sample is not None and state.condition != before.condition:
        up = state.condition in (Condition.pending, Condition.active)
        reason = Reason.below_limit
        if up:
            reason = Reason.limit_reached if before.level == 0 else Reason.back_over_limit
        change(reason, state, _begin(sample))
    return state, changes


def _only(held: tuple[Held | None, ...], levels: range) -> tuple[Held | None, ...]:
    kept = tuple(one if i in levels else None for i, one in enumerate(held))
    return kept if any(kept) else ()


def _by(by_sample: Reason, by_silence: Reason, sample: Sample | None) -> Reason:
    return by_sample if sample is not None else by_silence


def _risen(limits: Limits, i: int, held: Held | None, sample: Sample | None, now_us: int | None) -> bool:
    if held is None:
        return False
    delay = limits.on_delay_us[i]
    if sample is not None:
        return held.samples >= limits.samples[i] and sample.at_us - held.since_us >= delay
    return limits.by_silence and now_us is not None and now_us - held.received_us >= delay


def _fallen(limits: Limits, i: int, state: State, sample: Sample | None, now_us: int | None) -> bool:
    held = state.falling[i] if state.falling else None
    if held is None:
        return False
    if sample is not None:
        return held.samples >= limits.off_samples and sample.at_us - held.since_us >= limits.off_delay_us
    return limits.by_silence and now_us is not None and now_us - held.received_us >= limits.off_delay_us
