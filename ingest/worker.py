"""The path of a report, from its arrival to its acknowledgement. `commit` is the table of contents."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
import psycopg

from alerts.judge.outcome import Outcome
from alerts.record.recorder import Recorder, failure, without_known_late
from ingest import hindsight, inbox
from ingest.arrival import Arrival
from ingest.conditions import FLOODING
from ingest.decode import Item, Rejected, claims, decode, read_ahead
from ingest.division import advance
from ingest.flood import Allowance
from ingest.judged import record_judged
from ingest.newcomers import note_newcomers
from ingest.offline import find_silent
from ingest.quarantine import Budget, Kept, quarantine, released
from ingest.reasons import Rejection
from ingest.registry import FamilyDevices
from ingest.store import put_latest, store
from ingest.subscribe import Session
from ingest.tenure import Tenure, TenureLostError, watch_lock
from ingest.validate import Judged, unknown_ids, validate
from ingest.whose import Forward
from underfoot.alarms import Reason, SubjectKind
from underfoot.clock import CLOCK
from underfoot.inbox import Message, post_messages
from underfoot.reports import Reports, moment
from underfoot.settings import Settings
from underfoot.storage.statements import statement
from underfoot.topics import is_probe, probe_topics, shard_filter

log = logging.getLogger(__name__)

_LOOK_AROUND_S = 1.0
_WAIT_S = 0.25
_LEAST_PAUSE_S = 0.1
"""In lapsed time we look more often, but not all the time."""


@dataclass(frozen=True)
class _Understood:
    """Messages, judged as far as that goes without the database; it holds while the registry's `changes` are these."""

    changes: int
    strangers: list[str]
    reports: int
    judged: Judged


@dataclass
class _Committed:
    """What one batch did, to be applied to memory with it."""

    evaluated: list[tuple[FamilyDevices, Reports, Outcome]] = field(default_factory=list)
    stored: int = 0
    duplicates: int = 0
    late: int = 0


