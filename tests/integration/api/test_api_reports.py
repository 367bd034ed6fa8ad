"""A device's reports: pages, buckets of the city's days, gaps, CSV, and 10 000 rows at once."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.api.served import Served

PATH = "/api/v1/devices/cover-0312/reports"
START = datetime(2026, 7, 1, tzinfo=UTC)


def _insert(city: Served, rows: Sequence[tuple[datetime, int, float | None, bool | None]]) -> None:
    """Reports of cover-0312: event time, digest, tilt, open; received a second later per digest."""
    with_values = ", ".join(
        f"(1, '{ts.isoformat()}', {digest}, {'NULL' if tilt is None else tilt}, {'NULL' if opened is None else opened},"
        f" '{(ts + timedelta(seconds=digest)).isoformat()}', 0)"
        for ts, digest, tilt, opened in rows
    )
    city.run(
        f"INSERT INTO report_cover (device_key, ts, digest, tilt_deg, open, received_at, quality) VALUES {with_values}"
    )


def _at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def test_reports_as_they_came(city: Served) -> None:
    city.run(
        "INSERT INTO report_cover (device_key, ts, digest, tilt_deg, open, received_at, seq, quality, extra) VALUES"
        " (1, '2026-07-01T00:00:00.25Z', 7, 78.2, true, '2026-07-01T00:00:02Z', 9, 48, '{\"maker\": \"甲\"}')"
    )
    series = city.ok(PATH)
    assert (series["device_id"], series["family"], series["bucket"], series["next"]) == (
        "cover-0312",
        "cover",
        None,
        None,
    )
    assert {"name": "tilt_deg", "label": "倾角", "unit": "°", "choices": {}} in series["fields"]
    assert series["items"] == [
        {
            "ts": "2026-07-01T00:00:00.250000Z",
            "received_at": "2026-07-01T00:00:02Z",
            "seq": 9,
            "quality": ["late", "values_set_aside"],
            "values": {"tilt_deg": 78.2, "open": True},
            "extra": {"maker": "甲"},
        }
    ]
    assert city.ok(PATH, fields="open")["items"][0]["values"] == {"open": True}


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_pages_hold_every_report_once_in_order_though_more_come_in(city: Served, order: str) -> None:
    # Two a minute share their time and differ in digest, a negative one among them.
    rows = [(_at(n // 2), -5 if n % 2 else 3, float(n), None) for n in range(60)]
    _insert(city, rows)
    seen: list[float] = []
    query: dict[str, Any] = {"order": order, "limit": 7}
    while True:
        page = city.ok(PATH, **query)
        seen += [item["values"]["tilt_deg"] for item in page["items"]]
        # A late report behind the reader and one ahead of the newest: neither moves what is still to come.
        behind = _at(100 + len(seen)) if order == "desc" else _at(-100 - len(seen))
        _insert(city, [(behind, 1, 999.0, None)])
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    expected = [tilt for _ts, _digest, tilt, _ in sorted(rows, key=lambda row: row[:2], reverse=order == "desc")]
    assert seen == expected


def test_from_belongs_to_the_range_and_to_does_not(city: Served) -> None:
    _insert(city, [(_at(n), 1, float(n), None) for n in range(5)])
    series = city.ok(PATH, **{"from": "2026-07-01T08:01:00+08:00", "to": "2026-07-01T00:03:00Z", "order": "asc"})
    assert [item["values"]["tilt_deg"] for item in series["items"]] == [1.0, 2.0]
    # A + that nobody escaped arrives as a space.
    unescaped = city.call("GET", f"{PATH}?from=2026-07-01T08:04:00+08:00")
    assert [item["values"]["tilt_deg"] for item in unescaped.json()["items"]] == [4.0]


def test_buckets_count_and_measure(city: Served) -> None:
    _insert(
        city,
        [
            (_at(0), 1, 3.5, False),
            (_at(10), 1, 78.2, True),
            (_at(20), 1, None, True),
            (_at(20), 2, 4.1, None),
            (_at(70), 1, 3.5, False),
        ],
    )
    series = city.ok(PATH, bucket="1h", fields=["tilt_deg", "open"], **{"from": START.isoformat()})
    assert [(item["ts"], item["reports"]) for item in series["items"]] == [
        ("2026-07-01T00:00:00Z", 4),
        ("2026-07-01T01:00:00Z", 1),
    ]
    tilt = series["items"][0]["values"]["tilt_deg"]
    assert tilt == pytest.approx({"count": 3, "min": 3.5, "max": 78.2, "avg": 28.6, "sum": 85.8, "last": 4.1}, rel=1e-6)
    assert series["items"][0]["values"]["open"] == {"count": 3, "true": 2, "last": True}


def test_of_two_reports_at_one_time_the_later_arrival_is_the_last(city: Served) -> None:
    _insert(city, [(_at(0), 9, 1.0, None), (_at(0), 2, 2.0, None)])
    city.run("UPDATE report_cover SET received_at = '2027-01-01' WHERE digest = 2")
    [bucket] = city.ok(PATH, bucket="1m", **{"from": START.isoformat()})["items"]
    assert bucket["values"]["tilt_deg"]["last"] == 2.0


def test_days_and_months_are_those_of_the_city(city: Served) -> None:
    # 15:59Z and 16:01Z of 30 June are the two sides of midnight in Shanghai, and of the month's end.
    _insert(
        city,
        [
            (datetime(2026, 6, 30, 15, 59, tzinfo=UTC), 1, 1.0, None),
            (datetime(2026, 6, 30, 16, 1, tzinfo=UTC), 1, 2.0, None),
        ],
    )
    since = {"from": "2026-06-01T00:00:00+08:00"}
    days = city.ok(PATH, bucket="1d", **since)["items"]
    assert [(day["ts"], day["reports"]) for day in days] == [("2026-06-29T16:00:00Z", 1), ("2026-06-30T16:00:00Z", 1)]
    months = city.ok(PATH, bucket="1mo", **since)["items"]
    assert [month["ts"] for month in months] == ["2026-05-31T16:00:00Z", "2026-06-30T16:00:00Z"]
    weeks = city.ok(PATH, bucket="7d", **since)["items"]
    assert [week["ts"] for week in weeks] == ["2026-06-28T16:00:00Z"]  # Monday 29 June in Shanghai
    quarters = city.ok(PATH, bucket="6h", **since)["items"]
    assert [quarter["ts"] for quarter in quarters] == ["2026-06-30T10:00:00Z", "2026-06-30T16:00:00Z"]


def test_pages_of_buckets_cover_the_range_once(city: Served) -> None:
    _insert(city, [(_at(n * 7), 1, float(n), None) for n in range(100)])
    query: dict[str, Any] = {"bucket": "15m", "limit": 9, "from": START.isoformat(), "to": _at(700).isoformat()}
    whole = city.ok(PATH, **(query | {"limit": 1000}))["items"]
    pages = []
    while True:
        page = city.ok(PATH, **query)
        assert len(page["items"]) <= 9
        pages += page["items"]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert pages == whole
    assert sum(item["reports"] for item in pages) == 100


def test_gaps_are_shown_carried_on_or_drawn(city: Served) -> None:
    _insert(city, [(_at(5), 1, 10.0, True), (_at(35), 1, 40.0, False)])
    query: dict[str, Any] = {
        "bucket": "10m", "from": START.isoformat(), "to": _at(60).isoformat(), "fields": ["tilt_deg", "open"],
    }  # fmt: skip

    def shown(fill: str, field: str, statistic: str, **more: Any) -> list[Any]:
        items = city.ok(PATH, fill=fill, **query, **more)["items"]
        assert [item["ts"] for item in items] == [_at(10 * n).isoformat().replace("+00:00", "Z") for n in range(6)]
        assert [item["reports"] for item in items] == [1, 0, 0, 1, 0, 0]
        assert [item["values"][field]["count"] for item in items] == [1, 0, 0, 1, 0, 0]
        return [item["values"][field][statistic] for item in items]

    nothing = None
    assert shown("empty", "tilt_deg", "last") == [10, nothing, nothing, 40, nothing, nothing]
    assert shown("previous", "tilt_deg", "last") == [10, 10, 10, 40, 40, 40]
    assert shown("previous", "tilt_deg", "avg") == [10, nothing, nothing, 40, nothing, nothing]
    assert shown("previous", "open", "last") == [True, True, True, False, False, False]
    assert shown("linear", "tilt_deg", "avg") == [10, 20, 30, 40, nothing, nothing]
    assert shown("linear", "tilt_deg", "last") == [10, nothing, nothing, 40, nothing, nothing]
    assert shown("linear", "open", "true") == [1, 0, 0, 0, 0, 0]
    # Silence is not painted over.
    assert shown("previous", "tilt_deg", "last", max_gap_s=600) == [10, 10, nothing, 40, 40, nothing]
    assert shown("linear", "tilt_deg", "avg", max_gap_s=1799) == [10, nothing, nothing, 40, nothing, nothing]
    city.run("UPDATE devices SET expected_interval_s = 200 WHERE device_key = 1")
    assert shown("previous", "tilt_deg", "last") == [10, 10, nothing, 40, 40, nothing]


def test_a_filled_month_has_every_day(city: Served) -> None:
    _insert(city, [(datetime(2026, 6, 3, tzinfo=UTC), 1, 1.0, None)])
    span = {"from": "2026-06-01T00:00:00+08:00", "to": "2026-07-01T00:00:00+08:00"}
    days = city.ok(PATH, bucket="1d", fill="empty", **span)["items"]
    assert [day["ts"] for day in days] == [
        (datetime(2026, 5, 31, 16, tzinfo=UTC) + timedelta(days=n)).isoformat().replace("+00:00", "Z")
        for n in range(30)
    ]
    assert [day["reports"] for day in days] == [0, 0, 1, *[0] * 27]
    assert len(city.ok(PATH, bucket="1mo", fill="empty", **span)["items"]) == 1


def test_without_reports_a_filled_series_is_empty_buckets(city: Served) -> None:
    items = city.ok(PATH, bucket="1h", fill="linear", **{"from": START.isoformat(), "to": _at(180).isoformat()})[
        "items"
    ]
    assert [item["reports"] for item in items] == [0, 0, 0]
    assert items[0]["values"]["tilt_deg"] == {
        "count": 0,
        "min": None,
        "max": None,
        "avg": None,
        "sum": None,
        "last": None,
    }


def test_csv_opens_in_a_spreadsheet(city: Served) -> None:
    _insert(city, [(_at(n), 1, float(n), n == 1) for n in range(3)])
    answer = city.get(PATH, format="csv", limit=2, order="asc", fields=["tilt_deg", "open"])
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="cover-0312.csv"'
    assert answer.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows[1] == {
        "ts": "2026-07-01T08:01:00+08:00",
        "received_at": "2026-07-01T08:01:01+08:00",
        "seq": "",
        "quality": "",
        "tilt_deg": "1.0",
        "open": "true",
        "extra": "",
    }
    following = answer.links["next"]["url"]
    rest = city.call("GET", following)
    assert [row["tilt_deg"] for row in csv.DictReader(io.StringIO(rest.content.decode("utf-8-sig")))] == ["2.0"]
    assert "next" not in rest.links
    buckets = city.get(PATH, format="csv", bucket="1h", fields="tilt_deg", **{"from": START.isoformat()})
    [row] = csv.DictReader(io.StringIO(buckets.content.decode("utf-8-sig")))
    assert row == {
        "ts": "2026-07-01T08:00:00+08:00",
        "reports": "3",
        "tilt_deg.count": "3",
        "tilt_deg.min": "0.0",
        "tilt_deg.max": "2.0",
        "tilt_deg.avg": "1.0",
        "tilt_deg.sum": "3.0",
        "tilt_deg.last": "2.0",
    }


@pytest.mark.parametrize(
    ("device", "family", "column", "value"),
    [
        ("road-0001", "road", "place", 1),
        ("lamp-0007", "lamp", "on", True),
        ("pipe-1", "pipe", "network", 1),
        ("pump-1", "pump", "fault_code", 3),
        ("rain-1", "rain", "amount_mm", 0.4),
    ],
)
def test_every_family_has_its_series(city: Served, device: str, family: str, column: str, value: Any) -> None:
    city.run(
        "INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)"
        " SELECT %(id)s, %(family)s, '410502', 1, 60 WHERE NOT EXISTS (SELECT FROM devices WHERE device_id = %(id)s)",
        {"id": device, "family": family},
    )
    city.run(
        f'INSERT INTO report_{family} (device_key, ts, digest, "{column}", received_at, quality)'
        " SELECT device_key, '2026-07-01Z', 1, %s, '2026-07-01Z', 0 FROM devices WHERE device_id = %s",
        [value, device],
    )
    path = f"/api/v1/devices/{device}/reports"
    [item] = city.ok(path)["items"]
    assert item["values"] == {column: value}
    for fill in ("empty", "previous", "linear"):
        [bucket] = city.ok(
            path, bucket="1d", fill=fill, **{"from": "2026-07-01T00:00:00+08:00", "to": "2026-07-02T00:00:00+08:00"}
        )["items"]
        assert bucket["reports"] == 1
        assert bucket["values"][column]["last"] == value


def test_ten_thousand_reports_come_fast(city: Served) -> None:
    city.run(
        "INSERT INTO report_cover (device_key, ts, digest, tilt_deg, open, battery_v, rsrp_dbm, received_at, quality)"
        " SELECT 1, '2026-06-01Z'::timestamptz + n * interval '1 minute', n, n % 90, false, 3.6, -90, now(), 0"
        " FROM generate_series(1, 20000) n"
    )
    city.ok(PATH, limit=1)
    began = time.perf_counter()
    page = city.ok(PATH, limit=10_000)
    took = time.perf_counter() - began
    assert len(page["items"]) == 10_000
    assert page["next"] is not None
    # About 0.15 s on two idle cores; the bound only catches work that grows with each row.
    assert took < 3
