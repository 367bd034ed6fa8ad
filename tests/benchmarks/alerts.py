"""How soon after a hazard is published its alarm is committed, and the city's platform knows of it."""

from __future__ import annotations

import json
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from deploy.ports import any_free
from tests.benchmarks.figures import Figure, percentile
from tests.benchmarks.rig import Rig, rig, underfoot, wait_for, wait_until_ready

DEVICES = 20_000
HAZARDS = 200
RATE = 2_000
SECONDS = 20


def figures() -> list[Figure]:
    with rig(DEVICES) as made:
        delivered, committed = _delays(made)
    committed_p99 = percentile(committed, 0.99)
    return [
        Figure(
            "alerts.publish_to_commit_p99_ms", committed_p99, "ms", "publish_to_commit_p50", percentile(committed, 0.5)
        ),
        Figure(
            "alerts.publish_to_delivered_p99_ms",
            percentile(delivered, 0.99),
            "ms",
            "publish_to_commit_p99",
            committed_p99,
        ),
    ]


def _delays(made: Rig) -> tuple[list[float], list[float]]:
    """Milliseconds from the publish of an opened cover to the platform's receipt, and to the commit of its alarm."""
    platform = f"http://127.0.0.1:{any_free()}"
    covers = _quiet_covers(made)
    made.call(
        "sinks", "add", "platform", "--channel", "platform", "--audience", "platform", "--set", f"url={platform}/events"
    )
    with (
        made.run(underfoot(), "standin", "--port", str(urlsplit(platform).port), log="platform"),
        made.run(underfoot(), "ingest", log="ingest"),
        made.run(underfoot(), "alerts", log="alerts"),
    ):
        wait_until_ready(made)
        background = threading.Thread(
            target=made.load, args=(RATE * SECONDS, 1), kwargs={"devices": DEVICES // 2, "rate": RATE}
        )
        background.start()
        publish_open(made, covers, every_s=(SECONDS - 4) / HAZARDS)
        background.join()
        wait_for(lambda: len(_received(platform)) == HAZARDS, 60, "every opened cover known to the platform")
        received = _received(platform)
    with made.connect() as connection:
        episodes = connection.execute(
            "SELECT alarm_key, extract(epoch FROM raised_at) * 1000,"
            " extract(epoch FROM committed_at - raised_at) * 1000"
            " FROM episodes"
        ).fetchall()
    published = {str(alarm_key): float(raised_ms) for alarm_key, raised_ms, _ in episodes}
    delivered = [record["received_ms"] - published[record["body"]["alarm"]] for record in received]
    return delivered, [float(committed_ms) for _, _, committed_ms in episodes]


def _quiet_covers(made: Rig) -> list[tuple[str, str]]:
    """District and id of covers that the background load does not touch."""
    with made.connect() as connection:
        rows = connection.execute(
            "SELECT district, device_id FROM devices WHERE family = 'cover' ORDER BY device_key DESC LIMIT %s",
            [HAZARDS],
        ).fetchall()
    assert len(rows) == HAZARDS
    return [(row[0], row[1]) for row in rows]


def publish_open(made: Rig, covers: list[tuple[str, str]], *, every_s: float = 0.0) -> None:
    """Covers, by district and device_id, report that they are open, one after another."""
    url = urlsplit(made.mqtt_url)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="hazards", protocol=mqtt.MQTTv311)
    client.max_queued_messages_set(0)
    client.connect(url.hostname or "", url.port or 1883)
    client.loop_start()
    for district, device_id in covers:
        time.sleep(every_s)
        report = {"ts": time.time_ns() // 1_000_000, "values": {"open": True}}
        last = client.publish(f"underfoot/v1/{district}/cover/{device_id}/report", json.dumps(report), qos=1)
    last.wait_for_publish(120)
    client.disconnect()
    client.loop_stop()


def _received(platform: str) -> list[dict[str, Any]]:
    records = httpx.get(f"{platform}/records", params={"kind": "event"}, timeout=30).json()
    return [record for record in records if record["body"]["notice"] == "raise"]
