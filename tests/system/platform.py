"""The stand-in 一网统管 platform as the tests' far end: told to misbehave, and asked what came."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.system.city import City, until
from tests.system.evidence import everything_is_owed
from tests.system.installation import free_port

SINK = "platform"


class Platform:
    """`underfoot standin`, started with the options given, and the sink `SINK` that leads to it."""

    def __init__(self, city: City, port: int, client: httpx.Client) -> None:
        self.city = city
        self.port = port
        self._client = client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of what the stand-in answers."""
        answer = self._client.request(method, path, **options)
        answer.raise_for_status()
        return answer.json()

    def up(self) -> bool:
        try:
            return bool(self.ask("GET", "/healthz"))
        except httpx.TransportError:
            return False

    def tell(self, kind: str, **behaviour: Any) -> None:
        self.ask("POST", "/behaviour", json={"kind": kind, **behaviour})

    def behave(self) -> None:
        self.ask("DELETE", "/behaviour")

    def renew_token(self) -> None:
        self.ask("POST", "/token")

    def records(self, outcome: str | None = None, kind: str = "event") -> list[dict[str, Any]]:
        wanted = {"kind": kind} | ({} if outcome is None else {"outcome": outcome})
        found: list[dict[str, Any]] = self.ask("GET", "/records", params=wanted)
        return found

    def accepted(self) -> list[dict[str, Any]]:
        """The bodies that it took, in their order."""
        return [record["body"] for record in self.records("accepted")]

    def violations(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/violations")
        return found

    def notices(self, device_id: str) -> list[str]:
        """What it has been told about a device, in order."""
        return [body["notice"] for body in self.accepted() if body["device_id"] == device_id]


@contextmanager
def standing_in(city: City, *options: str, headers: dict[str, str] | None = None) -> Iterator[Platform]:
    port = free_port()
    city.start("standin", "--port", str(port), *options)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        platform = Platform(city, port, client)
        until(platform.up, "platform that answers")
        add_platform_sink(city, SINK, platform.url, headers)
        yield platform


def add_platform_sink(city: City, name: str, url: str, headers: dict[str, str] | None = None) -> None:
    config = {"url": url} | ({} if headers is None else {"headers": headers})
    city.do(
        "INSERT INTO sinks (name, channel, audience, config) VALUES (%s, 'platform', 'platform', %s::jsonb)",
        name,
        json.dumps(config),
    )


def deliver_quickly(city: City) -> None:
    """Time-outs and retries short enough for a test; the order of things is the same."""
    city.installation.environment |= {
        "UNDERFOOT_DELIVERY_TIMEOUT_S": "1",
        "UNDERFOOT_DELIVERY_RETRY_BASE_S": "0.1",
        "UNDERFOOT_TIMER_INTERVAL_S": "0.1",
    }


def everything_is_delivered(city: City, platform: Platform, sink: str = SINK, seconds: float = 60) -> int:
    """What is owed has arrived: once each, but for repeats under equal keys, and in order for each alarm."""
    owed = "SELECT count(*) FROM outbox JOIN sinks USING (sink_key) WHERE name = %s AND state = 'owed'"
    until(lambda: city.value(owed, sink) == 0, "end of what is owed", seconds)
    rows = city.rows(
        "SELECT idempotency_key, alarm_key::text, episode, transition_no, notice, o.state, receipt"
        " FROM outbox o JOIN sinks USING (sink_key) WHERE name = %s",
        sink,
    )
    assert {row[5] for row in rows} <= {"delivered"}
    assert (violations := platform.violations()) == [], violations
    taken = platform.accepted()
    told = Counter((b["push_id"], b["alarm"], b["episode"], b["transition_no"], b["notice"]) for b in taken)
    assert told == Counter(row[:5] for row in rows)
    assert {record["push_id"] for record in platform.records("repeat")} <= {body["push_id"] for body in taken}
    newest: dict[str, int] = {}
    for body in taken:
        assert newest.get(body["alarm"], 0) < body["transition_no"], f"alarm {body['alarm']}: out of order"
        newest[body["alarm"]] = body["transition_no"]
    numbers = {record["push_id"]: record["platform_no"] for record in platform.records("accepted")}
    assert all(numbers[row[0]] in json.dumps(row[6]) for row in rows), "a receipt is not on record"
    return len(rows)


_NOTICES = "SELECT notice, count(*) FROM outbox JOIN sinks USING (sink_key) WHERE name = %s GROUP BY 1"


def everything_owed_is_delivered(city: City, platform: Platform, seconds: float = 90) -> int:
    """How many that are, by the record of the alarms; corrections, and cases that became an incident's, come beside.
    Devices that have stopped fall silent meanwhile, so alarms go on: both sides are asked until they agree."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            delivered = everything_is_delivered(city, platform, seconds=seconds)
            owed = everything_is_owed(city, SINK)
            notices = city.rows(_NOTICES, SINK)
            beside = sum(count for notice, count in notices if notice in ("correct", "cancel"))
            assert delivered - owed == beside, notices
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return delivered
