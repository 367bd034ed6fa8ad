"""Matching: which alarm told of which hazard, and why another did not. Pure: truth + alarms → what each was.

An alarm is right where a hazard of which its rule may tell was at its place when it was raised. A right alarm tells of
every such hazard while it is open; a wrong one tells of none, however well it happens to stand later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from simulators.score.alarms import Alarm, Record
from simulators.score.places import Places
from simulators.score.tells import RuleTells, Telling, Tells
from simulators.truth import Lie, TrueHazard, Truth

Verdict = Literal["right", "false", "kept_back", "apart", "unknown"]

FOUND_WITHIN_HOPS = 1
"""A crew that is sent to the pipe beside the blocked one finds it."""


@dataclass(frozen=True)
class Judged:
    """An alarm and what it was. `hazards`: those that make it right, `told` those of them that it told of."""

    alarm: Alarm
    verdict: Verdict
    about: str
    hazards: tuple[TrueHazard, ...] = ()
    told: tuple[TrueHazard, ...] = ()
    forecast: bool = False
    upstream: bool = False
    """It warned of what happened somewhere above its place: nobody was told where."""
    lie: str = ""
    why: str = ""
    hops: int | None = None
    """Of a blockage: how far from the nearest pipe that was blocked then."""
    nearest: TrueHazard | None = None
    warned: tuple[TrueHazard, ...] = ()
    """What came of it above its place, while it stood: a warning, of which nobody was told where."""


@dataclass
class Matches:
    judged: list[Judged]
    tellers: dict[str, list[Judged]] = field(default_factory=lambda: defaultdict(list))
    """By hazard id, the right alarms that told of it, in order of when they were known."""
    warners: dict[str, list[Judged]] = field(default_factory=lambda: defaultdict(list))
    """By hazard id, those that warned of what it came from."""


def match(truth: Truth, record: Record, tells: Tells, places: Places) -> Matches:
    matching = _Matching(truth, record, tells, places)
    judged = [matching.judge(alarm) for alarm in sorted(record.alarms, key=lambda one: (one.raised_ms, one.alarm_key))]
    matches = Matches(judged)
    for one in sorted(judged, key=lambda each: record.known_ms(each.alarm)):
        for hazard in one.told:
            matches.tellers[hazard.hazard_id].append(one)
        for hazard in one.warned:
            matches.warners[hazard.hazard_id].append(one)
    return matches


class _Matching:
    def __init__(self, truth: Truth, record: Record, tells: Tells, places: Places) -> None:
        self._truth = truth
        self._record = record
        self._tells = tells
        self._places = places
        self._by_device: dict[str, list[TrueHazard]] = defaultdict(list)
        self._by_asset: dict[str, list[TrueHazard]] = defaultdict(list)
        self._by_node: dict[str, list[TrueHazard]] = defaultdict(list)
        self._by_gateway: dict[str, list[TrueHazard]] = defaultdict(list)
        self._blocked: list[TrueHazard] = []
        self._lies: dict[str, list[Lie]] = defaultdict(list)
        for hazard in truth.hazards:
            self._place(hazard)
        for lie in truth.lies:
            self._lies[lie.device_id].append(lie)

    def judge(self, alarm: Alarm) -> Judged:
        rule = self._tells.of(alarm.rule_id)
        doubted = self._doubted(alarm)
        if rule is None:
            return Judged(alarm, "unknown", "", why=f"nobody has said what makes {alarm.rule_id} right")
        if rule.apart:
            return Judged(alarm, "apart", "")
        here = list(self._upstream_of(alarm) if rule.upstream else self._at(alarm))
        right = [
            hazard
            for hazard in here
            if (telling := _allowed(rule, hazard)) is not None and self._in_time(alarm.raised_ms, hazard, telling)
        ]
        hops, nearest = self._nearest_blockage(alarm) if "blockage" in rule.tells else (None, None)
        lie = self._lie(alarm, rule.lies)
        if doubted:
            return Judged(alarm, "kept_back", rule.about, told=self._all_told(alarm, rule, here) if right else ())
        if not right and lie is None:
            return Judged(
                alarm,
                "false",
                rule.about,
                why=self._why_false(alarm, rule, here, hops, nearest),
                hops=hops,
                nearest=nearest,
            )
        told = self._all_told(alarm, rule, here) if right else ()
        return Judged(
            alarm,
            "right",
            rule.about,
            tuple(right),
            told,
            rule.forecast,
            rule.upstream,
            "" if lie is None else lie.fault,
            hops=hops,
            nearest=nearest,
            warned=tuple(self._warned(alarm, rule)),
        )

    def until_ms(self, hazard: TrueHazard) -> float:
        """Until when an alarm of it comes in time."""
        ends_ms = self._truth.ends_ms if hazard.ends_ms is None else hazard.ends_ms
        return ends_ms + self._tells.late_s[hazard.kind] * 1000

    def _in_time(self, at_ms: int, hazard: TrueHazard, telling: Telling) -> bool:
        return hazard.begins_ms - telling.early_s * 1000 <= at_ms <= self.until_ms(hazard)

    def _doubted(self, alarm: Alarm) -> bool:
        """Nobody was ever told of it, since its gauge was doubted."""
        causes = [self._tells.of(rule_id) for rule_id in alarm.explained_by]
        return alarm.withheld and bool(causes) and all(cause is not None and cause.doubts for cause in causes)

    def _all_told(self, alarm: Alarm, rule: RuleTells, here: Iterable[TrueHazard]) -> tuple[TrueHazard, ...]:
        return tuple(hazard for hazard in here if self._told(alarm, rule, hazard))

    def _told(self, alarm: Alarm, rule: RuleTells, hazard: TrueHazard) -> bool:
        """It stood while the hazard lasted, and was known of before that was over."""
        telling = rule.tells.get(hazard.kind)
        if telling is None or hazard.severity < telling.least:
            return False
        begins_ms, until_ms = hazard.begins_ms - telling.early_s * 1000, self.until_ms(hazard)
        return alarm.worst_within(begins_ms, until_ms) > 0 and self._record.known_ms(alarm) <= until_ms

    def _place(self, hazard: TrueHazard) -> None:
        if hazard.kind == "blockage":
            self._blocked.append(hazard)
        elif hazard.kind == "gateway_outage":
            self._by_gateway[hazard.gateway_id].append(hazard)
        elif hazard.device_id:
            self._by_device[hazard.device_id].append(hazard)
        else:
            self._by_node[hazard.node].append(hazard)
        if hazard.asset_code:
            self._by_asset[hazard.asset_code].append(hazard)

    def _at(self, alarm: Alarm) -> Iterator[TrueHazard]:
        """All hazards at the place of an alarm."""
        if alarm.pipe_id:
            for hazard in self._blocked:
                hops = self._places.hops(alarm.pipe_id, hazard.pipe_id)
                if hops is not None and hops <= FOUND_WITHIN_HOPS:
                    yield hazard
        elif alarm.gateway_id:
            yield from self._by_gateway.get(alarm.gateway_id, ())
        elif alarm.device_id:
            yield from self._by_device.get(alarm.device_id, ())
            node = self._places.nodes.get(alarm.device_id, "")
            yield from self._by_node.get(node, ()) if node else ()
        elif alarm.asset_code:
            yield from self._by_asset.get(alarm.asset_code, ())

    def _warned(self, alarm: Alarm, rule: RuleTells) -> Iterator[TrueHazard]:
        for hazard in self._upstream_of(alarm) if rule.warns_above else ():
            stood = alarm.worst_within(hazard.begins_ms, hazard.begins_ms) > 0
            if hazard.kind in rule.warns_above and stood:
                yield hazard

    def _upstream_of(self, alarm: Alarm) -> Iterator[TrueHazard]:
        """All hazards whose water comes to the place of an alarm; of a pipe, to its upper end."""
        end = self._places.pipes[alarm.pipe_id][0] if alarm.pipe_id in self._places.pipes else alarm.asset_code
        for asset_code in sorted(self._places.upstream(end)):
            yield from self._by_asset.get(asset_code, ())

    def _lie(self, alarm: Alarm, faults: Iterable[str]) -> Lie | None:
        """One of these faults of its device, while it was raised; a fault shows until a while after it."""
        known = set(faults)
        late_ms = self._tells.late_s["silence"] * 1000
        lies: list[Lie] = [*self._lies.get(alarm.device_id, ()), *self._lies.get("", ())]
        for lie in lies:
            ends_ms = float("inf") if lie.ends_ms is None else lie.ends_ms + late_ms
            if lie.fault in known and lie.begins_ms <= alarm.raised_ms <= ends_ms:
                return lie
        return None

    def _nearest_blockage(self, alarm: Alarm) -> tuple[int | None, TrueHazard | None]:
        best: tuple[int, TrueHazard] | None = None
        for hazard in self._blocked:
            hops = self._places.hops(alarm.pipe_id, hazard.pipe_id)
            if hops is None or not self._in_time(alarm.raised_ms, hazard, Telling()):
                continue
            if best is None or hops < best[0]:
                best = hops, hazard
        return (None, None) if best is None else best

    def _why_false(
        self,
        alarm: Alarm,
        rule: RuleTells,
        here: list[TrueHazard],
        hops: int | None,
        nearest: TrueHazard | None,
    ) -> str:
        lying = ", ".join(sorted({_lie_text(lie) for lie in self._lies_then(alarm)}))
        because = f"; its device lied: {lying}" if lying else ""
        if hops is not None and nearest is not None:
            return f"the nearest blocked pipe, {nearest.pipe_id}, is {hops} hops away{because}"
        kinds = [hazard for hazard in here if rule.right_by(hazard.kind) is not None]
        if not kinds:
            wanted = ", ".join(sorted({*rule.tells, *rule.beside}))
            return (f"never {wanted} at its place" if wanted else "nothing of the kind is simulated") + because
        closest = min(kinds, key=lambda hazard: self._away_ms(alarm, hazard))
        telling = rule.right_by(closest.kind)
        if telling is not None and closest.severity < telling.least and self._away_ms(alarm, closest) == 0:
            return f"{closest.hazard_id} was there, but not bad enough{because}"
        minutes = self._away_ms(alarm, closest) / 60_000
        order = "before" if alarm.raised_ms < closest.begins_ms else "after"
        return f"{minutes:.0f} min {order} {closest.hazard_id}{because}"

    def _away_ms(self, alarm: Alarm, hazard: TrueHazard) -> float:
        ends_ms = self._truth.ends_ms if hazard.ends_ms is None else hazard.ends_ms
        return max(hazard.begins_ms - alarm.raised_ms, alarm.raised_ms - ends_ms, 0)

    def _lies_then(self, alarm: Alarm) -> Iterator[Lie]:
        for lie in self._lies.get(alarm.device_id, ()):
            if lie.begins_ms <= alarm.raised_ms and (lie.ends_ms is None or alarm.raised_ms <= lie.ends_ms):
                yield lie


def _allowed(rule: RuleTells, hazard: TrueHazard) -> Telling | None:
    telling = rule.right_by(hazard.kind)
    return telling if telling is not None and hazard.severity >= telling.least else None


def _lie_text(lie: Lie) -> str:
    return f"{lie.fault} ({', '.join(lie.fields)})" if lie.fields else lie.fault
