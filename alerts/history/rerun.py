"""Rerun: one device's stored reports through its rules again, in the order of event time. Pure: rows in, episodes out.

As if every report had come in order, at the latest when a later one came. After a report whose time was substituted
nothing older speaks, as ingest has it (alerts/judge/turns.py): what had come before it from a clock ahead is put before
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from alerts.history.correction import Recorded
from alerts.history.episodes import Episodes, Past
from alerts.history.stored import rows_of
from alerts.judge.evaluate import Evaluator
from alerts.judge.levels import Level
from alerts.judge.outcome import Outcome, Transition
from alerts.judge.slopes import Kept
from alerts.judge.transition import NORMAL, Held, Proof, State
from alerts.rules import JudgedRule, LevelRule, SlopeRule
from underfoot.reports import Reports

_TOGETHER = 500
_ALONE = 0
"""The slot of a device that is judged alone."""


@dataclass(frozen=True)
class Memory:
    """What a rule needs of the past: its window's reports, how long a delay may be, and how many reports in a row that
    say all of `fields`. `silence_us`: how far what silence proves lies before the report that shows it."""

    window_us: int
    delay_us: int
    silence_us: int
    reports: int
    fields: tuple[str, ...]


def memory_of(rule: JudgedRule) -> Memory:
    window_s = 0.0
    if isinstance(rule, LevelRule) and rule.sum_over_s is not None:
        window_s = rule.sum_over_s
    elif isinstance(rule, LevelRule) and rule.mean_over_s is not None:
        window_s = rule.mean_over_s
    elif isinstance(rule, SlopeRule):
        window_s = 2 * rule.over_s
    delay_us = int(max(rule.off_delay_s, *(level.on_delay_s for level in rule.levels)) * 1e6)
    guards = tuple(name for word in rule.guarding if word != "unless" for name in getattr(rule, word))
    return Memory(
        int(window_s * 1e6),
        delay_us,
        delay_us if rule.proof == "silence" else 0,
        max(rule.off_samples, *(level.samples for level in rule.levels)),
        (rule.field, *guards),
    )


def proven_until_us(change: Transition) -> int:
    """Until when, by its own clock, a device must have said nothing contrary for its silence to prove this."""
    rule = change.rule.rule
    if not isinstance(rule, JudgedRule):
        return change.at_us
    delay_s = rule.off_delay_s
    if change.severity > change.severity_before:
        delay_s = next(level.on_delay_s for level in rule.levels if level.rank == change.severity)
    return change.at_us + int(delay_s * 1e6)


@dataclass(frozen=True)
class Span:
    """`compared_us`: from here on the record may be wrong. `judged_us`: from here on rules are judged, following the
    record, for what is on its way at that point. `needed_us`: from here on reports fill the rules' windows."""

    needed_us: int
    judged_us: int
    compared_us: int


def waiting_since(live: Evaluator, slot: int) -> int | None:
    """Since when something is on its way that silence will prove. The record does not have it before the server's clock
    says so, however long ago that was by the device's."""
    states = [
        level.states[slot] for level in live.levels.values() if slot in level.states and level.rule.proof == "silence"
    ]
    held = [one.since_us for state in states for one in (*state.rising, *state.falling) if one is not None]
    return min(held, default=None)


def span_of(
    memories: Sequence[Memory], reports: Reports, since_us: int, waiting_us: int | None = None
) -> tuple[Span, bool]:
    """For reports that changed the past from `since_us` on: far enough back that what was on its way when judging
    begins is known when the record is held against it. Whether these reports have all that takes."""
    compared_us = since_us - max((one.silence_us for one in memories), default=0)
    compared_us = compared_us if waiting_us is None else min(compared_us, waiting_us)
    judged_us, enough = compared_us, True
    before = reports.ts_us < compared_us
    for one in memories:
        says = before & ~np.any([np.isnan(reports.columns[name]) for name in one.fields], axis=0)
        times = np.sort(reports.ts_us[says])
        enough = enough and len(times) >= one.reports
        if len(times):
            judged_us = min(judged_us, int(times[-1]) - one.delay_us, int(times[-one.reports :][0]))
    needed_us = judged_us - max((one.window_us for one in memories), default=0)
    return Span(needed_us, judged_us, compared_us), enough


@dataclass(frozen=True)
class Begun:
    """Since then (server's clock) a rule is judged as it is now, beginning with what was on record: its version or the
    device's baseline changed, or somebody ended by hand what was open (`ended`)."""

    rule_id: str
    at_us: int
    ended: bool = False