class Worker:
    """Holds one shard and commits what comes for it, batch by batch."""

    def __init__(self, settings: Settings, tenure: Tenure) -> None:
        self._settings = settings
        self._tenure = tenure
        filters = [*tenure.plan.filters, shard_filter(tenure.shard)]
        self._proven_us: dict[str, int] = dict.fromkeys(probe_topics(filters), 0)
        self._probe_mark = secrets.token_hex(4)
        self._probe_from = 0.0
        self._look_around = threading.Event()
        self._registry_changed = threading.Event()
        self._lost: list[str] = []
        self._sessions = tenure.sessions
        self._ahead: tuple[list[Arrival], _Understood] | None = None
        self._session = Session(
            settings.require_mqtt(),
            f"underfoot-{tenure.shard}",
            filters,
            keepalive_s=settings.keepalive_s,
            in_flight=settings.in_flight,
            ca_file=settings.mqtt_ca,
            on_session=self._on_session,
            read_ahead=read_ahead,
            watch=(tenure.lock.fileno(), self._on_lock),
            surplus=tenure.plan.surplus,
            may_serve=tenure.may_serve,
        )
        self._budget = Budget(settings.quarantine_rate_per_s, settings.quarantine_burst)
        for devices in tenure.registry.families.values():
            devices.allowance = Allowance(settings.device_rate_per_s, settings.device_burst)
        self._probed_at = 0.0
        self._swept_until_us = 0
        self._looked_at = 0.0
        self._past_waits = False

    # the loop -------------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`, or until the tenure is lost (raises)."""
        settings = self._settings
        self._session.start()
        try:
            while not stop.is_set():
                arrivals, understood = self._ahead or (
                    self._take(settings.batch_linger_ms / 1000, _paced(_WAIT_S)),
                    None,
                )
                self._ahead = None
                if self._lost:
                    raise TenureLostError(self._lost[0])
                now = time.monotonic()
                if settings.redelivery_s and len(arrivals) + self._session.waiting > settings.in_flight // 4:
                    self._hold_probes()
                look_around = self._look_around.is_set() or now - self._looked_at > _paced(_LOOK_AROUND_S)
                if arrivals or look_around:
                    self._look_around.clear()
                    if look_around:
                        self._looked_at = now
                        CLOCK.look(settings.clock_settles_s)
                    self.commit(arrivals, understood, look_around=look_around)
                    self._session.acknowledge(arrivals)
                self._probe(now)
        finally:
            self._session.close()

    def commit(self, arrivals: Sequence[Arrival], understood: _Understood | None = None, *, look_around: bool) -> None:
        """One batch, one transaction. When this returns, its messages may be acknowledged. Fails anything, so has the
        tenure: memory may be ahead of the database by then."""
        tenure = self._tenure
        connection = tenure.connection
        probes = [arrival for arrival in arrivals if _is_probe(arrival)]
        messages = _without_probes(arrivals) if probes else arrivals
        done = _Committed()
        clock_steps = CLOCK.steps if look_around else CLOCK.noted.get(tenure.shard, 0)
        tenure.begin()
        waiting = inbox.take(tenure) if look_around else inbox.Waiting()
        messages = [*waiting.messages, *messages] if waiting.messages else messages
        self._follow_the_ledger()
        if understood is None or waiting.messages:
            understood = self._understand(messages)
        while self._outdated(understood):
            understood = self._understand(messages)
        judged = understood.judged.settle()
        self._store_and_evaluate(judged, done)
        self._report_floods(judged.flooding)
        self._forward(judged.forward)
        kept = quarantine(connection, tenure.shard, judged.rejected, self._budget)
        note_newcomers(connection, kept.added, self._settings.newcomers_per_area)
        released(connection, _released(waiting.messages, judged))
        self._note_probes(probes)
        self._apply(done)
        if look_around:
            self._note_steps(clock_steps)
            self._carry_out_commands(waiting)
            self._find_silent()
            self._past_waits = hindsight.judge_again(tenure, self._settings.replay_settle_s)
        with connection.pipeline():
            # What is left needs no answer but that it was done: meanwhile we look at what comes next.
            put_latest(connection, [(new, outcome) for _, new, outcome in done.evaluated])
            if messages:
                self._keep_books(messages, understood.reports, done, kept, judged)
            connection.execute("COMMIT")
            self._look_ahead()
        CLOCK.noted[tenure.shard] = clock_steps
        if waiting.more or (self._past_waits and not arrivals):
            self._look_around.set()

    # its steps ------------------------------------------------------------------------------------------------------

    def _follow_the_ledger(self) -> None:
        if self._registry_changed.is_set():
            self._registry_changed.clear()
            self._tenure.ledger.refresh(self._tenure.connection)
            if self._tenure.ledger.others_count:
                raise TenureLostError("for devices with alarms other numbers count now: starting again with these")

    def _understand(self, messages: Sequence[Arrival]) -> _Understood:
        registry = self._tenure.registry
        strangers = unknown_ids(claims(messages, registry), registry)
        items, undecodable = decode(messages, registry, self._tenure.codecs)
        strangers += unknown_ids((item.claim for item in items), registry)
        judged = validate(items, registry)
        judged.rejected += undecodable
        return _Understood(registry.changes, sorted(set(strangers)), len(items) + len(undecodable), judged)

    def _outdated(self, understood: _Understood) -> bool:
        """Whether the registry is another by now; whom it did not have is asked for."""
        if understood.strangers:
            self._tenure.ledger.look_up(self._tenure.connection, understood.strangers)
        return understood.changes != self._tenure.registry.changes

    def _take(self, linger_s: float, wait_s: float) -> list[Arrival]:
        return self._session.take(self._settings.batch_reports, linger_s, wait_s)

    def _look_ahead(self) -> None:
        """Where a whole batch waits already."""
        if self._session.waiting >= self._settings.batch_reports:
            arrivals = self._take(0, 0)
            self._ahead = arrivals, self._understand(_without_probes(arrivals))

    def _store_and_evaluate(self, judged: Judged, done: _Committed) -> None:
        connection = self._tenure.connection
        for (devices, reports, items), stored in zip(judged.families, store(connection, judged.families), strict=True):
            judged.rejected += [refused(items[row], detail) for row, detail in stored.refused]
            done.stored += len(stored.new)
            done.duplicates += stored.duplicates
            if len(stored.new):
                new = reports if len(stored.new) == len(reports) else reports.take(stored.new)
                done.evaluated.append((devices, new, devices.evaluator.judge(new)))
        for devices, _, outcome in done.evaluated:
            without_known_late(connection, devices.evaluator, outcome)
            devices.evaluator.raise_late(outcome)
            done.late += len(outcome.late_rows)
        hindsight.note(self._tenure, done.evaluated)
        record_judged(self._tenure, [(devices.evaluator, outcome) for devices, _, outcome in done.evaluated])

    def _find_silent(self) -> None:
        """Who is offline, whenever we have caught up further; the next look around goes on where there are many."""
        tenure = self._tenure
        if tenure.caught_up_us <= self._swept_until_us:
            return
        found = find_silent(tenure)
        record_judged(
            tenure, found.outcomes, [change for _, outcome in found.outcomes for change in outcome.transitions]
        )
        for evaluator, outcome in found.outcomes:
            evaluator.apply(outcome)
        if found.more:
            self._look_around.set()
        else:
            self._swept_until_us = tenure.caught_up_us

    def _report_floods(self, flooding: set[int]) -> None:
        """A device that is over its allowance is an alarm of its own, until it has kept to it for a while."""
        tenure = self._tenure
        news = [(key, Reason.flooding) for key in sorted(flooding) if tenure.flooding.seen(key)]
        news += [(key, Reason.flood_over) for key in tenure.flooding.ended()]
        now_us = CLOCK.now_us()
        Recorder(tenure.connection).record(
            failure(
                SubjectKind.device,
                key,
                tenure.rules[FLOODING],
                reason,
                raised=reason is Reason.flooding,
                at_us=now_us,
                detail="",
            )
            for key, reason in news
        )

    def _forward(self, forward: Sequence[Forward]) -> None:
        """To the inbox of the shard that holds the device; the message is done with here."""
        post_messages(
            self._tenure.connection,
            [
                Message(
                    shard=shard,
                    topic=topic,
                    body=item.raw,
                    received_us=item.arrival.received_us,
                    source=item.arrival.source,
                    key=f"forward:{secrets.token_hex(16)}",
                    quarantine_key=item.arrival.origin.quarantine_key if item.arrival.origin is not None else None,
                )
                for shard, topic, item in forward
            ],
        )

    def _note_probes(self, probes: Sequence[Arrival]) -> None:
        """Our own probe is back: all that the broker had for its filter when it was sent is in this transaction or an
        earlier one. That of the filter which is furthest behind counts."""
        tenure = self._tenure
        before = min(self._proven_us.values())
        for probe in probes:
            if probe.topic in self._proven_us:
                self._proven_us[probe.topic] = max(self._proven_us[probe.topic], self._sent_us(probe))
        sent = min(self._proven_us.values())
        if sent == before:
            return
        now_us = CLOCK.now_us()
        params = {"shard": tenure.shard, "sent_at": moment(sent), "delay_ms": (now_us - sent) / 1000 / CLOCK.speed}
        tenure.connection.execute(statement("shard.caught_up"), params)
        tenure.caught_up_us = max(tenure.caught_up_us, sent)
        if tenure.session_alarm_open:
            self._session_alarm(Reason.session_restored, raised=False)
        if advance(tenure.connection, tenure.shard, tenure.plan):
            self._lost.append("districts go to other shards: starting again")

    def _note_steps(self, clock_steps: int) -> None:
        """Our clock has been set: nobody's silence began before that, and what is caught up is to be proven anew."""
        tenure = self._tenure
        if clock_steps == CLOCK.noted.get(tenure.shard, 0):
            return
        now_us = CLOCK.now_us()
        tenure.connection.execute(statement("shard.clock_set"), {"shard": tenure.shard, "now": moment(now_us)})
        tenure.silence_from_us = now_us
        tenure.caught_up_us = min(tenure.caught_up_us, now_us)
        self._proven_us = dict.fromkeys(self._proven_us, 0)
        self._probe_mark = secrets.token_hex(4)

    def _carry_out_commands(self, waiting: inbox.Waiting) -> None:
        """What does not come by MQTT, in its order; each command sees what the one before it has changed."""
        tenure, plan = self._tenure, self._tenure.plan
        for present in self._sessions[:]:
            self._sessions.remove(present)
            if not present and tenure.session_known:
                self._session_alarm(Reason.session_lost, raised=True)
            params = {"shard": tenure.shard, "filters": list(plan.filters), "dropped": list(plan.surplus)}
            tenure.connection.execute(statement("shard.session_known"), params)
            tenure.session_known = True
        commands = []
        for row in waiting.commands:
            command = inbox.carry_out(tenure, row, CLOCK.now_us())
            record_judged(tenure, command.outcomes, command.transitions, command.actor)
            for evaluator, outcome in command.outcomes:
                evaluator.apply(outcome)
            commands.append(command)
        inbox.consumed(tenure, waiting, commands)

    def _session_alarm(self, reason: Reason, *, raised: bool) -> None:
        tenure = self._tenure
        transition = failure(
            SubjectKind.shard,
            tenure.shard_key,
            tenure.rules["shard.session_lost"],
            reason,
            raised=raised,
            at_us=CLOCK.now_us(),
            detail=tenure.shard,
        )
        Recorder(tenure.connection).record([transition])
        tenure.session_alarm_open = raised

    def _keep_books(
        self, messages: Sequence[Arrival], reports: int, done: _Committed, kept: Kept, judged: Judged
    ) -> None:
        tenure = self._tenure
        params = {
            "shard": tenure.shard,
            "received": len(messages),
            "by_inbox": sum(message.origin is not None for message in messages),
            "redelivered": sum(message.dup for message in messages),
            "unpacked": reports - len(messages),
            "stored": done.stored,
            "duplicate": done.duplicates + kept.duplicates,
            "quarantined": kept.quarantined,
            "forwarded": len(judged.forward),
            "discarded": kept.discarded,
            "late": done.late,
        }
        tenure.connection.execute(statement("shard.keep_books"), params)

    def _apply(self, done: _Committed) -> None:
        for devices, reports, outcome in done.evaluated:
            devices.evaluator.apply(outcome, reports)

    def _probe(self, now: float) -> None:
        """More often while a silence is on its way to being proof."""
        waiting = bool(self._tenure.plan.draining or self._tenure.plan.leaving) or any(
            devices.evaluator.waits_for_silence for devices in self._tenure.registry.families.values()
        )
        interval = min(self._settings.probe_interval_s, 1.0) if waiting else self._settings.probe_interval_s
        if self._session.online and now >= self._probe_from and now - self._probed_at >= _paced(interval):
            self._probed_at = now
            payload = orjson.dumps({"sent_us": CLOCK.now_us(), "mark": self._probe_mark})
            for topic in self._proven_us:
                self._session.publish(topic, payload)

    def _hold_probes(self) -> None:
        """What a probe proves holds as long as the broker keeps the order. NATS keeps back what was unacknowledged on
        the connection before, and what it could not send since its window was full, for as long as its ack_wait."""
        self._probe_mark = secrets.token_hex(4)
        self._probe_from = time.monotonic() + self._settings.redelivery_s

    def _sent_us(self, probe: Arrival) -> int:
        """When we sent it. 0 where somebody else has, or we did on an earlier connection: what was unacknowledged then
        may come after it."""
        content = probe.content or {}
        sent, mark = content["sent_us"], content["mark"]
        ours = mark == self._probe_mark and isinstance(sent, int)
        return sent if ours and 0 <= probe.received_us - sent < 7 * 86_400_000_000 else 0

    # called from the MQTT loop's thread -----------------------------------------------------------------------------

    def _on_session(self, present: bool) -> None:
        self._hold_probes()
        self._sessions.append(present)
        self._look_around.set()
        self._session.poke()

    def _on_lock(self) -> None:
        try:
            channels = watch_lock(self._tenure)
        except (TenureLostError, psycopg.Error) as error:
            self._lost.append(str(error))
            self._session.abandon()
            return
        if "underfoot_rules" in channels:
            self._lost.append("the rules have changed: starting again with the new ones")
        if "underfoot_shards" in channels:
            self._lost.append("devices have come from or gone to another shard: starting again")
        if "underfoot_registry" in channels:
            self._registry_changed.set()
        if channels:
            self._look_around.set()
            self._session.poke()


def _paced(ours_s: float) -> float:
    return CLOCK.machine_s(ours_s, _LEAST_PAUSE_S)


def _without_probes(arrivals: Sequence[Arrival]) -> list[Arrival]:
    return [arrival for arrival in arrivals if not _is_probe(arrival)]


def _is_probe(arrival: Arrival) -> bool:
    """Ours, or another shard's. Whatever else comes under such a topic is a message like any."""
    return is_probe(arrival.topic) and arrival.content is not None and arrival.content.keys() == {"sent_us", "mark"}


def refused(item: Item, detail: str) -> Rejected:
    return Rejected(item.arrival, item.payload, Rejection.rejected_by_database, detail)


def _released(messages: Sequence[Arrival], judged: Judged) -> set[int]:
    """Of what was in quarantine, the keys of what is understood now, every part of it, by us."""
    again = {key for one in judged.rejected if (key := _quarantine_key(one.arrival)) is not None}
    again |= {key for one in judged.forward if (key := _quarantine_key(one.item.arrival)) is not None}
    return {key for message in messages if (key := _quarantine_key(message)) is not None} - again


def _quarantine_key(arrival: Arrival) -> int | None:
    return arrival.origin.quarantine_key if arrival.origin is not None else None
