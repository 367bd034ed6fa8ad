"""The process that sends a load beside a fleet: `python -m simulators.world.load_job`, started by `beside`.

A process of its own, so that encoding 20 000 reports a second does not hold up the fleet. It is given its job on
standard input, says READY when it could begin, begins when it is told to, and tells its result in one line of JSON.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from simulators.city import City
from simulators.load import Load, run_load
from simulators.publisher import Publisher
from simulators.roster import roster_of
from simulators.wire import WireError

READY, GO = "ready", "go"
FAILED = 3
CONNECTIONS = 8


class LoadJob(BaseModel):
    """`without`: the districts of the fleet; the load's devices stand elsewhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mqtt_url: str
    authority: Path | None
    registry: int
    without: frozenset[str]
    seed: int
    rate: Annotated[float, Field(gt=0)]
    seconds: Annotated[float, Field(gt=0)]

    @property
    def city(self) -> City:
        return City(self.registry, self.seed, bare_covers_per_cover=0, without=self.without)


def main(job: LoadJob) -> None:
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    roster = roster_of(job.city.rows())
    load = Load(max(round(job.rate * job.seconds), 1), job.rate, job.seed)
    with closing(Publisher(job.mqtt_url, connections=CONNECTIONS, name="load", authority=job.authority)) as publisher:
        publisher.open()
        print(READY, flush=True)  # noqa: T201 - to the process that started this one
        if sys.stdin.readline().strip() != GO:
            return
        result = run_load(load, roster, publisher, stop=stop)
    print(json.dumps(asdict(result)), flush=True)  # noqa: T201


if __name__ == "__main__":
    try:
        main(LoadJob.model_validate_json(sys.stdin.readline()))
    except WireError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(FAILED)
