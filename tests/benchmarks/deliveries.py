"""How fast what is owed reaches a sink that takes it at once, while another sink is dead."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

from psycopg.types.json import Jsonb

from deploy.ports import any_free
from tests.benchmarks.figures import Figure, median
from tests.benchmarks.rig import Rig, listens, rig, underfoot, wait_for
from tests.integration.owing import snapshot

OWED = 10_000
REPEATS = 3
WORKERS = 8
"""Connections of the reference, as many as the dispatcher's workers are by default."""


def figures() -> list[Figure]:
    with rig(100) as made:
        runs = [_run(made, repeat) for repeat in range(REPEATS)]
    delivered, posted = (median(values) for values in zip(*runs, strict=True))
    return [Figure("alerts.deliveries_per_s", delivered, "/s", "plain_posts_per_s", posted)]


def _run(made: Rig, repeat: int) -> tuple[float, float]:
    """Deliveries a second by `underfoot alerts`, and posts of the same bodies by as many plain connections."""
    port = any_free()
    url = f"http://127.0.0.1:{port}/events"
    posted = _posts_per_s(made, url, port)
    _owe(made, url, f"http://127.0.0.1:{any_free()}/events", repeat)
    with made.run(sys.executable, "-m", "tests.benchmarks.sink", str(port), log="sink") as sink:
        with made.run(underfoot(), "alerts", log="alerts"):
            wait_for(lambda: made.value(_LEFT) == 0, 120, "everything delivered to the sink that lives")
        sink.process.terminate()
        taken = sink.answer()
    assert taken["taken"] == OWED, taken
    return OWED / (taken["last"] - taken["first"]), posted


_LEFT = "SELECT count(*) FROM outbox JOIN sinks USING (sink_key) WHERE state = 'owed' AND name LIKE 'fast%'"


def _owe(made: Rig, url: str, dead_url: str, repeat: int) -> None:
    """One raise of each of so many alarms to each of the two, as batches write them."""
    with made.connect() as connection:
        connection.execute("DELETE FROM outbox")
        connection.execute("UPDATE sinks SET enabled = false")
        sinks = [
            connection.execute(
                "INSERT INTO sinks (name, channel, audience, config) VALUES (%s, 'webhook', 'platform', %s)"
                " RETURNING sink_key",
                [f"{name}-{repeat}", Jsonb({"url": where})],
            ).fetchone()
            for name, where in (("dead", dead_url), ("fast", url))
        ]
        connection.execute(
            "WITH made AS (INSERT INTO alarms (subject_kind, subject_key, rule_id, episode, transition_no)"
            " SELECT 'asset', %(first)s + n, 'bench', 1, 1 FROM generate_series(1, %(owed)s) n RETURNING alarm_key),"
            " opened AS (INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity,"
            " worst_severity, raised_at, raised_received_at, proof)"
            " SELECT alarm_key, 1, 1, '井盖打开', 'active', 4, 4, now(), now(), '{}' FROM made)"
            " INSERT INTO outbox (idempotency_key, sink_key, alarm_key, episode, transition_no, notice, severity,"
            " snapshot) SELECT alarm_key || '-' || s, s, alarm_key, 1, 1, 'raise', 4, %(snapshot)s"
            " FROM made CROSS JOIN unnest(%(sinks)s::int[]) s",
            {
                "first": repeat * OWED,
                "owed": OWED,
                "snapshot": Jsonb(snapshot()),
                "sinks": [row[0] for row in sinks if row is not None],
            },
        )
        connection.execute("ANALYZE outbox")


def _posts_per_s(made: Rig, url: str, port: int) -> float:
    body = json.dumps(snapshot()).encode()
    with made.run(sys.executable, "-m", "tests.benchmarks.sink", str(port), log="sink") as sink:
        wait_for(lambda: listens(port), 20, "the receiver listening")
        threads = [threading.Thread(target=_post, args=(url, body, OWED // WORKERS)) for _ in range(WORKERS)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        sink.process.terminate()
        assert sink.answer()["taken"] >= OWED // WORKERS * WORKERS
    return OWED // WORKERS * WORKERS / took


def _post(url: str, body: bytes, times: int) -> None:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port)
    for _ in range(times):
        connection.request("POST", where.path, body, {"Content-Type": "application/json"})
        connection.getresponse().read()
    connection.close()
