"""From an alarm to a case on the city's platform, and through its whole life by the platform's callbacks.

The far end answers at once, and tells of a case by a list of callbacks or one by one.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue

from psycopg.types.json import Jsonb

from alerts.judge.outcome import RuleInForce, Transition
from alerts.record.recorder import Recorder
from alerts.rulebook.book import install_shipped, rules_in_force
from deploy.ports import any_free
from tests.benchmarks.figures import Figure, median, percentile
from tests.benchmarks.rig import Rig, listens, rig, underfoot, wait_for
from tests.integration.filed import TOKEN, said, tif
from underfoot.alarms import Condition, Reason, Severity, SubjectKind
from underfoot.storage.connect import Connection, connect

PER_S = 200
TOLD = 2_000
TOGETHER = 4
"""Alarms of one commit: ingest commits so often."""
CASES = 2_000
ONE_BY_ONE = 200
LIST = 250
"""Callbacks in a body that has a list of them."""
RAISED = 50
"""Cases of one commit."""
REPEATS = 3
CALLERS = 8
"""Connections by which the platform calls back."""
BEFORE = 10_000
"""Cases that the city has had before, over long ago: plans are made for tables as they are, and kept."""
COURSE = ("accepted", "dispatched", "handling", "handle_finish", "check_pass", "closed")
SINK = "bench"

Call = tuple[str, str, bytes, dict[str, str]]


def figures() -> list[Figure]:
    with rig(BEFORE + REPEATS * (1 + TOLD + CASES + ONE_BY_ONE)) as made, connect(made.database_url, "bench") as owner:
        install_shipped(owner)
        city = _City(made, owner)
        city.platform(f"http://127.0.0.1:{any_free()}/events")
        city.raise_many(BEFORE)
        with made.connect() as connection:
            connection.execute(_LONG_AGO)
            connection.execute("VACUUM ANALYZE")
        receipts = [_receipts(city) for _ in range(REPEATS)]
        cases = [_cases_per_s(city) for _ in range(REPEATS)]
    receipt, post = (median(values) for values in zip(*receipts, strict=True))
    listed, alone, plain = (median(values) for values in zip(*cases, strict=True))
    return [
        Figure("platform.commit_to_receipt_p99_ms", receipt, "ms", "plain_post_p99_ms", post),
        Figure("platform.cases_per_s", listed, "/s", "one_by_one", alone),
        Figure("platform.cases_one_by_one_per_s", alone, "/s", "plain_requests_per_s_by_course", plain),
    ]


_LONG_AGO = """
UPDATE outbox SET state = 'delivered', settled_at = now();
UPDATE episodes SET condition = 'normal', cleared_at = raised_at, cleared_received_at = raised_received_at,
    clear_reason = 'below_limit', human = 'acknowledged', acknowledged_by = 'bench', acknowledged_at = now(),
    committed_at = committed_at - interval '1 day';
