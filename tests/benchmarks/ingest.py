"""How fast, at what cost and with what delay reports become durable."""

from __future__ import annotations

import subprocess
import sys
import time
from urllib.parse import urlsplit

from deploy import sandbox
from tests.benchmarks.figures import Figure, median, percentile
from tests.benchmarks.rig import Rig, Watched, last_commit, rig, stored, underfoot, wait_for, wait_until_ready
from underfoot.families import FAMILIES
from underfoot.topics import REPORT_FILTER

DEVICES = 20_000
REPORTS = 120_000
REPEATS = 3
STEADY_RATE = 2_000
STEADY_S = 20
QUIET_RATE = 2
QUIET_S = 20
BURST_RATE = 20_000
BURST_S = 60
BACKLOG_ALLOWED_S = 120.0
LOAD_ALLOWED_US = 16.0
"""Who sends must not be what is measured: 60 000 reports a second from one core."""


def figures() -> list[Figure]:
    empty: list[list[float]] = [[] for _ in range(8)]
    noop, noop_cpu, noop_rss, load_cpu, in_c, durable, cpu, rss = empty
    with rig(DEVICES) as made:
        for repeat in range(REPEATS):
            rate, used, peak, load_used = _noop(made, repeat)
            noop.append(rate)
            noop_cpu.append(used)
            noop_rss.append(peak)
            load_cpu.append(load_used)
            in_c.append(_mosquitto_sub(made, repeat))
            rate, used, peak = _durable(made, repeat)
            durable.append(rate)
            cpu.append(used)
            rss.append(peak)
        delays, receipts = _at_rate(made, STEADY_RATE, STEADY_S)
        quiet, quiet_receipts = _at_rate(made, QUIET_RATE, QUIET_S)
        backlog_s = _burst(made)
        made.call("shards", "split")
        noop_again, divided = [], []
        for repeat in range(REPEATS, 2 * REPEATS):
            noop_again.append(_noop(made, repeat)[0])
            divided.append(_durable(made, repeat)[0])
    return [
        Figure("ingest.durable_reports_per_s", median(durable), "reports/s", "paho_noop", median(noop)),
        Figure("ingest.durable_divided_reports_per_s", median(divided), "reports/s", "paho_noop", median(noop_again)),
        Figure("ingest.durable_vs_c", median(durable), "reports/s", "mosquitto_sub", median(in_c)),
        Figure("ingest.cpu_us_per_report", median(cpu), "µs", "paho_noop", median(noop_cpu)),
        Figure(
            "ingest.publish_to_commit_p50_ms",
            percentile(delays, 0.5),
            "ms",
            "publish_to_receipt_p50",
            percentile(receipts, 0.5),
        ),
        Figure(
            "ingest.publish_to_commit_p99_ms",
            percentile(delays, 0.99),
            "ms",
            "publish_to_receipt_p99",
            percentile(receipts, 0.99),
        ),
        Figure(
            "ingest.quiet_commit_ms",
            percentile(quiet, 0.5),
            "ms",
            "publish_to_receipt_p50",
            percentile(quiet_receipts, 0.5),
        ),
        Figure("ingest.burst_backlog_s", backlog_s, "s", "allowed", BACKLOG_ALLOWED_S),
        Figure("ingest.peak_rss_mb", median(rss), "MB", "paho_noop", median(noop_rss)),
        Figure("ingest.load_cpu_us_per_report", median(load_cpu), "µs", "allowed", LOAD_ALLOWED_US),
    ]