@dataclass
class Rerun:
    """What came of it: by rule the episodes, the state at the end, and since when the record is to be held against it.
    `failing`: rules that could not judge. `silent_until_us`: until when silence was taken for proof at the end."""

    episodes: dict[str, list[Past]]
    states: dict[str, State]
    since_us: dict[str, int]
    windows: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    slopes: dict[tuple[str, float], Kept] = field(default_factory=dict)
    failing: dict[str, str] = field(default_factory=dict)
    newest_us: int = 0
    silent_until_us: int | None = None


def in_event_order(reports: Reports) -> Reports:
    """One device's reports as they would have come in order, each received at the latest when a later one was."""
    key, ahead = reports.ts_us.copy(), np.zeros(len(reports), np.bool_)
    filed = np.flatnonzero(reports.substituted)
    if len(filed):
        received = np.sort(reports.received_us[filed])
        following = np.searchsorted(received, reports.received_us, side="left")
        limit = np.append(received, np.iinfo(np.int64).max)[following]
        ahead = ~reports.substituted & (reports.ts_us > limit)
        key = np.where(ahead, limit, key)
    order = np.lexsort((reports.received_us, reports.seq, reports.ts_us, ~ahead, key))
    ordered = rows_of(reports, order)
    in_order = np.minimum.accumulate(ordered.received_us[::-1])[::-1]
    return replace(ordered, received_us=in_order)


def rerun(
    evaluator: Evaluator,
    reports: Reports,
    recorded: Mapping[str, Sequence[Recorded]],
    begun: Sequence[Begun],
    span: Span,
    caught_up_us: int,
) -> Rerun:
    """`evaluator` has this device alone and remembers nothing; `reports` are all that its rules need, in any order."""
    run = _Run(evaluator, recorded, span)
    real = _real_receipts(reports)
    ordered = in_event_order(reports)
    first = 0
    for at_us in [span.judged_us - 1, *_changes(recorded, span)]:
        here = _first_after(ordered, at_us, first)
        run.judge(ordered, first, here)
        run.follow(at_us)
        first = here
    just_before_us = span.compared_us - 1
    here = _first_after(ordered, just_before_us, first)
    run.judge(ordered, first, here)
    run.begin(just_before_us)
    first = here
    for one in sorted((one for one in begun if one.at_us > span.compared_us), key=lambda one: one.at_us):
        # By receipt: what had come by then was judged before, whatever its clock said.
        here = max(int(np.searchsorted(ordered.received_us, one.at_us, side="right")), first)
        run.judge(ordered, first, here)
        first = here
        run.begin_anew(one)
    run.judge(ordered, first, len(ordered))
    run.silence(caught_up_us)
    return run.result(int(ordered.ts_us.max(initial=span.compared_us)), real)


def _changes(recorded: Mapping[str, Sequence[Recorded]], span: Span) -> list[int]:
    """When the record changes between the two."""
    times = {
        at_us
        for of_rule in recorded.values()
        for one in of_rule
        if one.stands
        for at_us in (one.ends_us, *(since_us for since_us, _ in one.levels))
    }
    return sorted(at_us for at_us in times if span.judged_us <= at_us < span.compared_us)


def _first_after(ordered: Reports, at_us: int, first: int) -> int:
    """From there on, the first report that is later; before it a clock ahead may have said what is later still."""
    later = np.flatnonzero(ordered.ts_us[first:] > at_us)
    return first + int(later[0]) if len(later) else len(ordered)


