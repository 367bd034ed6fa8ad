"""Whatever the order in which a city's reports come, what its rules over several devices make of them is the same.

One evening: a foul sewer is blocked, rain gets harder and harder, one rain gauge stands still in it, lamps leak beside
water that comes and goes, a cover's water stands high in dry weather, and a gateway is away for an hour and sends later
what it has kept. Fed in order, and each message three times, shuffled within a quarter of an hour.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
import pytest

from alerts.city import late
from alerts.city.engine import steps
from alerts.timers import post_due
from tests.integration.shard import HOUR, MINUTE, SECOND
from tests.integration.town import Town, town_of
from underfoot.families import FAMILIES
from underfoot.reports import moment

STEP = 5 * MINUTE
STEPS = 46
CITY = {
    "drainage.blockage": 15,
    "drainage.overload_forecast": 125,
    "rain.stuck": 310,
    "lamp.leaking_in_water": 15,
    "lamp.touch_voltage_wet": 15,
    "cover.dry_weather_high": 15,
}
"""The rules over several devices that have something to say here, and by how many seconds their times may differ: what
lies between two judgements, and what a tick takes."""

ARRIVAL = frozenset({"gateway.outage", *(f"{family}.offline" for family in FAMILIES)})
"""These are about when something came, not about when it was true."""


JUDGING = (
    "withdrawn",
    "weather",
    "doubts",
    "conditioned",
    "composite",
    "stuck",
    "gateways",
    "blockages",
    "late",
    "overloads",
    "causes",
)


class Says(NamedTuple):
    device_id: str
    values: dict[str, Any]
    ts_us: int
    number: int
    received_us: int


def evening(begin_us: int) -> list[Says]:
    """Who says what when, in the order in which it is true."""
    said: list[Says] = []
    numbers: dict[str, int] = {}

    def says(device_id: str, at_us: int, values: dict[str, Any], received_us: int | None = None) -> None:
        numbers[device_id] = numbers.get(device_id, 0) + 1
        received_us = at_us + SECOND if received_us is None else received_us
        said.append(Says(device_id, values, at_us, numbers[device_id], received_us))

    rain = dict(zip(range(12, 22), (1.0, 1.3, 1.7, 2.2, 2.9, 2.0, 1.0, 0.4, 0.2, 0.0), strict=True))
    rain |= dict(zip(range(24, 29), (6.0, 6.0, 6.0, 4.0, 2.0), strict=True))
    fills = dict(zip(range(12, 22), (0.2, 0.3, 0.35, 0.43, 0.5, 0.6, 0.5, 0.4, 0.3, 0.2), strict=True))
    fills |= dict(zip(range(24, 30), (0.7, 0.9, 1.0, 0.8, 0.5, 0.3), strict=True))
    for step in range(STEPS):
        at_us = begin_us + step * STEP
        for gauge in ("N-11", "N-12"):
            says(gauge, at_us, {"amount_mm": rain.get(step, 0.0)})
        says("N-13", at_us, {"amount_mm": 0.6 if step >= 44 else 0.0})
        at_us += 15 * SECOND
        for number in (21, 22, 23):
            fill = fills.get(step, 0.05)
            says(f"P-{number}", at_us, {"fill_ratio": fill, "level_m": round(fill * 0.8, 3), "network": 1})
        if step % 3 == 0:
            blocked = 6 <= step < 30 or step >= 36
            for number, fill in zip((11, 12, 13, 14), (2.0, 3.0, 0.2, 0.2) if blocked else (0.3,) * 4, strict=True):
                says(f"P-{number}", at_us, {"fill_ratio": fill, "level_m": round(fill * 0.3, 3), "network": 0})
        at_us += 15 * SECOND
        says("R-9", at_us, {"depth_cm": 12.0 if step in (20, 21) or step >= 41 else 0.0})
        if step % 3 == 0:
            away_until_us = begin_us + 25 * STEP + 40 * SECOND
            for number in (21, 22, 23, 24):
                values = {"depth_cm": 12.0 if number == 21 and step in (12, 15) else 0.0}
                kept = 9 <= step <= 24
                says(f"R-{number}", at_us, values, away_until_us + 10_000 * (step + number) if kept else None)
        at_us += 15 * SECOND
        says("L-9", at_us, {"leakage_ma": 15.0 if 15 <= step <= 25 or step >= 38 else 1.0})
        says("L-21", at_us, {"leakage_ma": 15.0 if 10 <= step <= 22 else 1.0})
        says("L-11", at_us, {"touch_voltage_v": 30.0 if 10 <= step <= 18 else 1.0})
        if step % 12 == 0:
            says("C-9", at_us, {"water_below_rim_m": 0.4})
    return said


@dataclass
class Came:
    """What has come of it. `episodes`: rule and subject to its corrected record."""

    open: dict[tuple[str, str], int]
    episodes: dict[tuple[str, str], list[tuple[float, float | None, int]]]
    verdicts: list[str]
    late: int


def build(town: Town, at: datetime) -> None:
    town.ask.execute("UPDATE devices SET status = 'retired'")
    for row, first, kind, diameter, fall in (("foul", 11, "foul", 300, 0.25), ("storm", 21, "storm", 800, 0.1)):
        ends = (first, first + 1, first + 2, first + 3)
        for number in ends:
            town.device(f"P-{number}", "pipe", east_m=0 if row == "foul" else 900, north_m=-50 * (number - first))
        for number in ends[:-1]:
            town.ask.execute(
                "INSERT INTO pipes"
                " (pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m)"
                " VALUES (%s, %s, %s, %s, %s, 50, %s, %s)",
                [
                    f"W{number}-W{number + 1}",
                    town.asset_key(f"P-{number}"),
                    town.asset_key(f"P-{number + 1}"),
                    kind,
                    diameter,
                    100 - fall * (number - first),
                    100 - fall * (number - first + 1),
                ],
            )
    town.ask.execute("UPDATE devices SET status = 'retired' WHERE device_id = 'P-24'")
    for number in (11, 12, 13):
        town.device(f"N-{number}", "rain", east_m=300 * number)
    gateway = town.one("INSERT INTO gateways (gateway_id, district) VALUES ('G-1', '410502') RETURNING gateway_key")
    for number in (21, 22, 23, 24):
        town.device(f"R-{number}", "road", east_m=2000 + 300 * number, gateway=gateway["gateway_key"])
    town.device("R-9", "road", east_m=20, north_m=1000)
    town.device("L-9", "lamp", north_m=1000)
    town.device("L-21", "lamp", east_m=2000 + 300 * 21 + 20)
    town.device("L-11", "lamp", north_m=2000)
    town.device("C-9", "cover", north_m=3000, interval_s=86400)
    town.ask.execute("UPDATE devices SET created_at = %s", [at])
    town.shard.sink("platform", "platform")
    town.shard.sink("crew", "crew")
    town.shard.restart()


def begin(town: Town) -> None:
    """With nothing in memory; what tells people is no part of this."""
    town.begin([step for step in steps(town.shard.settings) if step.name in JUDGING])


def record(town: Town) -> dict[tuple[str, str], list[tuple[float, float | None, int]]]:
    found: dict[tuple[str, str], list[tuple[float, float | None, int]]] = {}
    for row in town.rows(
        "SELECT rule_id, coalesce(d.device_id, p.pipe_id, a.asset_code, g.gateway_id, '') AS subject,"
        " c.raised_at, c.cleared_at, c.worst_severity"
        " FROM corrected_episodes c JOIN alarms al USING (alarm_key)"
        " LEFT JOIN devices d ON al.subject_kind = 'device' AND d.device_key = al.subject_key"
        " LEFT JOIN pipes p ON al.subject_kind = 'pipe' AND p.pipe_key = al.subject_key"
        " LEFT JOIN assets a ON al.subject_kind = 'asset' AND a.asset_key = al.subject_key"
        " LEFT JOIN gateways g ON al.subject_kind = 'gateway' AND g.gateway_key = al.subject_key"
        " WHERE al.subject_kind IN ('device', 'pipe', 'asset', 'gateway') ORDER BY rule_id, subject, raised_at"
    ):
        cleared = None if row["cleared_at"] is None else row["cleared_at"].timestamp()
        one = (row["raised_at"].timestamp(), cleared, row["worst_severity"])
        found.setdefault((row["rule_id"], row["subject"]), []).append(one)
    return found


class Kept:
    """What was owed and recorded once is never changed afterwards."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._seen: dict[int, Any] = {}
        self._lines: dict[int, Any] = {}

    def look(self) -> None:
        notices = {
            row["delivery_key"]: (row["notice"], row["snapshot"])
            for row in self._town.rows("SELECT delivery_key, notice, snapshot FROM outbox")
        }
        lines = {row["transition_key"]: row for row in self._town.rows("SELECT * FROM transitions")}
        assert {key: notices[key] for key in self._seen} == self._seen
        assert {key: lines[key] for key in self._lines} == self._lines
        self._seen, self._lines = notices, lines


