"""Tally: what a backtest has found, counted by day and severity, and held against what is on record."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from alerts.backtest.result import SEVERITIES, Backtest, Day, FoundEpisode, Overlap, RecordedEpisode
from alerts.backtest.trial import Fleet, Trial
from alerts.history.episodes import FOREVER, Past
from underfoot.city_time import CITY_ZONE
from underfoot.reports import microseconds, moment
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


@dataclass(frozen=True)
class Found:
    """By device_key its episodes, oldest first; how many reports were judged, and how long that took."""

    by_device: dict[int, list[Past]]
    reports: int
    took_s: float


@dataclass(frozen=True)
class _Recorded:
    device_key: int
    rule_id: str
    raised_us: int
    ends_us: int
    confirmed: bool | None


def tally(connection: Connection, trial: Trial, fleet: Fleet, found: Found) -> Backtest:
    names = dict(zip(fleet.device_key.tolist(), zip(fleet.device_id, fleet.place, strict=True), strict=True))
    recorded = _recorded(connection, trial, fleet)
    ours = [one for one in recorded if one.rule_id == trial.rule.rule_id]
    spans = _spans(found.by_device)
    told_us = (microseconds(trial.since), microseconds(trial.until))
    pasts = [(key, past) for key, of_device in found.by_device.items() for past in of_device]
    notices = [_city_day(at) for _, past in pasts for at in told_at(past) if told_us[0] <= at < told_us[1]]
    span_days = (trial.until - trial.since) / timedelta(days=1)
    episodes = sorted(
        (_shown(past, *names[key]) for key, past in pasts), key=lambda one: (-one.severity, -one.raised_at.timestamp())
    )
    return Backtest(
        rule_id=trial.rule.rule_id,
        title=trial.rule.title,
        version=trial.version,
        begins_at=trial.since,
        ends_at=trial.until,
        devices=len(fleet),
        reports=found.reports,
        took_s=round(found.took_s, 2),
        raised=len(pasts),
        by_severity=_by_severity([past for _, past in pasts]),
        notices=len(notices),
        raised_a_day=round(sum(past.raised_us >= told_us[0] for _, past in pasts) / span_days, 2),
        notices_a_day=round(len(notices) / span_days, 2),
        tells=[name for name in ("case", "crew") if getattr(trial.rule, name) is not None],
        days=list(_days(trial, [past for _, past in pasts], notices)),
        of_this_rule=_overlap(ours, spans),
        of_other_rules=_overlap([one for one in recorded if one.rule_id != trial.rule.rule_id], spans),
        new=_new(pasts, ours),
        episodes=episodes,
        recorded=[
            RecordedEpisode(
                device_id=names[one.device_key][0],
                raised_at=moment(one.raised_us),
                cleared_at=None if one.ends_us == FOREVER else moment(one.ends_us),
                confirmed=one.confirmed,
                found=overlaps(spans.get(one.device_key, []), one.raised_us, one.ends_us),
            )
            for one in ours
        ],
    )


def _recorded(connection: Connection, trial: Trial, fleet: Fleet) -> list[_Recorded]:
    params = {"device_keys": fleet.device_key.tolist(), "since": trial.since, "until": trial.until}
    return [
        _Recorded(key, rule_id, microseconds(raised), FOREVER if cleared is None else microseconds(cleared), confirmed)
        for key, rule_id, raised, cleared, confirmed in connection.execute(statement("history.recorded_in"), params)
    ]


# holding against each other -----------------------------------------------------------------------------------------

_Spans = list[tuple[int, int]]


def _spans(by_device: dict[int, list[Past]]) -> dict[int, _Spans]:
    return {key: [(past.raised_us, past.ends_us) for past in pasts] for key, pasts in by_device.items()}


def overlaps(spans: _Spans, begin_us: int, end_us: int) -> bool:
    """Of spans that follow each other, whether one has anything in common with this one."""
    last = bisect_right(spans, (end_us, FOREVER)) - 1
    return last >= 0 and spans[last][1] >= begin_us


def _overlap(recorded: Sequence[_Recorded], spans: dict[int, _Spans]) -> Overlap:
    found = [overlaps(spans.get(one.device_key, []), one.raised_us, one.ends_us) for one in recorded]
    said = [one.confirmed for one in recorded]
    both = list(zip(said, found, strict=True))
    return Overlap(
        recorded=len(recorded),
        recorded_found=sum(found),
        confirmed=said.count(True),
        confirmed_found=both.count((True, True)),
        false=said.count(False),
        false_found=both.count((False, True)),
    )


def _new(pasts: Sequence[tuple[int, Past]], ours: Sequence[_Recorded]) -> int:
    known: dict[int, _Spans] = {}
    for one in ours:
        known.setdefault(one.device_key, []).append((one.raised_us, one.ends_us))
    return sum(not overlaps(known.get(key, []), past.raised_us, past.ends_us) for key, past in pasts)


# counting -----------------------------------------------------------------------------------------------------------


def told_at(past: Past) -> Iterator[int]:
    """When somebody is told: at its raise, when it gets worse, at its end."""
    last = 0
    for at_us, severity in past.levels():
        if severity > last:
            yield at_us
        last = severity
    if past.cleared_us is not None:
        yield past.cleared_us


def _shown(past: Past, device_id: str, place: str) -> FoundEpisode:
    return FoundEpisode(
        device_id=device_id,
        place=place,
        raised_at=moment(past.raised_us),
        cleared_at=None if past.cleared_us is None else moment(past.cleared_us),
        severity=past.worst,
        notices=sum(1 for _ in told_at(past)),
    )


def _by_severity(pasts: Sequence[Past]) -> list[int]:
    worst = [past.worst for past in pasts]
    return [worst.count(severity) for severity in SEVERITIES]


def _city_day(at_us: int) -> date:
    return moment(at_us).astimezone(CITY_ZONE).date()


def _days(trial: Trial, pasts: Sequence[Past], notices: Sequence[date]) -> Iterator[Day]:
    """Every day of the span, also those on which nothing was."""
    by_day: dict[date, list[Past]] = {}
    for past in pasts:
        by_day.setdefault(_city_day(past.raised_us), []).append(past)
    day, last = _date(trial.since), _date(trial.until - timedelta(microseconds=1))
    told: dict[date, int] = {}
    for one in notices:
        told[one] = told.get(one, 0) + 1
    while day <= last:
        yield Day(day=day, raised=_by_severity(by_day.get(day, [])), notices=told.get(day, 0))
        day += timedelta(days=1)


def _date(at: datetime) -> date:
    return at.astimezone(CITY_ZONE).date()
