"""What each step of a report's way costs in Python, beside the plain way of doing the same: CPU µs, in one thread.

Both see the same batches, each only once; the median over them counts.
"""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import orjson
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from pydantic_core import from_json

from alerts.judge.outcome import RuleInForce
from alerts.rules import shipped_pack
from ingest.codecs.table import Codecs
from ingest.decode import Item, decode, read_ahead
from ingest.packets import publishes
from ingest.registry import FAMILY_NAMES, SLOT, SLOT_BITS, DeviceRows, FamilyDevices, Registry
from ingest.validate import judge
from simulators.city import City
from simulators.roster import RosterDevice, roster_of
from simulators.stage import ordinary_values
from simulators.wire import frame
from tests.benchmarks.figures import Figure, median
from underfoot.reports import Reports, canonical
from underfoot.storage.arrays import as_array
from underfoot.topics import parse_report_topic

DEVICES = 20_000
BATCH = 2_000
BATCHES = 60


class _Steps:
    """CPU µs a report of each step, done in our way and in the plain one: whoever comes second finds the cache warm, so
    they take turns."""

    def __init__(self) -> None:
        self._cost: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))

    def compare(self, step: str, ours: Callable[[], Any], plain: Callable[[], Any], reports: int, few: int = 0) -> None:
        """`ours` is of so many reports, `plain` of as many, or of `few`."""
        cost = self._cost[step]
        ways = [(cost[0], ours, reports), (cost[1], plain, few or reports)]
        for way in ways if len(cost[0]) % 2 else reversed(ways):
            self._timed(*way)

    def _timed(self, cost: list[float], work: Callable[[], Any], reports: int) -> None:
        began = time.thread_time()
        work()
        cost.append((time.thread_time() - began) / reports * 1e6)

    def figure(self, step: str, plain: str) -> Figure:
        ours, others = self._cost[step]
        return Figure(f"steps.{step}_us", median(ours), "µs", plain, median(others))


def figures() -> list[Figure]:
    roster = roster_of(City(devices=DEVICES, bare_covers_per_cover=0).rows())
    registry, codecs, steps = _registry(roster), Codecs([]), _Steps()
    with _PahoConsumer() as paho:
        gc.freeze()
        for data, now_us in _batches(roster):
            arrivals, _ = publishes(data, 0, now_us, 1, read_ahead)
            items, _ = decode(arrivals, registry, codecs)
            _measure(steps, paho, registry, data, now_us, items)
            del arrivals, items
    return [
        steps.figure("packets", "paho"),
        steps.figure("json", "pydantic_core"),
        steps.figure("whose", "topic parsed"),
        steps.figure("values", "pydantic models"),
        steps.figure("rules", "report by report"),
        steps.figure("latest", "jsonb"),
    ]


def _measure(
    steps: _Steps, paho: _PahoConsumer, registry: Registry, data: bytes, now_us: int, items: list[Item]
) -> None:
    topics = [item.arrival.topic for item in items]
    payloads = [item.payload for item in items]
    steps.compare("packets", lambda: publishes(data, 0, now_us, 1, _unread), lambda: paho.consume(data), BATCH)
    steps.compare(
        "json", lambda: list(map(read_ahead, payloads)), lambda: list(map(canonical, map(from_json, payloads))), BATCH
    )
    handles = [registry.by_topic[topic] for topic in topics]
    steps.compare("whose", lambda: list(map(registry.by_topic.get, topics)), lambda: _parsed(topics, registry), BATCH)
    for devices, slots, listed in _by_family(registry, handles, items):
        _measure_family(steps, devices, slots, listed)


