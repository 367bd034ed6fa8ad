"""Outgoing: what is sent to a sink, once it is decided who is told: messages within each robot's budget, with the link
of the alarm's page and whoever is on duty."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alerts.channels import ChannelError, channel, parse_config
from alerts.channels.interface import Channel, ChannelConfig, Delivery, Outcome, SinkFailure
from alerts.channels.line import Line
from alerts.deliver import outbox
from alerts.deliver.budget import WINDOW_S, Budget, Slots
from alerts.deliver.desk import Desk
from alerts.deliver.gather import Together, alone, gather, within
from alerts.deliver.outbox import Claimed, SinkAtWork
from underfoot import links
from underfoot.clock import CLOCK
from underfoot.settings import Settings
from underfoot.storage.connect import Connection

log = logging.getLogger(__name__)

_LINK_SECRET_EVERY_S = 5.0


@dataclass(slots=True)
class Message:
    """One message as its channel sends it, a slot of whose budget it takes."""

    sink_key: int
    together: Together
    delivery: Delivery
    channel: str
    config: ChannelConfig | ChannelError
    budget: Budget | None

    def send(self, line: Line) -> Outcome:
        """One attempt; runs in a worker."""
        if isinstance(self.config, ChannelError):
            return SinkFailure(str(self.config))
        found: Channel[Any] = channel(self.channel)
        return found.send(self.delivery, self.config, line)


class Outgoing:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.desk = Desk()
        self._budgets: dict[str | int, Budget] = {}
        self._budget_of: dict[int, Budget] = {}
        self._link_secret: tuple[float, bytes | None] | None = None
        self._parsed: dict[int, tuple[str, dict[str, Any], ChannelConfig | ChannelError]] = {}

    # what a sink takes ------------------------------------------------------------------------------------------------

    def config(self, sink: SinkAtWork) -> ChannelConfig | ChannelError:
        known = self._parsed.get(sink.sink_key)
        if known is not None and known[:2] == (sink.channel, sink.config):
            return known[2]
        parsed: ChannelConfig | ChannelError
        try:
            parsed = parse_config(sink.channel, sink.config)
        except ChannelError as error:
            log.error("sink %s: %s", sink.name, error)  # noqa: TRY400 (the sentence is all there is to know)
            parsed = error
        self._parsed[sink.sink_key] = (sink.channel, sink.config, parsed)
        return parsed

    def gathers(self, sink: SinkAtWork) -> bool:
        """Whether one message to it may tell of several alarms."""
        return isinstance(self.config(sink), ChannelConfig) and channel(sink.channel).gathers

    def look_at(self, connection: Connection, sinks: Iterable[SinkAtWork]) -> None:
        """Which robots the sinks of this round are, and how many messages each takes: the fewest that any of its sinks
        says. What their channels need is loaded here, before the first alarm and not while it waits."""
        robots: dict[str | int, dict[int, ChannelConfig]] = {}
        for sink in sinks:
            config = self.config(sink)
            if isinstance(config, ChannelConfig):
                robots.setdefault(config.robot() or sink.sink_key, {})[sink.sink_key] = config
        self._budget_of = {}
        for robot, served in robots.items():
            per_minute = min((one.per_minute for one in served.values() if one.per_minute is not None), default=None)
            if per_minute is None:
                continue
            per_second = min((one.per_second for one in served.values() if one.per_second is not None), default=None)
            budget = self._budgets.get(robot)
            if budget is None:
                budget = self._budgets[robot] = Budget(per_minute, per_second)
                budget.sent_before(outbox.sent_lately(connection, list(served), WINDOW_S), time.monotonic())
            budget.limit(per_minute, per_second)
            self._budget_of |= dict.fromkeys(served, budget)

    def budget(self, sink: SinkAtWork) -> Budget | None:
        """Its robot's; None: it takes as many messages as there are."""
        return self._budget_of.get(sink.sink_key)

    def slots(self, sink: SinkAtWork) -> Slots | None:
        """How many messages its robot takes now; None: as many as there are."""
        budget = self.budget(sink)
        return None if budget is None else budget.slots(time.monotonic())

    def next_slots_in_s(self, sinks: Iterable[SinkAtWork]) -> Iterable[float]:
        """When robots that something waits for have a slot again."""
        now = time.monotonic()
        for sink in sinks:
            budget = self.budget(sink) if sink.due else None
            if budget is not None and budget.slots(now).other < 1:
                yield budget.next_in_s(now)

    # messages ---------------------------------------------------------------------------------------------------------

    def messages(
        self, connection: Connection, sinks: Iterable[SinkAtWork], told: Iterable[Claimed], apart: Collection[int]
    ) -> tuple[list[Message], list[Claimed]]:
        """The messages to send now, and the deliveries for which there is no slot. `apart`: what goes by itself."""
        by_sink: dict[int, list[Claimed]] = {}
        for one in told:
            by_sink.setdefault(one.sink_key, []).append(one)
        found: list[Message] = []
        waiting: list[Claimed] = []
        planned: Counter[int] = Counter()
        for sink in sinks:
            deliveries = by_sink.get(sink.sink_key)
            if deliveries is None:
                continue
            budget = self.budget(sink)
            slots = None if budget is None else budget.slots(time.monotonic(), planned[id(budget)])
            together, left = self._put_together(sink, deliveries, slots, apart)
            planned[id(budget)] += len(together)
            waiting += left
            found += self._written(connection, sink, together, budget)
        return found, waiting

    def _put_together(
        self, sink: SinkAtWork, deliveries: list[Claimed], slots: Slots | None, apart: Collection[int]
    ) -> tuple[list[Together], list[Claimed]]:
        if self.gathers(sink):
            return gather(deliveries, slots, apart)
        return (alone(deliveries), []) if slots is None else within(deliveries, slots)

    def _written(
        self, connection: Connection, sink: SinkAtWork, messages: Iterable[Together], budget: Budget | None
    ) -> list[Message]:
        """As its channel sends them. What is the same for all of a sink's is asked once."""
        config = self.config(sink)
        mentions = isinstance(config, ChannelConfig) and channel(sink.channel).mentions
        secret = self._secret(connection) if self._settings.public_url is not None else None
        now = CLOCK.now()
        found = []
        for together in messages:
            first = together.first
            delivery = Delivery(
                first.idempotency_key,
                first.snapshot,
                self._link(first, secret, now),
                tuple(one.snapshot for one in together.deliveries[1:]),
                self.desk.mentions(connection, sink, together.deliveries) if mentions else (),
            )
            found.append(Message(sink.sink_key, together, delivery, sink.channel, config, budget))
        return found

    def _link(self, first: Claimed, secret: bytes | None, now: datetime) -> str:
        """To the alarm's page, as this delivery's receiver; where people reach no page of ours, to the API."""
        public_url = self._settings.public_url
        if public_url is None or secret is None:
            alarms = f"{self._settings.api_url}/api/v1/alarms"
            return f"{alarms}/{first.episode_key}" if first.episode_key is not None else alarms
        token = links.issue(
            secret,
            alarm_key=first.alarm_key,
            episode=first.episode,
            delivery_key=first.delivery_key,
            expires_at=links.expiry(first.owed_since, now),
        )
        return f"{public_url.rstrip('/')}/a/{token}"

    def _secret(self, connection: Connection) -> bytes | None:
        """None: there is none to sign with; whoever took it away, people are told all the same."""
        now = time.monotonic()
        if self._link_secret is None or now - self._link_secret[0] > _LINK_SECRET_EVERY_S:
            known = links.secrets(connection)
            if not known:
                log.error("links: there is no secret to sign with; `underfoot links rotate` makes one")
            self._link_secret = (now, known[0].secret if known else None)
        return self._link_secret[1]
