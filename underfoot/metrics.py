"""The names of metrics, written down once: what each means is its help text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as Prometheus sees it. A counter's name ends in `_total`; units are in the name."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


DATABASE_UP = Metric(
    "underfoot_database_up", "gauge", "1 when the figures below could be read from the database, else 0."
)

RECEIVED = Metric(
    "underfoot_messages_received_total", "counter", "Messages received, counted before decoding.", ("shard",)
)
REDELIVERED = Metric(
    "underfoot_messages_redelivered_total",
    "counter",
    "Of the received, marked as redelivered by the broker.",
    ("shard",),
)
BY_INBOX = Metric(
    "underfoot_messages_by_inbox_total",
    "counter",
    "Of the received, those that came by the inbox: pushed, over TCP, replayed, forwarded to the shard.",
    ("shard",),
)
UNPACKED = Metric(
    "underfoot_reports_unpacked_total", "counter", "Reports beyond the first that array payloads held.", ("shard",)
)
STORED = Metric("underfoot_reports_stored_total", "counter", "Reports stored.", ("shard",))
DUPLICATE = Metric("underfoot_reports_duplicate_total", "counter", "Reports that were stored already.", ("shard",))
QUARANTINED = Metric(
    "underfoot_reports_quarantined_total", "counter", "Reports and messages set aside, by the books.", ("shard",)
)
FORWARDED = Metric(
    "underfoot_reports_forwarded_total",
    "counter",
    "Reports passed on to the shard that their device belongs to.",
    ("shard",),
)
DISCARDED = Metric(
    "underfoot_reports_discarded_total",
    "counter",
    "Rejected reports and messages of a flood: counted, not kept in quarantine.",
    ("shard",),
)
LATE = Metric(
    "underfoot_reports_late_total", "counter", "Of the stored, older than their device's newest report.", ("shard",)
)
QUARANTINE = Metric(
    "underfoot_quarantine_messages", "gauge", "Messages that wait in quarantine, by reason.", ("reason",)
)

ALARMS_OPEN = Metric(
    "underfoot_alarms_open", "gauge", "Open alarms (episodes) by severity: blue, yellow, orange, red.", ("severity",)
)

ALARM_HEALTH = Metric(
    "underfoot_alarm_health",
    "gauge",
    "Figures of health of alerting (ISA-18.2) over the last 24 hours, each in its own unit; docs/duty.md lists them.",
    ("figure",),
)
ALARM_HEALTH_KEPT = Metric(
    "underfoot_alarm_health_kept", "gauge", "1 when a figure of health is within its limit, else 0.", ("figure",)
)
ALARM_HEALTH_AGE_S = Metric(
    "underfoot_alarm_health_age_seconds", "gauge", "Since when the figures of health have not been reckoned anew."
)
CALENDAR_KNOWN_DAYS = Metric(
    "underfoot_calendar_known_days",
    "gauge",
    "Of the next 60 days, how many are of a year whose holidays are known; below 60: enter the next year's notice.",
)
ESCALATED = Metric(
    "underfoot_escalated_24h",
    "gauge",
    "How often a level's turn came in the last 24 hours: nobody had answered, or a sink had not taken a delivery.",
    ("level",),
)

CITY_STEP_RUNS = Metric(
    "underfoot_city_step_runs_total",
    "counter",
    "How often each step of the city's judgement (rules over several devices, incidents, escalation) was taken.",
    ("step",),
)
CITY_STEP_FAILURES = Metric(
    "underfoot_city_step_failures_total", "counter", "Of these, how often it failed and was rolled back.", ("step",)
)
CITY_STEP_S = Metric("underfoot_city_step_seconds_total", "counter", "How long these took together.", ("step",))
CITY_STEP_LAST_S = Metric("underfoot_city_step_last_seconds", "gauge", "How long each step took last.", ("step",))

DELIVERIES_OWED = Metric("underfoot_deliveries_owed", "gauge", "Deliveries not yet settled, by sink.", ("sink",))
DELIVERIES_DEAD = Metric(
    "underfoot_deliveries_dead", "gauge", "Deliveries given up (dead letters), by sink.", ("sink",)
)
DELIVERY_OLDEST_S = Metric(
    "underfoot_delivery_oldest_owed_seconds",
    "gauge",
    "Age of the oldest undelivered delivery, by sink; 0: none is owed.",
    ("sink",),
)

SHARD_BEHIND_S = Metric(
    "underfoot_shard_behind_seconds",
    "gauge",
    "Time since all that the broker had was committed (caught_up_to).",
    ("shard",),
)
PROBE_DELAY_S = Metric(
    "underfoot_shard_probe_delay_seconds", "gauge", "Publish to commit of the shard's last probe.", ("shard",)
)

SHARD_HELD = Metric("underfoot_shard_held", "gauge", "1 when an ingest holds the shard, else 0.", ("shard",))
WORKERS = Metric("underfoot_workers", "gauge", "Ingest processes that reach the database.")

DEVICES = Metric("underfoot_devices", "gauge", "Registered devices by family and status.", ("family", "status"))

HTTP_REQUESTS = Metric(
    "underfoot_http_requests_total",
    "counter",
    "HTTP requests answered by this API process, by method, route template and status.",
    ("method", "route", "status"),
)
HTTP_DURATION_S = Metric(
    "underfoot_http_request_duration_seconds",
    "histogram",
    "How long this API process took to answer, by method and route template.",
    ("method", "route"),
)

METRICS: tuple[Metric, ...] = tuple(each for each in globals().values() if isinstance(each, Metric))