class _Run:
    def __init__(self, evaluator: Evaluator, recorded: Mapping[str, Sequence[Recorded]], span: Span) -> None:
        self._evaluator = evaluator
        self._recorded = recorded
        self._device_key = int(evaluator.device_key[_ALONE])
        self._episodes: Episodes | None = None
        self._since_us = dict.fromkeys(evaluator.levels, span.compared_us)
        self._slopes: dict[tuple[str, float], Kept] = {}
        self._windows: dict[str, list[tuple[int, float]]] = {}
        self._failing: dict[str, str] = {}
        self._silent_until_us: int | None = None

    def judge(self, ordered: Reports, begin: int, end: int) -> None:
        """In parts: of a part in which nothing reaches a limit, no report is looked at by itself."""
        for first in range(begin, end, _TOGETHER):
            some = rows_of(ordered, np.arange(first, min(first + _TOGETHER, end)))
            self._take(self._evaluator.judge(some), some)

    def silence(self, until_us: int) -> None:
        outcome = self._evaluator.judge_silence(until_us)
        self._silent_until_us = max((proven_until_us(change) for change in outcome.transitions), default=None)
        self._take(outcome, None)

    def _take(self, outcome: Outcome, reports: Reports | None) -> None:
        self._evaluator.apply(outcome, reports)
        if self._episodes is not None:
            self._episodes.take(outcome.transitions)
        self._slopes |= outcome.slopes
        self._windows |= {name: window for (name, _), window in outcome.windows.items()}
        self._failing |= outcome.failing

    def follow(self, at_us: int) -> None:
        """What is on record then is so, whatever has been made of it without what was before."""
        for rule_id, level in self._evaluator.levels.items():
            state = level.states.get(_ALONE, NORMAL)
            wanted = _level_of(level, self._severity_at(rule_id, at_us))
            if state.level != wanted:
                level.put(_ALONE, at_level(state, wanted))

    def begin(self, at_us: int) -> None:
        """From here on what it makes of the reports counts."""
        self.follow(at_us)
        self._episodes = Episodes()
        for rule_id in self._evaluator.levels:
            self._open_on_record(self._episodes, rule_id, at_us)

    def begin_anew(self, one: Begun) -> None:
        level = self._evaluator.levels.get(one.rule_id)
        if level is None or self._episodes is None:
            return
        if one.ended:
            self._episodes.end(self._device_key, one.rule_id, one.at_us)
            level.put(_ALONE, NORMAL)
            return
        self._episodes.forget(self._device_key, one.rule_id)
        wanted = _level_of(level, self._severity_at(one.rule_id, one.at_us))
        level.put(_ALONE, at_level(level.states.get(_ALONE, NORMAL), wanted))
        self._open_on_record(self._episodes, one.rule_id, one.at_us)
        self._since_us[one.rule_id] = max(self._since_us[one.rule_id], one.at_us)

    def _severity_at(self, rule_id: str, at_us: int) -> int:
        return max((one.severity_at(at_us) for one in self._recorded.get(rule_id, ())), default=0)

    def _open_on_record(self, episodes: Episodes, rule_id: str, at_us: int) -> None:
        for one in self._recorded.get(rule_id, ()):
            severity = one.severity_at(at_us)
            if severity:
                known = tuple((since_us, was) for since_us, was in one.levels if since_us <= at_us)
                past = Past(one.raised_us, known or ((one.raised_us, severity),))
                episodes.begin(self._device_key, rule_id, past)

    def result(self, newest_us: int, real: dict[int, int]) -> Rerun:
        levels, episodes = self._evaluator.levels, self._episodes or Episodes()
        for pasts in episodes.all.values():
            for past in pasts:
                past.transitions = [_as_received(transition, real) for transition in past.transitions]
        return Rerun(
            {rule_id: episodes.all.get((self._device_key, rule_id), []) for rule_id in levels},
            {rule_id: _state_as_received(level.states.get(_ALONE, NORMAL), real) for rule_id, level in levels.items()},
            self._since_us,
            self._windows,
            self._slopes,
            self._failing,
            newest_us,
            self._silent_until_us,
        )


def _level_of(level: Level, severity: int) -> int:
    """The rule's level of that severity, else the next lower there is."""
    if not severity:
        return 0
    severities = level.limits_for(_ALONE).severity
    return max((i + 1 for i, own in enumerate(severities) if own <= severity), default=1)


def at_level(state: State, level: int) -> State:
    """The same at another level; what is on its way beyond that goes on."""
    rising = tuple(one if i >= level else None for i, one in enumerate(state.rising))
    falling = tuple(one if i < level else None for i, one in enumerate(state.falling))
    return State(level, rising if any(rising) else (), falling if any(falling) else ())


def _real_receipts(reports: Reports) -> dict[int, int]:
    return dict(zip(reports.ts_us.tolist(), reports.received_us.tolist(), strict=True))


def _as_received(transition: Transition, real: dict[int, int]) -> Transition:
    """With the receipts that there were."""
    received_us = real.get(int(transition.proof.get("ts_us", transition.at_us)), transition.received_us)
    return replace(transition, received_us=received_us, proof=_proof_as_received(transition.proof, real))


def _state_as_received(state: State, real: dict[int, int]) -> State:
    """When a silence is over still counts from when the reports would have come in order."""

    def shown(one: Held | None) -> Held | None:
        return replace(one, proof=_proof_as_received(one.proof, real)) if one is not None else None

    return replace(
        state, rising=tuple(shown(one) for one in state.rising), falling=tuple(shown(one) for one in state.falling)
    )


def _proof_as_received(proof: Proof, real: dict[int, int]) -> Proof:
    if "received_us" not in proof:
        return proof
    return {**proof, "received_us": real.get(int(proof["ts_us"]), proof["received_us"])}
