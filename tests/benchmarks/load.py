"""The load, in a process of its own: `python -m tests.benchmarks.load --url … --reports N [--rate R]`.

Without a rate every PUBLISH is encoded beforehand and the socket is kept full; with one, each report carries the time
at which it is sent. Prints one JSON object: when it began and ended, and how many were acknowledged.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator

from simulators.publisher import Publisher
from simulators.wire import Frame, frame
from tests.benchmarks.rig import AREA, FAMILIES


def values(family: str, chance: random.Random, hazard: bool) -> dict[str, float | bool]:
    powered = {"battery_v": 3.6, "battery_pct": 80, "rsrp_dbm": -90, "temperature_c": 12.5}
    if family == "cover":
        return {"tilt_deg": round(chance.uniform(0, 3), 1), "open": hazard, **powered}
    if family == "road":
        return {"depth_cm": round(chance.uniform(0, 2), 1), **powered}
    if family == "lamp":
        return {"on": True, "dimming_pct": 100, "voltage_v": 220.1, "current_a": 0.45, "power_w": 99.1, "leakage_ma": 1.2}
    return {"level_m": 0.4, "fill_ratio": 0.4, "flow_m3_h": 12.3, "velocity_m_s": 0.5, "network": 0, "battery_pct": 80}


def frames(count: int, devices: int, seed: int, hazard_every: int) -> Iterator[tuple[str, Frame]]:
    """Device id and packet, one after another. Every `hazard_every`th cover report toggles that cover (0: none does)."""
    chance = random.Random(seed)
    open_covers: set[str] = set()
    for number in range(count):
        family = FAMILIES[number % len(FAMILIES)]
        device_id = f"{family}-{chance.randrange(devices // len(FAMILIES))}"
        if hazard_every and family == "cover" and number % (hazard_every * len(FAMILIES)) == 0:
            open_covers ^= {device_id}
        report = {
            "ts": time.time_ns() // 1_000_000,
            "seq": number,
            "values": values(family, chance, device_id in open_covers),
        }
        topic = f"underfoot/v1/{AREA}/{family}/{device_id}/report"
        yield device_id, frame(topic.encode(), json.dumps(report).encode(), number)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--reports", type=int, required=True)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hazard-every", type=int, default=0)
    given = parser.parse_args()
    source = frames(given.reports, given.devices, given.seed, given.hazard_every)
    ready = None if given.rate else list(source)
    publisher = Publisher(given.url, connections=4, window=1000, name="bench")
    publisher.open()
    began, acknowledged, offered = time.time(), 0, 0
    for device_id, packet in ready or []:
        publisher.offer(publisher.lane_of(device_id), packet)
    while acknowledged < given.reports:
        if ready is None:
            due = min(int((time.time() - began) * given.rate) + 1, given.reports)
            for device_id, packet in (next(source) for _ in range(due - offered)):
                publisher.offer(publisher.lane_of(device_id), packet)
            offered = due
        acknowledged += len(publisher.turn(0.001 if given.rate else 1.0))
    ended = time.time()
    publisher.close()
    print(json.dumps({"began": began, "ended": ended, "acknowledged": acknowledged}))  # noqa: T201


if __name__ == "__main__":
    main()
