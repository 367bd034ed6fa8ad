"""Figures of health against a slow reckoning in Python, and that a day of a year's record is read by its indexes."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from alerts.health.figures import Figure, figures
from alerts.rulebook.book import install_shipped
from tests.integration.shard import EMPTIED
from underfoot.storage.connect import connect
from underfoot.storage.statements import names, statement

SINCE = datetime(2026, 7, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=1)

AREAS = """
INSERT INTO areas (code, name, parent_code, level) VALUES
    ('4105', '安阳市', NULL, 'city'), ('410502', '文峰区', '4105', 'district'),
    ('410503', '北关区', '4105', 'district'), ('410502001', '宝莲寺街道', '410502', 'street');
INSERT INTO assets (asset_code, kind, name, area_code) VALUES
    ('A1', '0103', '井1', '410502001'), ('A2', '0103', '井2', '410503');
INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)
SELECT 'C-' || asset_key, 'cover', left(area_code, 6), asset_key, 86400 FROM assets;
"""


@pytest.fixture
def database(module_database: str) -> str:
    with connect(module_database, "test", autocommit=True) as connection:
        connection.execute(EMPTIED.encode())
        connection.execute(AREAS.encode())
        install_shipped(connection)
    return module_database


def reckoned(database: str, since: datetime = SINCE, until: datetime = UNTIL) -> dict[str, Figure]:
    with connect(database, "test") as connection:
        return {figure.name: figure for figure in figures(connection, since, until)}


@dataclass
class Raised:
    alarm: int
    area: str
    at: datetime
    severity: int
    suppressed: bool


def raise_them(database: str, raised: list[Raised]) -> None:
    """Each clears a second later, so that the next one of its alarm is another episode."""
    with psycopg.connect(database, autocommit=True) as connection:
        keys: dict[int, int] = {}
        for one in raised:
            if one.alarm not in keys:
                row = connection.execute(
                    "INSERT INTO alarms (subject_kind, subject_key, rule_id, area_code) VALUES ('asset', %s, 'x.y', %s)"
                    " RETURNING alarm_key",
                    [one.alarm, one.area],
                ).fetchone()
                assert row is not None
                keys[one.alarm] = row[0]
        times: Counter[int] = Counter()
        for one in raised:
            times[one.alarm] += 1
            connection.execute(
                "INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity,"
                " raised_at, raised_received_at, committed_at, cleared_at, cleared_received_at, proof)"
                " VALUES (%s, %s, 1, 't', 'normal', %s, %s, %s, %s, %s, %s, %s, '{}')",
                [
                    keys[one.alarm], times[one.alarm], one.severity, one.severity, one.at, one.at,
                    one.at + timedelta(seconds=2), one.at + timedelta(seconds=1), one.at + timedelta(seconds=3),
                ],
            )  # fmt: skip
            connection.execute(
                "INSERT INTO transitions (alarm_key, transition_no, episode, region, from_state, to_state, severity,"
                " reason, actor, event_at, received_at, committed_at)"
                " VALUES (%s, %s, %s, 'condition', 'normal', 'active', %s, 'limit_reached', 'engine', %s, %s, %s)",
                [keys[one.alarm], times[one.alarm], times[one.alarm], one.severity, one.at, one.at, one.at],
            )
            if one.suppressed:
                connection.execute(
                    "INSERT INTO suppressions (alarm_key, kind, cause, since, reason, actor, ended_at)"
                    " VALUES (%s, 'shelved', %s, %s, 'r', 'x', %s)",
                    [keys[one.alarm], str(times[one.alarm]), one.at, one.at + timedelta(seconds=4)],
                )


@pytest.mark.parametrize("seed", [1, 2])
def test_figures_are_those_of_a_slow_reckoning(database: str, seed: int) -> None:
    draw = random.Random(seed)
    raised = []
    for number in range(300):
        alarm = draw.choice([1, 1, 1, 2, draw.randrange(3, 120)])
        area = ("410502001", "410503")[alarm % 2]
        # Apart from each other within an alarm, some close enough to chatter, and some outside the window.
        at = SINCE + timedelta(seconds=draw.randrange(-3600, 90_000) // 7 * 7)
        raised.append(Raised(alarm, area, at, draw.choice([1, 2, 2, 2, 3, 4]), number % 10 == 0))
    unique = {(one.alarm, one.at): one for one in raised}
    ordered = sorted(unique.values(), key=lambda one: one.at)
    raise_them(database, ordered)

    committed = timedelta(seconds=2)
    inside = [one for one in ordered if SINCE <= one.at + committed < UNTIL]
    reaching = [one for one in inside if not one.suppressed]
    found = reckoned(database)
    assert found["raised"].value == len(inside)
    assert found["per_day"].value == pytest.approx(len(reaching) / 2)
    assert found["per_hour"].value == pytest.approx(len(reaching) / 2 / 24)
    assert found["mean_per_10_min"].value == pytest.approx(len(reaching) / 2 / 144)
    buckets = Counter((one.area[:6], (one.at + committed - SINCE) // timedelta(minutes=10)) for one in reaching)
    assert found["most_per_10_min"].value == max(buckets.values())
    counts = Counter(one.alarm for one in inside)
    assert found["top_ten_share"].value == pytest.approx(sum(n for _, n in counts.most_common(10)) / len(inside))
    assert found["top_ten_share"].kept is False
    for name, severities in (("low", (1, 2)), ("medium", (3,)), ("high", (4,))):
        share = sum(one.severity in severities for one in inside) / len(inside)
        assert found[f"{name}_share"].value == pytest.approx(share)
    chattering = set()
    for alarm in counts:
        times = sorted(one.at for one in inside if one.alarm == alarm)
        if any(third - first <= timedelta(minutes=1) for first, third in zip(times, times[2:], strict=False)):
            chattering.add(alarm)
    assert found["chattering"].value == len(chattering)
    assert found["chattering"].kept is (not chattering)
    assert found["record_p95_s"].value == pytest.approx(2.0)


def test_operators_may_be_a_number_or_those_on_duty(database: str) -> None:
    raise_them(database, [Raised(n, "410503", SINCE + timedelta(seconds=n), 2, False) for n in range(12)])
    assert reckoned(database)["most_per_10_min"].value == 12
    for operators, expected in (("4", 3), ('"duty"', 12)):
        with connect(database, "test") as connection:
            connection.execute(
                "INSERT INTO rules (rule_id, version, body, created_by)"
                " SELECT rule_id, version + 1, jsonb_set(body, '{operators}', %s::jsonb), 'li' FROM rules"
                " WHERE rule_id = 'health.alarms' ORDER BY version DESC LIMIT 1",
                [operators],
            )
        assert reckoned(database)["most_per_10_min"].value == expected


def test_too_few_are_not_judged_and_nothing_is_no_failure(database: str) -> None:
    quiet = reckoned(database)
    assert not [figure.name for figure in quiet.values() if figure.kept is False]
    assert quiet["top_ten_share"].value is None
    raise_them(database, [Raised(n, "410503", SINCE + timedelta(hours=n), 4, False) for n in range(12)])
    few = reckoned(database)
    assert (few["top_ten_share"].kept, few["high_share"].kept) == (None, None)
    assert few["high_share"].value == 1.0


def open_alarm(connection: psycopg.Connection[Any], number: int, at: datetime, *, changed: datetime) -> None:
    """One that is open since `at`, whose condition changed then and at `changed`, and that somebody saw just now."""
    row = connection.execute(
        "INSERT INTO alarms (subject_kind, subject_key, rule_id, episode) VALUES ('asset', %s, 'x.y', 1)"
        " RETURNING alarm_key",
        [number],
    ).fetchone()
    assert row is not None
    connection.execute(
        "INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity, raised_at,"
        " raised_received_at, committed_at, proof) VALUES (%s, 1, 1, '井盖打开', 'active', 3, 3, %s, %s, %s, '{}')",
        [row[0], at, at, at],
    )
    for n, region, committed in ((1, "condition", at), (2, "condition", changed), (3, "human", UNTIL)):
        connection.execute(
            "INSERT INTO transitions (alarm_key, transition_no, episode, region, from_state, to_state, severity, "
            "reason, actor, event_at, received_at, committed_at)"
            " VALUES (%s, %s, 1, %s, 'normal', 'active', 3, 'limit_reached', 'engine', %s, %s, %s)",
            [row[0], n, region, at, at, committed],
        )


def test_stale_flood_deliveries_and_books(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for number, hours in enumerate((30, 25, 23)):
            open_alarm(connection, number, UNTIL - timedelta(hours=40), changed=UNTIL - timedelta(hours=hours))
        connection.execute(
            "INSERT INTO floods (area_code, began_at, ended_at, peak) VALUES"
            " ('410502', %s, %s, 40), ('410503', %s, NULL, 12)",
            [SINCE - timedelta(hours=1), SINCE + timedelta(minutes=30), UNTIL - timedelta(minutes=10)],
        )
        connection.execute(
            "INSERT INTO books (shard, minute, received, stored, duplicate, quarantined, late) VALUES"
            " ('main', %s, 10, 5, 3, 2, 4), ('main', %s, 7, 7, 0, 0, 7)",
            [SINCE, UNTIL],
        )
        connection.execute(
            "INSERT INTO sinks (name, channel, audience, config) VALUES ('p', 'platform', 'platform', '{}')"
        )
        for number, state in enumerate(["delivered"] * 20 + ["owed"]):
            made = SINCE + timedelta(hours=1)
            connection.execute(
                "INSERT INTO outbox (idempotency_key, sink_key, alarm_key, episode, transition_no, notice, severity,"
                " state, snapshot, created_at, settled_at) SELECT %s, sink_key, (SELECT min(alarm_key) FROM alarms), 1,"
                " %s, 'raise', 3, %s, '{}', %s, %s FROM sinks",
                [f"k{number}", number, state, made, made + timedelta(seconds=number) if state == "delivered" else None],
            )
    found = reckoned(database)
    assert (found["stale"].value, found["stale"].kept, found["stale"].detail) == (2, True, "最久：井盖打开")
    assert found["flood_share"].value == pytest.approx(30 / 1440)
    assert (found["flood_share"].kept, found["flood_share"].detail) == (False, "文峰区")
    assert [found[name].value for name in ("late", "duplicate", "quarantined")] == [4, 3, 2]
    assert found["oldest_owed_s"].value == 23 * 3600
    assert found["oldest_owed_s"].kept is False
    assert found["receipt_p95_s"].value == pytest.approx(18.05)


def test_a_window_ends_after_it_begins_and_is_no_longer_than_a_month(database: str) -> None:
    for since, until in ((UNTIL, SINCE), (SINCE, SINCE), (SINCE - timedelta(days=40), SINCE)):
        with pytest.raises(ValueError, match="`to` is after `from`"):
            reckoned(database, since, until)


# a year's record -----------------------------------------------------------------------------------------------------

YEAR = Path(__file__).parent / "health_year.sql"
# Not `alarms`: there are as many after a day as after a year.
GUARDED = (
    "episodes",
    "transitions",
    "outbox",
    "suppressions",
    "comments",
    "duty_notes",
    "books",
    "escalations",
)


def test_a_day_of_a_year_is_read_by_its_indexes(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(YEAR.read_bytes())
    end = datetime(2026, 12, 1, tzinfo=UTC)
    params = {
        "since": end - timedelta(days=1), "until": end, "now": end, "every": timedelta(seconds=60), "state": "{}",
        "after": timedelta(hours=24), "chattering": 3, "areas": None, "limit": 100, "opens_after": 5, "code": "410502",
    }  # fmt: skip
    wrong = []
    with psycopg.connect(database) as connection:
        a_day = connection.execute(
            "SELECT count(*) FROM episodes WHERE committed_at >= %s AND committed_at < %s", [params["since"], end]
        ).fetchone()
        assert a_day is not None
        assert a_day[0] > 50
        for name in [*names("health"), *names("handover")]:
            if name == "handover.areas_within":
                continue
            row = connection.execute(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {statement(name)}".encode(), params, prepare=False
            ).fetchone()
            assert row is not None
            rows, scanned = _touched(row[0][0]["Plan"])
            if scanned or rows > 5000:
                wrong.append(f"{name}: {rows:.0f} rows touched; Seq Scan on {scanned}")
        assert not wrong, "\n".join(wrong)
        # The guard can fail: without its index the year is read whole.
        connection.execute("DROP INDEX episodes_committed")
        query = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement('health.load')}"
        row = connection.execute(query.encode(), params, prepare=False).fetchone()
        connection.rollback()
    assert row is not None
    rows, scanned = _touched(row[0][0]["Plan"])
    assert scanned == ["episodes"]
    assert rows > 5000


def _touched(plan: dict[str, Any]) -> tuple[float, list[str]]:
    """How many rows of guarded tables were read, and which of them by a Seq Scan."""
    rows, scanned = 0.0, []
    nodes = [plan]
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        if node.get("Relation Name") not in GUARDED or node["Actual Loops"] == 0:
            continue
        rows += (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        if node["Node Type"] == "Seq Scan":
            scanned.append(node["Relation Name"])
    return rows, scanned