def fed(database: str, said: list[Says], receipts: list[int], ticks: list[int]) -> Came:
    with (
        psycopg.connect(database, autocommit=True) as looking,
        town_of(database, replay_settle_s=0) as town,
    ):
        build(town, moment(ticks[0]))
        begin(town)
        kept = Kept(town)
        coming = sorted(zip(receipts, said, strict=True), key=lambda one: one[0])
        place = 0
        for number, now_us in enumerate(ticks):
            batch = []
            while place < len(coming) and coming[place][0] <= now_us:
                received_us, one = coming[place]
                town.shard.now_us = received_us - 1000
                batch.append(town.shard.says(one.device_id, one.values, one.ts_us, seq=one.number))
                place += 1
            town.shard.now_us = now_us
            town.shard.commit(*batch, *town.shard.probe(now_us))
            post_due(looking)
            town.shard.look_around()
            town.tick(0)
            if number % 60 == 30:
                kept.look()
                begin(town)
        assert place == len(coming)
        for _ in range(200):
            town.shard.look_around()
            town.tick(0)
            if not town.rows("SELECT device_key FROM late_past UNION ALL SELECT device_key FROM late_windows"):
                break
        else:
            raise AssertionError("the past is never done with")
        kept.look()
        check_told(town)
        opened = {
            (key, subject): worst
            for (key, subject), episodes in record(town).items()
            for _, cleared, worst in episodes[-1:]
            if cleared is None
        }
        rows = town.rows("SELECT rule_id FROM episodes JOIN alarms USING (alarm_key) WHERE cleared_at IS NULL")
        assert sorted(row["rule_id"] for row in rows) == sorted(rule for rule, _ in opened), "rows and record agree"
        verdicts = town.rows(
            "SELECT verdict FROM corrections JOIN alarms USING (alarm_key) WHERE rule_id = ANY(%s)", [*CITY]
        )
        return Came(opened, record(town), [row["verdict"] for row in verdicts], town.shard.books()["late"])


