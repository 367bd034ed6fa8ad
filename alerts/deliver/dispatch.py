"""Dispatch: outbox → sinks, the last step of the path.

One round: settle what was attempted → owe alternates → see which sinks have something due → claim → judge who is told
→ gather into messages, within each robot's budget → hand to the workers. First in, first out for each alarm and sink;
alarms go side by side; a failing sink waits alone.

Several dispatchers may work on one outbox: a delivery is claimed by a conditional update with a lease that outlives a
request. Whoever dies at work leaves leases that run out, and the delivery goes again under the same key.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial

import psycopg

from alerts.channels.interface import BadMessage
from alerts.channels.line import Line
from alerts.deliver import outbox
from alerts.deliver.breaker import PROBE_EVERY_S, SinkEvent
from alerts.deliver.gather import MOST_TOGETHER, Together, is_red
from alerts.deliver.lanes import Done, Job, Lanes
from alerts.deliver.outbox import Attempted, Claimed, NotTold, Settled, SinkAtWork
from alerts.deliver.outgoing import Message, Outgoing
from alerts.deliver.verdict import WAIT_FOR_BACKLOG, Verdict, judge
from underfoot.alarms import Severity
from underfoot.settings import Settings
from underfoot.storage.connect import Connection, connect

log = logging.getLogger(__name__)

LEASE_BEYOND_REQUEST_S = 5.0
_BEGIN_BEFORE_S = 1.0
_LOOK_EVERY_S = 1.0
_NOTICE_STOP_S = 0.2
_ROUND_EVERY_S = 0.02
"""A round costs as much for one that is done as for fifty. Nobody notices so little a delay."""
_PROBES_JUDGED = 20
_GATHERED_AT_MOST = 200
"""Claimed at once for a robot with a budget: what has no slot of its own is told with others."""


class Dispatcher:
    """`run` works until its event is set, and by itself gets over the database's absence. One call a dispatcher."""

    def __init__(self, database_url: str, settings: Settings, *, draw: random.Random | None = None) -> None:
        self._database_url = database_url
        self._settings = settings
        self._draw = draw or random.Random()  # noqa: S311 (jitter is no secret)
        self._timeout_s = settings.delivery_timeout_s
        self._lease_s = settings.delivery_timeout_s + LEASE_BEYOND_REQUEST_S
        self._wake = threading.Event()
        self._line = Line(self._timeout_s)
        self._lanes = Lanes(settings.delivery_workers, self._wake.set)
        self._ours: dict[int, Claimed] = {}
        self._unsettled: list[Attempted] = []
        self._unbegun: list[Claimed] = []
        self._messages: dict[int, Together] = {}
        self._apart: set[int] = set()
        self._outgoing = Outgoing(settings)
        self._names: dict[int, str] = {}
        self._alternates_at = 0.0
        self._counts = Counter(dict.fromkeys(("claimed", "delivered", "retried", "dead", "dropped", "waiting"), 0))
        self._counting = threading.Lock()

    def counts(self) -> dict[str, int]:
        """Since the start: claimed, delivered, retried, dead, dropped, waiting; and in_flight now."""
        with self._counting:
            return {**self._counts, "in_flight": self._lanes.in_flight()}

    def run(self, stop: threading.Event) -> None:
        over = threading.Event()
        listener = threading.Thread(target=self._listen, args=(over,), name="outbox-listener", daemon=True)
        listener.start()
        self._lanes.start()
        try:
            while not stop.is_set():
                try:
                    with connect(self._database_url, "dispatch", autocommit=True) as connection:
                        # Plan for the outbox as it is: a plan kept from when it was empty would read all of it.
                        connection.execute("SET plan_cache_mode = force_custom_plan")
                        self._work(connection, stop)
                except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                    log.warning("dispatch: %s", str(error).strip())
                    stop.wait(0.5)
        finally:
            over.set()
            self._finish()
            listener.join()
            self._line.close()

    def _work(self, connection: Connection, stop: threading.Event) -> None:
        while not stop.is_set():
            self._wake.clear()
            began = time.monotonic()
            until = began + self._round(connection)
            stop.wait(max(began + _ROUND_EVERY_S - time.monotonic(), 0.0))
            while not stop.is_set() and (left := until - time.monotonic()) > 0:
                if self._wake.wait(min(left, _NOTICE_STOP_S)):
                    break

    def _listen(self, over: threading.Event) -> None:
        """Wake the rounds when something is owed anew. Without it they look every second."""
        while not over.is_set():
            try:
                with connect(self._database_url, "dispatch-listen", autocommit=True) as connection:
                    connection.execute("LISTEN underfoot_outbox")
                    self._wake.set()
                    while not over.is_set():
                        for _ in connection.notifies(timeout=_NOTICE_STOP_S, stop_after=1):
                            self._wake.set()
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                log.info("dispatch, listening: %s", str(error).strip())
                over.wait(1.0)

    # one round --------------------------------------------------------------------------------------------------------

    def _round(self, connection: Connection) -> float:
        """Do what can be done now; return for how many seconds nothing more is known to come due."""
        self._settle(connection)
        again = False
        with connection.transaction():
            sinks = outbox.sinks_at_work(connection)
            self._names.update((sink.sink_key, sink.name) for sink in sinks)
            self._outgoing.look_at(connection, sinks)
            falling_back = {sink.sink_key for sink in sinks if sink.config.get("alternate")}
            if falling_back and time.monotonic() >= self._alternates_at:
                again = outbox.owe_alternates(connection) > 0
                self._alternates_at = time.monotonic() + _LOOK_EVERY_S
            begin_by = time.monotonic() + self._lease_s - self._timeout_s - _BEGIN_BEFORE_S
            claimed = self._claim(connection, sinks)
            if any(c.sink_key in falling_back and c.notice != "raise" for c in claimed):
                # Before this sink is told: once it has been, nothing here says that its alternate is to follow.
                again = outbox.owe_alternates(connection) > 0 or again
            told, not_told = self._judge(connection, claimed, sinks)
            settled = self._settle_now(connection, not_told)
            messages, waiting = self._outgoing.messages(
                connection, sinks, [one for one in told if one.delivery_key not in self._ours], self._apart
            )
            outbox.release(connection, waiting)
            slots_in_s = list(self._outgoing.next_slots_in_s(sinks))
        self._count(claimed=len(claimed))
        self._count_settled(settled, not_told)
        self._submit(told, messages, begin_by)
        if again or not_told:
            return 0.0
        return min([_LOOK_EVERY_S, *slots_in_s, *_next_times(sinks)])

    def _claim(self, connection: Connection, sinks: list[SinkAtWork]) -> list[Claimed]:
        counts: dict[int, int] = {}
        least: dict[int, int] = {}
        claimed: list[Claimed] = []
        for sink in sinks:
            if sink.breaker.closed_for_s > 0 or not (sink.due or sink.breaker.open):
                continue
            room = self._lanes.room(sink.sink_key, failing=sink.breaker.failures > 0)
            slots = self._outgoing.slots(sink)
            if room and slots is not None:
                if slots.other < 1:
                    least[sink.sink_key] = Severity.red
                together = self._outgoing.gathers(sink) and not sink.breaker.failures
                room = 0 if slots.none else _GATHERED_AT_MOST if together else min(room, slots.red)
            if room and sink.breaker.open:
                claimed += self._claim_probe(connection, sink)
            elif room:
                counts[sink.sink_key] = room
        if counts:
            claimed += outbox.claim(connection, counts, self._lease_s, least)
            claimed += outbox.claim_company(connection, claimed, self._lease_s, MOST_TOGETHER)
        return claimed

    def _claim_probe(self, connection: Connection, sink: SinkAtWork) -> list[Claimed]:
        """One delivery to try a failing sink with, and before it whatever its receiver need not be told any more."""
        claimed: list[Claimed] = []
        for _ in range(_PROBES_JUDGED):
            probe = outbox.claim_probe(connection, sink.sink_key, self._lease_s)
            claimed += probe
            quiet = bool(probe) and self._outgoing.desk.quiet_s(connection, sink) > 0
            if not probe or _verdict(probe[0], sink, quiet=quiet) is Verdict.tell:
                if probe and not outbox.reserve_probe(connection, sink.sink_key, max(PROBE_EVERY_S, self._lease_s)):
                    outbox.release(connection, [claimed.pop()])
                break
        return claimed

    def _judge(
        self, connection: Connection, claimed: list[Claimed], sinks: list[SinkAtWork]
    ) -> tuple[list[Claimed], list[NotTold]]:
        by_key = {sink.sink_key: sink for sink in sinks}
        claimed_for = {delivery.sink_key for delivery in claimed}
        quiet_s = {
            sink.sink_key: self._outgoing.desk.quiet_s(connection, sink)
            for sink in sinks
            if sink.sink_key in claimed_for and sink.audience in ("crew", "duty")
        }
        told: list[Claimed] = []
        not_told: list[NotTold] = []
        for delivery in claimed:
            wait_s = quiet_s.get(delivery.sink_key, 0.0)
            verdict = _verdict(delivery, by_key[delivery.sink_key], quiet=wait_s > 0)
            if verdict is Verdict.tell:
                told.append(delivery)
            elif verdict is Verdict.wait_for_backlog:
                wait_s = max(WAIT_FOR_BACKLOG.total_seconds() - delivery.owed_for_s, 0.0)
                not_told.append(NotTold(delivery, verdict, wait_s))
            else:
                not_told.append(NotTold(delivery, verdict, 0.0 if verdict.drops else wait_s))
        return told, not_told

    def _submit(self, told: list[Claimed], messages: list[Message], begin_by: float) -> None:
        sent = {one.delivery_key for message in messages for one in message.together.deliveries}
        for delivery in told:
            # Where our own request has outlived its lease, what comes of it is settled under the new one.
            if delivery.delivery_key in sent or delivery.delivery_key in self._ours:
                self._ours[delivery.delivery_key] = delivery
        jobs: list[Job] = []
        for message in messages:
            key = message.together.first.delivery_key
            self._messages[key] = message.together
            jobs.append(Job(message.sink_key, key, begin_by, partial(message.send, self._line), message.budget))
        self._lanes.submit(jobs)

    # settling ---------------------------------------------------------------------------------------------------------

    def _settle(self, connection: Connection) -> None:
        """Write what the workers have done. What could not be written is kept until the database is back."""
        self._collect(self._lanes.take())
        if not self._unsettled and not self._unbegun:
            return
        with connection.transaction():
            settled = self._settle_now(connection, self._unsettled)
            outbox.release(connection, self._unbegun)
        self._count_settled(settled, self._unsettled)
        self._report(settled)
        self._unsettled, self._unbegun = [], []
        for sink_key in settled.closed:
            # Its other deliveries were claimed while it still seemed to work.
            self._unbegun += self._taken_back(self._lanes.withdraw(sink_key))
        if self._unbegun:
            self._wake.set()

    def _collect(self, done: Iterable[Done]) -> None:
        for item in done:
            claimed = self._taken_back([item.job])
            if item.outcome is None:
                self._unbegun += claimed
            elif isinstance(item.outcome, BadMessage) and len(claimed) > 1:
                # One of them may be all that is wrong with it: each goes by itself before any is called bad. Whoever
                # takes over from us forgets that, and tries them together once more.
                log.warning(
                    "sink %s refuses a message about %d alarms, so each goes by itself: %s",
                    self._names[item.job.lane], len(claimed), item.outcome.error,
                )  # fmt: skip
                self._apart |= {one.delivery_key for one in claimed}
                self._unbegun += claimed
            else:
                together = item.job.key if len(claimed) > 1 else None
                self._unsettled += [Attempted(one, item.outcome, together) for one in claimed]

    def _taken_back(self, jobs: Iterable[Job]) -> list[Claimed]:
        """The deliveries of these messages, which are at work no more."""
        keys = [one.delivery_key for job in jobs for one in self._messages.pop(job.key).deliveries]
        return [self._ours.pop(key) for key in keys]

    def _settle_now(self, connection: Connection, results: list[Attempted] | list[NotTold]) -> Settled:
        settled = outbox.settle(
            connection,
            results,
            names=self._names,
            retry_base_s=self._settings.delivery_retry_base_s,
            draw=self._draw,
        )
        self._apart -= {key for key, state in settled.states.items() if state != "owed"}
        return settled

    def _report(self, settled: Settled) -> None:
        for sink_key, event in settled.events.items():
            if event is SinkEvent.failing:
                log.warning("sink %s fails and is tried every %.0f s from now on", self._names[sink_key], PROBE_EVERY_S)
            else:
                log.info("sink %s works again", self._names[sink_key])

    def _count(self, **more: int) -> None:
        with self._counting:
            self._counts.update(more)

    def _count_settled(self, settled: Settled, results: list[Attempted] | list[NotTold]) -> None:
        counted: Counter[str] = Counter()
        for result in results:
            state = settled.states.get(result.claimed.delivery_key)
            if state == "owed":
                counted["retried" if isinstance(result, Attempted) else "waiting"] += 1
            elif state is not None:
                counted[state] += 1
        self._count(**counted)

    def _finish(self) -> None:
        """At the end: begin nothing more, let what is under way end, write it, give the rest back."""
        unbegun = self._lanes.withdraw()
        if not self._lanes.stop(self._timeout_s + 2 * _BEGIN_BEFORE_S):
            log.warning("dispatch: a request outlived its time-out; its lease will run out")
        self._unbegun += self._taken_back(unbegun)
        try:
            with connect(self._database_url, "dispatch", autocommit=True) as connection:
                self._settle(connection)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            log.warning(
                "dispatch: what was under way could not be written, its leases will run out: %s", str(error).strip()
            )


def _verdict(delivery: Claimed, sink: SinkAtWork, *, quiet: bool) -> Verdict:
    try:
        return judge(delivery.facts(to_crew=sink.audience != "platform", quiet=quiet and not is_red(delivery)))
    except (KeyError, TypeError, ValueError):
        log.exception("delivery %d: its snapshot can't be judged, so it is told", delivery.delivery_key)
        return Verdict.tell


def _next_times(sinks: list[SinkAtWork]) -> Iterable[float]:
    """When something changes by itself, in seconds from now."""
    for sink in sinks:
        if sink.breaker.closed_for_s > 0:
            yield sink.breaker.closed_for_s
        elif sink.next_in_s is not None:
            yield max(sink.next_in_s, 0.0)