UPDATE cases SET state = 'closed', ended_at = opened_at, ended_how = 'closed', end_confirmed = true;
"""


class _City:
    """Its covers are opened as ingest records it: a transaction with the case and what is owed of it."""

    def __init__(self, made: Rig, connection: Connection) -> None:
        self.made = made
        self._connection = connection
        rows = connection.execute("SELECT device_key FROM devices ORDER BY device_key").fetchall()
        self._untouched = iter([row[0] for row in rows])
        self._rule = next(one for one in rules_in_force(connection) if one.rule.rule_id == "cover.open")
        connection.commit()

    def platform(self, url: str) -> None:
        """A new one, instead of the one before."""
        config = {"url": url, "callbacks": {"signer": {"kind": "tif", "token": TOKEN}}}
        with self.made.connect() as connection:
            connection.execute("UPDATE sinks SET enabled = false, name = name || '-' || sink_key WHERE enabled")
            connection.execute(
                "INSERT INTO sinks (name, channel, audience, config) VALUES (%s, 'platform', 'platform', %s)",
                [SINK, Jsonb(config)],
            )

    def raise_next(self, count: int) -> list[int]:
        """The covers that were opened; committed."""
        devices = list(itertools.islice(self._untouched, count))
        now_us = time.time_ns() // 1000
        Recorder(self._connection).record([_opened(device, self._rule, now_us) for device in devices])
        self._connection.commit()
        return devices

    def raise_many(self, count: int) -> list[int]:
        return [device for first in range(0, count, RAISED) for device in self.raise_next(min(RAISED, count - first))]


def _opened(device: int, rule: RuleInForce, now_us: int) -> Transition:
    return Transition(
        SubjectKind.device,
        device,
        rule,
        Reason.limit_reached,
        Condition.normal,
        Condition.active,
        0,
        Severity.red,
        now_us,
        now_us,
        {"ts_us": now_us, "received_us": now_us, "field": "open", "label": "井盖", "value": 1.0},
    )


# to the platform -----------------------------------------------------------------------------------------------------


def _receipts(city: _City) -> tuple[float, float]:
    """From the commit of a raise until the receipt is committed, and plain posts to the same far end; p99 in ms."""
    made, port = city.made, any_free()
    url = f"http://127.0.0.1:{port}/events"
    with made.run(sys.executable, "-m", "tests.benchmarks.sink", str(port), log="sink"):
        city.platform(url)
        wait_for(lambda: listens(port), 20, "the platform listens")
        plain = _posts_ms(url)
        with made.run(underfoot(), "alerts", log="alerts"):
            city.raise_next(1)  # the rulebook is read, and the dispatcher is up
            wait_for(lambda: made.value(_LEFT) == 0, 60, "the first delivery")
            raised_at: dict[int, float] = {}
            began = time.monotonic()
            for first in range(0, TOLD, TOGETHER):
                time.sleep(max(began + first / PER_S - time.monotonic(), 0))
                raised_at |= dict.fromkeys(city.raise_next(TOGETHER), time.time())
            per_s = TOLD / (time.monotonic() - began)
            assert per_s > 0.9 * PER_S, f"{per_s:.0f} alarms/s: {PER_S} are wanted"
            wait_for(lambda: made.value(_LEFT) == 0, 60, "everything taken by the platform")
    with made.connect() as asking:
        settled = dict(asking.execute(_SETTLED).fetchall())
    return percentile([(settled[device] - at) * 1000 for device, at in raised_at.items()], 0.99), plain


_LEFT = "SELECT count(*) FROM outbox JOIN sinks USING (sink_key) WHERE state = 'owed' AND enabled"
_SETTLED = """
SELECT al.subject_key, extract(epoch FROM o.settled_at)::float8
FROM outbox o JOIN sinks USING (sink_key) JOIN alarms al USING (alarm_key) WHERE o.state = 'delivered' AND enabled
"""


def _posts_ms(url: str) -> float:
    """The same bodies at the same rate by one plain connection; p99."""
    body = json.dumps(said("reported", push_id="k" * 64, description="井盖打开" * 20)).encode()
    connection = http.client.HTTPConnection("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0]))
    took = []
    began = time.monotonic()
    for number in range(PER_S * 3):
        time.sleep(max(began + number / PER_S - time.monotonic(), 0))
        sent = time.perf_counter()
        connection.request("POST", "/events", body, {"Content-Type": "application/json"})
        connection.getresponse().read()
        took.append((time.perf_counter() - sent) * 1000)
    connection.close()
    return percentile(took, 0.99)


# through the lifecycle -----------------------------------------------------------------------------------------------


def _cases_per_s(city: _City) -> tuple[float, float, float]:
    """Cases from raise to close by signed callbacks: in lists, and one by one; and as many plain requests."""
    port = any_free()
    settings = {"UNDERFOOT_API_PORT": str(port), "UNDERFOOT_API_BURST": "1000000", "UNDERFOOT_API_RATE_PER_S": "100000"}
    with city.made.run(underfoot(), "api", log="api", **settings):
        wait_for(lambda: _answers(port), 60, "the API answers")
        city.platform(f"http://127.0.0.1:{any_free()}/events")
        listed = _through(city, port, CASES, LIST)
        alone = _through(city, port, ONE_BY_ONE, 1)
        plain_s = _called(port, [[("GET", "/healthz", b"", {})]] * len(COURSE) * ONE_BY_ONE)
    return listed, alone, ONE_BY_ONE / plain_s


def _through(city: _City, port: int, cases: int, together: int) -> float:
    """Cases a second. The platform speaks of each as soon as it is there, while the next are raised."""
    with city.made.connect() as asking:
        asking.execute("ANALYZE")  # as the server does by itself when tables have grown
        devices: list[int] = []

        def courses() -> Iterator[list[Call]]:
            while len(devices) < cases:
                raised = city.raise_many(min(max(together, RAISED), cases - len(devices)))
                devices.extend(raised)
                events = [event for event, _ in asking.execute(_CASES_OF, [raised])]
                assert len(events) == len(raised)
                yield from (_course(events[first : first + together]) for first in range(0, len(events), together))

        took_s = _called(port, courses())
        left = [event for event, closed in asking.execute(_CASES_OF, [devices]) if not closed]
    assert not left, left[:5]
    return cases / took_s


_CASES_OF = """
SELECT c.alarm_key || '-' || c.episode, c.state = 'closed' FROM cases c JOIN alarms al USING (alarm_key)
WHERE al.subject_key = ANY(%s) ORDER BY c.case_key
"""


def _course(events: Sequence[str]) -> list[Call]:
    """What the platform says of these cases, in a body each time: their first state, then the next."""
    now = datetime.now(UTC)
    path, head = f"/api/v1/platforms/{SINK}/callback", {"Content-Type": "application/json"}
    calls = []
    for second, state in enumerate(COURSE):
        at = now + timedelta(seconds=second - len(COURSE))
        told = [said(state, at, event_id=event) for event in events]
        body = {"callbacks": told} if len(told) > 1 else told[0]
        calls.append(("POST", path, json.dumps(body).encode(), head | tif()))
    return calls


def _called(port: int, courses: Iterable[Sequence[Call]]) -> float:
    """Seconds that it takes to make all these calls by so many connections; those of one course stay in order."""
    waiting: SimpleQueue[Sequence[Call] | None] = SimpleQueue()
    wrong: list[str] = []

    def make() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while (course := waiting.get()) is not None:
            for method, path, body, headers in course:
                connection.request(method, path, body or None, headers)
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200 or b'"code":4' in text:
                    wrong.append(text.decode())
                    break
        connection.close()

    threads = [threading.Thread(target=make) for _ in range(CALLERS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for course in courses:
        waiting.put(course)
    for _ in threads:
        waiting.put(None)
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]
    return time.monotonic() - began


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