def check_told(town: Town) -> None:
    """Whoever was told of an episode that was otherwise has been told that, after what they had been told."""
    wrong = town.rows(
        "SELECT c.alarm_key, c.episode, c.transition_no, al.rule_id FROM corrections c JOIN alarms al USING (alarm_key)"
        " WHERE c.verdict IN ('merged', 'unfounded') AND EXISTS (SELECT FROM outbox o JOIN sinks s USING (sink_key)"
        "   WHERE s.name = 'platform' AND o.alarm_key = c.alarm_key AND o.episode = c.episode AND o.notice = 'raise')"
    )
    for one in wrong:
        notices = town.rows(
            "SELECT notice FROM outbox JOIN sinks USING (sink_key) WHERE sinks.name = 'platform'"
            " AND alarm_key = %s AND episode = %s ORDER BY transition_no",
            one["alarm_key"],
            one["episode"],
        )
        said = [row["notice"] for row in notices]
        assert said[0] == "raise", (one, said)
        assert "correct" in said, (one, said)


def test_three_times_and_shuffled_is_as_in_order(
    module_database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(late, "EACH_TICK_S", 5.0)
    chance = random.Random(20260705)
    with town_of(module_database) as town:
        begin_us = (town.shard.now_us - 6 * HOUR) // (300 * SECOND) * (300 * SECOND)
    said = evening(begin_us)
    last_us = begin_us + STEPS * STEP + 16 * MINUTE
    at_once = {one.received_us // SECOND * SECOND + SECOND for one in said}
    between = range(begin_us + 62 * SECOND, last_us, STEP)  # what is judged once a minute has its turn
    in_order = fed(module_database, said, [one.received_us for one in said], sorted({*at_once, *between, last_us}))
    for rule in CITY:
        assert any(name == rule for name, _ in in_order.episodes), f"{rule} has nothing to say"
    thrice = [one for one in said for _ in range(3)]
    shuffled = fed(
        module_database,
        thrice,
        [one.received_us + chance.randrange(15 * MINUTE) for one in thrice],
        [*range(begin_us, last_us, MINUTE), last_us],
    )
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
    assert in_order.late == 0
    assert shuffled.late > 50
    assert set(shuffled.verdicts) >= {"missed", "changed"}, "the past was other than it seemed"
    assert shuffled.open == in_order.open
    assert {rule for rule, _ in in_order.open} >= {"drainage.blockage", "lamp.leaking_in_water"}
    for key in sorted(in_order.episodes.keys() | shuffled.episodes.keys()):
        one, other = in_order.episodes.get(key, []), shuffled.episodes.get(key, [])
        if key[0] in ARRIVAL:
            assert [cleared is None for _, cleared, _ in one] == [cleared is None for _, cleared, _ in other], key
            continue
        tolerance = CITY.get(key[0], 0.001)
        assert [worst for *_, worst in one] == [worst for *_, worst in other], (key, one, other)
        for (raised, cleared, _), (also_raised, also_cleared, _) in zip(one, other, strict=True):
            assert raised == pytest.approx(also_raised, abs=tolerance), (key, one, other)
            assert cleared == pytest.approx(also_cleared, abs=tolerance), (key, one, other)
