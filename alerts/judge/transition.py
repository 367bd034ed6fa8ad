"""The condition region of one alarm as a pure function: (limits, state, input) → (state, changes).

No clock, no I/O. Event times are device times in microseconds; only a proof by silence uses the server's clock, and
that comes in as an input. What the silence between two reports has proven does not depend on when it is looked at: the
later report, by its own time, shows it as well as a timer does. Anchors: ISA-18.2 / IEC 62682 alarm states, dead band
and delays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from alerts.judge.flapping import CALM, History, changed, reported
from underfoot.alarms import Condition, Reason

Proof = dict[str, Any]
"""The reading that proved something, as it will be copied into the episode: ts, received_at, field, value, limit, …"""


@dataclass(frozen=True, slots=True)
class Limits:
    """A rule's levels made comparable: values are signed so that larger is always worse.

    `reach[i]` and `leave[i]` (= reach − dead band) belong to level i + 1, both rising with i; delays in microseconds.
    `calm_us`: so long without a beginning or an end, and it is not flapping.
    """

    reach: tuple[float, ...]
    leave: tuple[float, ...]
    severity: tuple[int, ...]
    on_delay_us: tuple[int, ...]
    samples: tuple[int, ...]
    off_delay_us: int
    off_samples: int
    by_silence: bool
    calm_us: int


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
    left, neither believed yet. Each level has its own way down: what has left them all must not be taken for less.
    `history` is what flapping is seen by."""

    level: int = 0
    rising: tuple[Held | None, ...] = ()
    falling: tuple[Held | None, ...] = ()
    history: History = CALM

    @property
    def condition(self) -> Condition:
        if self.level == 0:
            return Condition.pending if any(self.rising) else Condition.normal
        return Condition.clearing if self.falling and self.falling[0] is not None else Condition.active

    @property
    def settled(self) -> bool:
        """Nothing is on its way: only a value that crosses a limit can change the condition."""
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
class Flapped:
    """One transition of the suppression region: flapping has begun, or is over."""

    began: bool
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


Changes = list[Change | Flapped]


def no_longer(now_us: int) -> Flapped:
    """Flapping that ends with what it was of, by nobody's report."""
    return Flapped(False, now_us, now_us, {"ts_us": now_us, "received_us": now_us, "field": ""})


def on_sample(limits: Limits, state: State, sample: Sample) -> tuple[State, Changes]:
    """What one in-order report does: it shows what the silence before it has proven, and then speaks for itself."""
    before, changes = _through_silence(limits, state, sample.at_us, by_receipt=False)
    rising = [i >= before.level and sample.value >= reach for i, reach in enumerate(limits.reach)]
    falling = [i < before.level and sample.value < leave for i, leave in enumerate(limits.leave)]
    on_its_way = replace(
        before, rising=_held(before.rising, rising, sample), falling=_held(before.falling, falling, sample)
    )
    after, change = _believed(limits, on_its_way, before, sample)
    if change is not None:
        changes.append(change)
    history = reported(after.history)
    if history.flapping != after.history.flapping:
        changes.append(Flapped(history.flapping, sample.at_us, sample.received_us, sample.proof))
    return replace(after, history=history), changes


def on_silence(limits: Limits, state: State, now_us: int) -> tuple[State, Changes]:
    """What it does that nothing contrary came until `now_us` (server's clock; all that came by then is committed)."""
    return _through_silence(limits, state, now_us, by_receipt=True)


def due_us(limits: Limits, state: State) -> int | None:
    """When silence will next have proven something, on the server's clock; None where it cannot."""
    times = [due for due, _ in _dues(limits, state, by_receipt=True)]
    if state.history.flapping:
        times.append(state.history.received_us + limits.calm_us)
    return min(times, default=None)


def fitted(state: State, levels: int) -> State:
    """The state under a rule that has so many levels: it keeps its episode, and forgets what was on its way if that
    was for other levels."""
    if state.level <= levels and {len(state.rising), len(state.falling)} <= {0, levels}:
        return state
    return State(level=min(state.level, levels), history=state.history)


# silence ------------------------------------------------------------------------------------------------------------


def _through_silence(limits: Limits, state: State, until_us: int, *, by_receipt: bool) -> tuple[State, Changes]:
    """All that nothing contrary having come until then has proven, in its order. `until_us` is the server's clock if
    `by_receipt`, else the device's."""
    changes: Changes = []
    while True:
        due = min((due for due, _ in _dues(limits, state, by_receipt=by_receipt)), default=None)
        calm = _calm_from(limits, state, by_receipt=by_receipt)
        if calm is not None and calm <= until_us and (due is None or calm <= due):
            if state.history.flapping:
                changes.append(_calmed(limits, state.history))
            state = replace(state, history=CALM)
        elif due is not None and due <= until_us:
            state, change = _proven(limits, state, due, by_receipt=by_receipt)
            changes.append(change)
        else:
            return state, changes