def _measure_family(steps: _Steps, devices: FamilyDevices, slots: Any, listed: list[Item]) -> None:
    size = len(listed)
    reports: Reports = judge(devices, slots, listed)
    steps.compare(
        "values",
        lambda: judge(devices, slots, listed),
        lambda: judge(devices, slots, listed, doubt_all=True),
        size,
    )
    alone = [reports.take(np.array([row])) for row in range(min(size, 10))]
    evaluator = devices.evaluator
    steps.compare(
        "rules", lambda: evaluator.judge(reports), lambda: list(map(evaluator.judge, alone)), size, len(alone)
    )
    steps.compare(
        "latest",
        lambda: [as_array(column, "float4") for column in reports.columns.values()],
        lambda: orjson.dumps(reports.values),
        size,
    )
    evaluator.apply(evaluator.judge(reports), reports)


def _unread(_payload: bytes) -> tuple[None, bytes]:
    return None, b""


def _parsed(topics: list[str], registry: Registry) -> list[int]:
    parsed = map(parse_report_topic, topics)
    return [registry.by_id[parts.device_id] for parts in parsed if parts is not None]


def _by_family(
    registry: Registry, handles: Sequence[int], items: list[Item]
) -> Iterator[tuple[FamilyDevices, Any, list[Item]]]:
    for number, devices in enumerate(registry.by_number):
        rows = [row for row, handle in enumerate(handles) if handle >> SLOT_BITS == number]
        if len(rows) >= 100:
            yield devices, np.array([handles[row] & SLOT for row in rows], np.int32), [items[row] for row in rows]


def _registry(roster: Sequence[RosterDevice]) -> Registry:
    registry = Registry(RuleInForce(rule, 1) for rule in shipped_pack())
    size = len(roster)
    rows = DeviceRows(
        device_id=[device.device_id for device in roster],
        device_key=np.arange(1, size + 1, dtype=np.int32),
        family=np.array([FAMILY_NAMES.index(device.family) for device in roster], np.int16),
        district=np.array([int(device.district) for device in roster], np.int32),
        interval_s=np.array([device.interval_s for device in roster], np.int32),
        registered_us=np.zeros(size, np.int64),
        gateway_key=np.zeros(size, np.int32),
        vendor_no=np.zeros(size, np.int32),
        vendors=[""],
    )
    registry.take_in(rows)
    # As if each had been heard once.
    registry.by_topic.update((device.topic, registry.by_id[device.device_id]) for device in roster)
    return registry


def _batches(roster: Sequence[RosterDevice]) -> Iterator[tuple[bytes, int]]:
    """PUBLISH packets of a batch, and when they were received (µs since 1970): each device in turn."""
    said = ordinary_values(roster, 1)
    for number in range(BATCHES):
        now_ms = 1_795_000_000_000 + number * 1000
        packets = bytearray()
        for place in range(BATCH):
            at = (number * BATCH + place) % len(roster)
            report = {"ts": now_ms - place, "seq": number + 1, "values": said[at]}
            whole = frame(roster[at].topic.encode(), orjson.dumps(report))
            packets += whole.head + (place + 1).to_bytes(2) + whole.tail
        yield bytes(packets), now_ms * 1000


class _PahoConsumer:
    """paho, connected to a broker that says yes to everything, with a callback that only counts."""

    def __enter__(self) -> _PahoConsumer:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="steps", protocol=mqtt.MQTTv311)
        self._seen = 0
        self._client.on_message = self._count
        accepting = threading.Thread(target=self._accept)
        accepting.start()
        self._client.connect("127.0.0.1", self._listener.getsockname()[1])
        accepting.join()
        self._client.loop_read()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._broker.close()
        self._listener.close()

    def consume(self, data: bytes) -> None:
        """All these packets, read and acknowledged."""
        wanted = self._seen + BATCH
        sending = threading.Thread(target=self._broker.sendall, args=(data,))
        sending.start()
        while self._seen < wanted:
            self._client.loop_read()
            self._client.loop_write()
        sending.join()
        self._broker.setblocking(False)
        while len(self._broker.recv(1 << 20)) == 1 << 20:
            pass
        self._broker.setblocking(True)

    def _count(self, *_: object) -> None:
        self._seen += 1

    def _accept(self) -> None:
        self._broker, _ = self._listener.accept()
        self._broker.recv(1024)
        self._broker.sendall(b"\x20\x02\0\0")
