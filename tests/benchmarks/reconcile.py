"""How long it takes to compare 100 000 cases with what a platform has, of which one in a hundred differs; and the
memory that takes, beside that of a tenth of them.
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from typing import Any

from psycopg.types.json import Jsonb

from deploy.ports import any_free
from tests.benchmarks.figures import Figure
from tests.benchmarks.rig import Rig, listens, rig, underfoot, wait_for

CASES = 100_000
DIFFERS = 100
PAGE = 500


def figures() -> list[Figure]:
    with rig(100) as made:
        few_mb = _run(made, CASES // 10, "few")[1]
        seconds, peak_mb, listed_s = _run(made, CASES, "all")
    return [
        Figure("platform.reconcile_100k_s", seconds, "s", "plain_listing_s", listed_s),
        Figure("platform.reconcile_100k_peak_mb", peak_mb, "MB", "peak_of_a_tenth_mb", few_mb),
    ]


def _run(made: Rig, count: int, sink: str) -> tuple[float, float, float]:
    """Seconds and peak memory of `underfoot platform reconcile`; seconds of reading the same list and nothing else."""
    port = any_free()
    _file(made, count, sink, port)
    listing = (sys.executable, "-m", "tests.benchmarks.listing", str(port), str(count), str(DIFFERS))
    with made.run(*listing, log="listing"):
        wait_for(lambda: listens(port), 20, "the platform listening")
        listed_s = _listed_s(port, count)
        began = time.monotonic()
        with made.run(underfoot(), "platform", "reconcile", sink, "--json", log="reconcile") as reconciling:
            peak_mb = 0.0
            while reconciling.process.poll() is None:
                peak_mb = _peak(reconciling, peak_mb)
                time.sleep(0.02)
            took = time.monotonic() - began
            assert reconciling.process.stdout is not None
            found: dict[str, Any] = json.loads(reconciling.process.stdout.read())
    assert found["listed"] == found["matched"] == found["ours"] == count, found
    assert found["done"] == {"applied": count // DIFFERS}, found["done"]
    assert made.value("SELECT count(*) FROM cases WHERE state = 'handling'") == count // DIFFERS
    return took, peak_mb, listed_s


def _peak(watched: Any, before: float) -> float:
    try:
        peak: float = watched.peak_rss_mb()
    except (AssertionError, OSError):  # it has just ended
        return before
    return peak


def _file(made: Rig, count: int, sink: str, port: int) -> None:
    """So many cases that a platform has accepted, under the numbers that it lists."""
    config = {
        "url": f"http://127.0.0.1:{port}/events",
        "query": {
            "url": f"http://127.0.0.1:{port}/query",
            "parameters": {"after": "{after}", "limit": "{size}"},
            "items": "data.cases",
            "next": "data.next",
            "size": PAGE,
        },
    }
    with made.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        for table in ("case_reported", "case_steps", "cases", "episodes", "transitions", "alarms", "reconciliations"):
            connection.execute(f"DELETE FROM {table}".encode())
        connection.execute("RESET session_replication_role")
        connection.execute(
            "INSERT INTO sinks (name, channel, audience, config) VALUES (%s, 'platform', 'platform', %s)",
            [sink, Jsonb(config)],
        )
        for query in _FILED:
            connection.execute(query, {"count": count, "sink": sink})
        connection.execute("VACUUM ANALYZE alarms, episodes, cases, case_reported")


_FILED = (
    (
        "INSERT INTO alarms (alarm_key, subject_kind, subject_key, rule_id, episode, transition_no)"
        " OVERRIDING SYSTEM VALUE SELECT n, 'asset', n, 'bench', 1, 1 FROM generate_series(1, %(count)s) n"
    ),
    (
        "INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity, raised_at,"
        " raised_received_at, proof)"
        " SELECT n, 1, 1, '井盖打开', 'active', 4, 4, now(), now(), '{}' FROM generate_series(1, %(count)s) n"
    ),
    (
        "INSERT INTO cases (case_key, alarm_key, episode, filing_id, filing_version, code_scheme, case_type, code,"
        " code_name, condition_name, level, state, known_state, known_at, opened_at, filed_at, sink_key, platform_no)"
        " OVERRIDING SYSTEM VALUE"
        " SELECT n, n, 1, 'bench', 1, 'GB/T 30428.2-2013', 'component', '0103', '雨水井盖', '井盖丢失', 2, 'accepted',"
        " 'accepted', '2026-07-01T03:00:00Z', now(), now(), s.sink_key, 'SJ' || lpad(n::text, 9, '0')"
        " FROM generate_series(1, %(count)s) n, sinks s WHERE s.name = %(sink)s"
    ),
    (
        "INSERT INTO case_reported (case_key, sink_key, platform_no, reported_at, told_at)"
        " SELECT case_key, sink_key, platform_no, now() - interval '1 hour', now() - interval '1 hour' FROM cases"
    ),
)


def _listed_s(port: int, count: int) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    began, read, after = time.monotonic(), 0, "SJ0"
    while after is not None:
        connection.request("GET", f"/query?after={after}&limit={PAGE}")
        page = json.loads(connection.getresponse().read())["data"]
        read, after = read + len(page["cases"]), page["next"]
    took = time.monotonic() - began
    connection.close()
    assert read == count
    return took