def _dues(limits: Limits, state: State, *, by_receipt: bool) -> Iterator[tuple[int, Held]]:
    """When what is on its way will be proven, if nothing contrary comes."""
    if not limits.by_silence:
        return
    for i, held in enumerate(state.rising):
        if held is not None:
            yield (held.received_us if by_receipt else held.since_us) + limits.on_delay_us[i], held
    for held in state.falling:
        if held is not None:
            yield (held.received_us if by_receipt else held.since_us) + limits.off_delay_us, held


def _calm_from(limits: Limits, state: State, *, by_receipt: bool) -> int | None:
    """When nothing will have begun or ended for long enough. Only flapping is worth a timer."""
    history = state.history
    if history == CALM or (by_receipt and not history.flapping):
        return None
    return (history.received_us if by_receipt else history.at_us) + limits.calm_us


def _calmed(limits: Limits, history: History) -> Flapped:
    at_us, received_us = history.at_us + limits.calm_us, history.received_us + limits.calm_us
    return Flapped(False, at_us, received_us, {"ts_us": at_us, "received_us": received_us, "field": ""})


def _proven(limits: Limits, state: State, until_us: int, *, by_receipt: bool) -> tuple[State, Change]:
    """What is proven at that moment, at once: the highest that is reached, or the lowest that is left."""

    def proven(held: Held | None, delay_us: int) -> bool:
        if held is None:
            return False
        return (held.received_us if by_receipt else held.since_us) + delay_us <= until_us

    risen = max((i + 1 for i, held in enumerate(state.rising) if proven(held, limits.on_delay_us[i])), default=0)
    if risen:
        reason = Reason.severity_rose if state.level else Reason.held_in_silence
        return _to_level(state, state, risen, reason, state.rising[risen - 1])
    falling = state.falling[: state.level]
    kept = max((i + 1 for i, held in enumerate(falling) if not proven(held, limits.off_delay_us)), default=0)
    reason = Reason.severity_fell if kept else Reason.clear_in_silence
    return _to_level(state, state, kept, reason, state.falling[kept])


# a report -----------------------------------------------------------------------------------------------------------


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


def _believed(limits: Limits, state: State, before: State, sample: Sample) -> tuple[State, Change | None]:
    """Believe what has held long enough, and name what changed."""
    here = _begin(sample)
    risen = max((i + 1 for i, held in enumerate(state.rising) if _risen(limits, i, held, sample)), default=0)
    if risen > state.level:
        reason = Reason.severity_rose if state.level else Reason.limit_reached
        return _to_level(state, before, risen, reason, here)
    kept = max((i + 1 for i in range(state.level) if not _fallen(limits, i, state, sample)), default=0)
    if kept < state.level:
        return _to_level(state, before, kept, Reason.severity_fell if kept else Reason.below_limit, here)
    if state.condition == before.condition:
        return state, None
    reason = Reason.below_limit
    if state.condition in (Condition.pending, Condition.active):
        reason = Reason.limit_reached if before.level == 0 else Reason.back_over_limit
    return state, _change(reason, before, state, here)


def _risen(limits: Limits, i: int, held: Held | None, sample: Sample) -> bool:
    if held is None:
        return False
    return held.samples >= limits.samples[i] and sample.at_us - held.since_us >= limits.on_delay_us[i]


def _fallen(limits: Limits, i: int, state: State, sample: Sample) -> bool:
    held = state.falling[i] if state.falling else None
    if held is None:
        return False
    return held.samples >= limits.off_samples and sample.at_us - held.since_us >= limits.off_delay_us


# both ---------------------------------------------------------------------------------------------------------------


def _to_level(state: State, before: State, level: int, reason: Reason, by: Held | None) -> tuple[State, Change]:
    """The episode is at another level now, proven by `by`; what is on its way beyond that level stays so."""
    assert by is not None  # noqa: S101 - only what is held is believed
    rose = level > state.level
    after = State(
        level,
        rising=_only(state.rising, range(level, len(state.rising))) if rose else (),
        falling=() if rose else _only(state.falling, range(level)),
        history=state.history,
    )
    if bool(level) != bool(state.level):
        after = replace(after, history=changed(state.history, by.since_us, by.received_us))
    return after, _change(reason, before, after, by)


def _only(held: tuple[Held | None, ...], levels: range) -> tuple[Held | None, ...]:
    kept = tuple(one if i in levels else None for i, one in enumerate(held))
    return kept if any(kept) else ()


def _change(reason: Reason, before: State, after: State, by: Held) -> Change:
    return Change(
        reason, before.condition, after.condition, before.level, after.level, by.since_us, by.received_us, by.proof
    )
