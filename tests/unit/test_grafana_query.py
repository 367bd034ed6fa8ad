"""The tests' own expander does what Grafana's datasource was seen to do."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.integration.grafana_query import Asked

AT = Asked(
    datetime(2026, 7, 1, 4, tzinfo=UTC), datetime(2026, 7, 1, 5, tzinfo=UTC), "5m", {"x": "column"}, {"v": ["a", "o'b"]}
)


@pytest.mark.parametrize(
    ("written", "expanded"),
    [
        ("$__time(c)", 'c AS "time"'),
        ("$__timeEpoch(c)", 'extract(epoch from c) as "time"'),
        ("$__timeFilter(ts)", "ts BETWEEN '2026-07-01T04:00:00Z' AND '2026-07-01T05:00:00Z'"),
        ("$__timeFrom() $__timeTo()", "'2026-07-01T04:00:00Z' '2026-07-01T05:00:00Z'"),
        ("$__timeGroup(ts,'5m')", "time_bucket('300.000s',ts)"),
        ("$__timeGroup(ts, 1h, 0)", "time_bucket('3600.000s',ts)"),
        ("$__timeGroup(ts,'5m'), x", "time_bucket('300.000s',ts) AS \"time\", x"),
        ("$__timeGroupAlias(ts,$__interval)", "time_bucket('300.000s',ts) AS \"time\""),
        ("$__interval_ms $__interval", "300000 5m"),
        ("$__unixEpochFilter(c)", "c >= 1782878400 AND c <= 1782882000"),
        ("$__unixEpochGroupAlias(c,'1m')", 'floor((c)/60)*60 AS "time"'),
        ("IN (${v:sqlstring})", "IN ('a','o''b')"),
        ("column IN (${x:sqlstring})", "column IN (column)"),
        # The datasource ends a macro at the first closing parenthesis, and so does this.
        (
            "$__timeFilter(date_trunc('hour',ts))",
            "date_trunc('hour' BETWEEN '2026-07-01T04:00:00Z' AND '2026-07-01T05:00:00Z')",
        ),
    ],
)
def test_the_expander_does_what_the_datasource_does(written: str, expanded: str) -> None:
    assert AT.expand(written) == expanded


def test_an_unknown_macro_is_an_error() -> None:
    with pytest.raises(ValueError, match="__timeGruop"):
        AT.expand("SELECT $__timeGruop(ts,5m)")