def _noop(made: Rig, repeat: int) -> tuple[float, float, float, float]:
    """Messages/s, CPU µs a message, peak MB of a consumer in Python that does nothing; CPU µs a report of the load."""
    made.restart_broker()
    consumer = [sys.executable, "-m", "tests.benchmarks.noop", made.mqtt_url, REPORT_FILTER, str(REPORTS)]
    with made.run(*consumer, log="noop") as watched:
        assert watched.process.stdout is not None
        assert watched.process.stdout.readline() == b"ready\n"
        sent = made.load(REPORTS, repeat, devices=DEVICES)
        answer = watched.answer()
    rate = REPORTS / (answer["ended"] - sent["began_at"])
    return rate, answer["cpu_s"] / REPORTS * 1e6, answer["peak_rss_mb"], sent["cpu_us_per_report"]


def _mosquitto_sub(made: Rig, repeat: int) -> float:
    """Messages/s of the broker's own client in C, whose output goes nowhere."""
    made.restart_broker()
    url = urlsplit(made.mqtt_url)
    program = ["/usr/bin/mosquitto_sub", "-h", "127.0.0.1", "-p", str(url.port), "-q", "1", "-t", REPORT_FILTER]
    program += ["-i", "mosquitto-sub", "-c", "-C", str(REPORTS), "-F", ""]
    consumer = subprocess.Popen(sandbox.command(made.rootfs, program), stdout=subprocess.DEVNULL)
    try:
        time.sleep(1.0)
        began: float = made.load(REPORTS, repeat, devices=DEVICES)["began_at"]
        consumer.wait(300)
        return REPORTS / (time.time() - began)
    finally:
        consumer.kill()
        consumer.wait()


def _durable(made: Rig, repeat: int) -> tuple[float, float, float]:
    """Reports/s from publish to commit and acknowledgement, CPU µs a report and peak MB of `underfoot ingest`."""
    made.restart_broker()
    before = stored(made)
    with made.run(underfoot(), "ingest", log="ingest") as watched:
        wait_until_ready(made)
        cpu_before = watched.cpu_s()
        began = made.load(REPORTS, 100 + repeat, devices=DEVICES)["began_at"]
        wait_for(lambda: stored(made) - before >= REPORTS, 300, "all reports stored")
        took = last_commit(made) - began
        cpu_us = (watched.cpu_s() - cpu_before) / REPORTS * 1e6
        peak = watched.peak_rss_mb()
    assert stored(made) - before == REPORTS
    return REPORTS / took, cpu_us, peak


def _at_rate(made: Rig, rate: float, seconds: int) -> tuple[list[float], list[float]]:
    """Milliseconds from publish to commit, and from publish to receipt, of each report at a steady rate."""
    made.restart_broker()
    reports = int(rate * seconds)
    with made.run(underfoot(), "ingest", log="ingest") as watched:
        wait_until_ready(made)
        before = stored(made)
        began = made.load(reports, int(1000 + rate), devices=DEVICES, rate=rate)["began_at"]
        wait_for(lambda: stored(made) - before >= reports, 120, "all reports stored")
        _still_running(watched)
    query = " UNION ALL ".join(
        "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - ts) * 1000,"
        " extract(epoch FROM received_at - ts) * 1000"
        f" FROM report_{family} WHERE ts >= to_timestamp({began})"
        for family in FAMILIES
    )
    with made.connect() as connection:
        rows = connection.execute(query).fetchall()
    return [float(row[0]) for row in rows], [float(row[1]) for row in rows]


def _still_running(watched: Watched) -> None:
    assert watched.process.poll() is None, "ingest has ended"


def _burst(made: Rig) -> float:
    """Seconds from the last report of a city's worst minute until all of it is committed."""
    made.restart_broker()
    reports = BURST_RATE * BURST_S
    with made.run(underfoot(), "ingest", log="ingest") as watched:
        wait_until_ready(made)
        before = stored(made)
        sent = made.load(reports, 5000, devices=DEVICES, rate=BURST_RATE)
        wait_for(lambda: stored(made) - before >= reports, 300, "all reports stored")
        _still_running(watched)
    assert stored(made) - before == reports
    backlog_s: float = last_commit(made) - sent["last_ts_ms"] / 1000
    return max(backlog_s, 0.0)
