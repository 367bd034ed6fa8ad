"""`/metrics`: what the database knows, read at most every few seconds, and what this process has answered."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from time import monotonic

import psycopg
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from psycopg_pool import ConnectionPool

from alerts.duty.calendar import known_days
from alerts.duty.store import load_calendar
from alerts.health.figures import kept
from api.parameters import CITY_ZONE
from api.rows import Row, fetch_all
from underfoot import metrics
from underfoot.alarms import Severity
from underfoot.clock import CLOCK
from underfoot.metrics import Metric
from underfoot.quarantine import Selection, counts
from underfoot.storage.connect import Connection

Family = CounterMetricFamily | GaugeMetricFamily

_LOOK_AHEAD_DAYS = 60
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_ALL_TIME: dict[str, object] = {"from": None, "to": None, "shard": None}


class Exposition:
    """This process's counters, and the database's figures beside them."""

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry(auto_describe=False)
        requests, duration = metrics.HTTP_REQUESTS, metrics.HTTP_DURATION_S
        self._requests = Counter(requests.name, requests.help, requests.labels, registry=self._registry)
        self._duration = Histogram(duration.name, duration.help, duration.labels, registry=self._registry)
        self._registry.register(DatabaseFigures(pool))

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        # Anybody may send any method; each would be a time series for good.
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._duration.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class DatabaseFigures(Collector):
    """Gauges and totals that the database keeps. Two scrapers at once, or one in a hurry, ask it once."""

    KEPT_S = 5.0

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        self._pool = pool
        self._lock = Lock()
        self._read_at = -self.KEPT_S
        self._families: list[Family] = []

    def collect(self) -> Iterable[Family]:
        with self._lock:
            if monotonic() - self._read_at >= self.KEPT_S:
                try:
                    with self._pool.connection() as connection:
                        self._families = [_gauge(metrics.DATABASE_UP, [((), 1)]), *_read(connection)]
                except psycopg.OperationalError:
                    self._families = [_gauge(metrics.DATABASE_UP, [((), 0)])]
                self._read_at = monotonic()
            return list(self._families)


def _read(connection: Connection) -> Iterator[Family]:
    books = fetch_all(connection, "api_books.total_books", _ALL_TIME)
    yield _counter(metrics.RECEIVED, books, "received")
    yield _counter(metrics.REDELIVERED, books, "redelivered")
    yield _counter(metrics.BY_INBOX, books, "by_inbox")
    yield _counter(metrics.UNPACKED, books, "unpacked")
    yield _counter(metrics.STORED, books, "stored")
    yield _counter(metrics.DUPLICATE, books, "duplicate")
    yield _counter(metrics.QUARANTINED, books, "quarantined")
    yield _counter(metrics.FORWARDED, books, "forwarded")
    yield _counter(metrics.DISCARDED, books, "discarded")
    yield _counter(metrics.LATE, books, "late")
    reasons: Counted[str] = Counted()
    for row in counts(connection, Selection()):
        reasons[row["reason"]] += row["messages"]
    yield _gauge(metrics.QUARANTINE, [((reason,), messages) for reason, messages in reasons.most_common()])
    opened = {row["severity"]: row["alarms"] for row in fetch_all(connection, "api_metrics.open_alarms", {})}
    yield _gauge(metrics.ALARMS_OPEN, [((severity.name,), opened.get(severity, 0)) for severity in Severity])
    yield from _health(connection)
    steps = fetch_all(connection, "api_metrics.city_steps", {})
    yield _counter(metrics.CITY_STEP_RUNS, steps, "runs")
    yield _counter(metrics.CITY_STEP_FAILURES, steps, "failures")
    yield _counter(metrics.CITY_STEP_S, steps, "seconds")
    yield _gauge(metrics.CITY_STEP_LAST_S, [((row["step"],), row["last_s"]) for row in steps])
    sinks = fetch_all(connection, "api_metrics.deliveries", {})
    yield _gauge(metrics.DELIVERIES_OWED, [((row["sink"],), row["owed"]) for row in sinks])
    yield _gauge(metrics.DELIVERIES_DEAD, [((row["sink"],), row["dead"]) for row in sinks])
    yield _gauge(metrics.DELIVERY_OLDEST_S, [((row["sink"],), row["oldest_s"]) for row in sinks])
    shards = fetch_all(connection, "api_metrics.shards", {})
    # A shard that has never caught up has no lag yet; a made-up number would be worse than none.
    behind = [((row["shard"],), row["behind_s"]) for row in shards if row["behind_s"] is not None]
    yield _gauge(metrics.SHARD_BEHIND_S, behind)
    probed = [((row["shard"],), row["probe_delay_s"]) for row in shards if row["probe_delay_s"] is not None]
    yield _gauge(metrics.PROBE_DELAY_S, probed)
    yield _gauge(metrics.SHARD_HELD, [((row["shard"],), int(row["held"])) for row in shards])
    (workers,) = fetch_all(connection, "api_metrics.workers", {})
    yield _gauge(metrics.WORKERS, [((), workers["present"])])
    devices = fetch_all(connection, "api_metrics.devices", {})
    yield _gauge(metrics.DEVICES, [((row["family"], row["status"]), row["devices"]) for row in devices])


def _health(connection: Connection) -> Iterator[Family]:
    """What the city's thread reckoned last; an installation in which it has never run shows no figures."""
    found = kept(connection)
    if found is not None:
        at, figures = found
        shown = [((figure.name,), figure.value) for figure in figures if figure.value is not None]
        yield _gauge(metrics.ALARM_HEALTH, shown)
        judged = [((figure.name,), int(figure.kept)) for figure in figures if figure.kept is not None]
        yield _gauge(metrics.ALARM_HEALTH_KEPT, judged)
        yield _gauge(metrics.ALARM_HEALTH_AGE_S, [((), max((CLOCK.now() - at).total_seconds(), 0.0))])
    today = CLOCK.now().astimezone(CITY_ZONE).date()
    yield _gauge(metrics.CALENDAR_KNOWN_DAYS, [((), known_days(load_calendar(connection), today, _LOOK_AHEAD_DAYS))])
    turns = fetch_all(connection, "api_metrics.escalated", {})
    yield _gauge(metrics.ESCALATED, [((str(row["level"]),), row["turns"]) for row in turns])


def _counter(metric: Metric, rows: list[Row], column: str) -> CounterMetricFamily:
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for row in rows:
        family.add_metric(tuple(row[label] for label in metric.labels), row[column])
    return family


def _gauge(metric: Metric, values: Sequence[tuple[tuple[str, ...], float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in values:
        family.add_metric(labels, value)
    return family
