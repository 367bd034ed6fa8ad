"""Carriage: from the reports that devices make to the messages that reach the broker, with what goes wrong on the way.

    reports → lost, damaged, delayed, repeated → written in each device's speech → gateways → due, in order of sending

Every message says what is to become of it, and what never leaves is counted, so that the books can be compared exactly:
what devices made = what is to be stored + what is to be quarantined + what was lost.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

from simulators.faults.damage import damaged, damaged_member
from simulators.faults.gateways import COLLECTS_S, MOST_IN_BATCH, Batch, Fate, Gateway, Heard
from simulators.faults.malicious import Malice
from simulators.faults.struck import FOREVER, During, OnTheWay, Struck
from simulators.message import Clock, Due, Message, Part
from simulators.scenario.faults import CorruptPayload, Delay, Duplicate, Loss, Reorder, WrongClock
from simulators.site import Reported, Site
from simulators.speech import SPEECHES, Said, Writer

_EAVESDROPPED = 256


@dataclass
class Carried:
    """What has become of reports so far, counted when it happens. `repeats` and `malicious` come on top of `made`."""

    made: int = 0
    stores: int = 0
    quarantines: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    """Why → how many: loss, gateway_outage, gateway_memory, nothing_to_say (its speech has no word for any of them)."""
    repeats: int = 0
    malicious: Counter[str] = field(default_factory=Counter)
    """Kind → messages."""

    @property
    def under_way(self) -> int:
        """Made, and neither sent nor lost yet."""
        return self.made - self.stores - self.quarantines - self.lost.total()


class _Collected:
    """A gateway's seconds of collecting are over."""

    __slots__ = ("gateway",)

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway


class _Back(_Collected):
    """A gateway's outage is over."""

    __slots__ = ()


_Event = Message | Heard | _Collected


def carry(
    reports: Iterable[Reported], struck: Struck, clock: Clock, seed: int, carried: Carried | None = None
) -> Iterator[Due]:
    """Every message of a run, in order of sending. `reports` are in order of `sent_s`; `carried` is counted in."""
    return _Way(struck, clock, seed, Carried() if carried is None else carried).carry(reports)


class _Way:
    def __init__(self, struck: Struck, clock: Clock, seed: int, carried: Carried) -> None:
        self.struck = struck
        self.clock = clock
        self.random = Random(f"carriage {seed}")
        self.carried = carried
        self.malice = Malice(struck.malicious, seed)
        self.heard: deque[Message] | None = deque(maxlen=_EAVESDROPPED) if struck.malicious else None
        self.events: list[tuple[float, int, _Event]] = []
        self.order = count()
        self.broken = count(1)
        self.topics: dict[str, bytes] = {}
        self.gateways: dict[str, Gateway] = {}
        self.latest_s: dict[str, float] = {}
        """Of devices that are struck on the way: when their newest message is due."""
        self.uncertain: set[str] = set()
        """Devices whose clock has been wrong: from then on what they say may get the time of receipt."""

    def carry(self, reports: Iterable[Reported]) -> Iterator[Due]:
        for reported in reports:
            yield from self._until(reported.sent_s)
            message = self._take(reported)
            if message is not None:
                yield self._sent(reported.sent_s, message)
        self.malice.stop()
        yield from self._until(math.inf)
        for gateway in self.gateways.values():
            gateway.over()
            self._count_lost(gateway)

    # what is due -----------------------------------------------------------------------------------------------------
    def _until(self, now_s: float) -> Iterator[Due]:
        while True:
            next_s = self.events[0][0] if self.events else math.inf
            if self.malice.next_s < math.inf and self.malice.next_s <= min(next_s, now_s):
                yield from self._malicious()
            elif self.events and next_s <= now_s:
                at_s, _, event = heapq.heappop(self.events)
                yield from self._happens(at_s, event)
            else:
                return

    def _happens(self, at_s: float, event: _Event) -> Iterator[Due]:
        if isinstance(event, Message):
            yield self._sent(at_s, event)
        elif isinstance(event, Heard):
            yield from self._collect(at_s, event)
        else:
            gateway = event.gateway
            batches = gateway.back(at_s) if isinstance(event, _Back) else gateway.collected(at_s)
            yield from self._batches(gateway, at_s, batches)

    def _collect(self, at_s: float, heard: Heard) -> Iterator[Due]:
        gateway_id = heard.site.gateway_id
        gateway = self.gateways.get(gateway_id)
        if gateway is None:
            gateway = self.gateways[gateway_id] = Gateway(heard.site, self.struck.gateways.get(gateway_id, ()))
            for outage in gateway.outages:
                if outage.until_s != FOREVER:
                    self._push(outage.until_s, _Back(gateway))
        if not gateway.collecting:
            self._push(at_s + COLLECTS_S, _Collected(gateway))
        gateway.collecting.append(heard)
        if len(gateway.collecting) == MOST_IN_BATCH:
            yield from self._batches(gateway, at_s, gateway.collected(at_s))

    def _batches(self, gateway: Gateway, at_s: float, batches: list[Batch]) -> Iterator[Due]:
        for batch in batches:
            if batch.at_s <= at_s:
                yield self._sent(at_s, batch.message)
            else:
                self._push(batch.at_s, batch.message)
        self._count_lost(gateway)

    def _count_lost(self, gateway: Gateway) -> None:
        for why, part in gateway.lost:
            self.carried.lost[why] += part.stores + part.quarantines
        gateway.lost.clear()

    def _malicious(self) -> Iterator[Due]:
        at_s, message = self.malice.strike(self.heard or ())
        if message is not None:
            self.carried.malicious[message.kind] += 1
            yield Due(at_s, message)

    def _sent(self, at_s: float, message: Message) -> Due:
        self.carried.repeats += message.repeats
        if message.again:
            self.carried.repeats += message.reports
        else:
            self.carried.stores += message.stores
            self.carried.quarantines += message.quarantines
        if self.heard is not None and self.malice.can_use(message):
            self.heard.append(message)
        return Due(at_s, message)

    def _push(self, at_s: float, event: _Event) -> None:
        heapq.heappush(self.events, (at_s, next(self.order), event))

    # what devices make -----------------------------------------------------------------------------------------------
    def _take(self, reported: Reported) -> Message | None:
        """What leaves at once; all else is an event that comes."""
        self.carried.made += 1
        site = reported.site
        writer = SPEECHES[site.speech]
        values = writer.speakable(site, reported.values)
        if not values:
            self.carried.lost["nothing_to_say"] += 1
            return None
        during = self.struck.on_the_way.get(site.device.device_id)
        if during is not None:
            self._troubled(reported, writer, values, during)
            return None
        said = Said(site, self.clock(reported.measured_s), self.clock(reported.sent_s), reported.seq, values)
        event = self._event(writer, said, reported.kind, timed=writer.timed)
        if isinstance(event, Message):
            return event
        self._push(reported.sent_s, event)
        return None

    def _troubled(
        self, reported: Reported, writer: Writer, values: dict[str, object], during: tuple[During[OnTheWay], ...]
    ) -> None:
        """The same for a device that something befalls on the way, now or at another time."""
        device_id = reported.site.device.device_id
        faults = [one.fault for one in during if one.lasts_at(reported.sent_s)]
        if any(isinstance(fault, Loss) and self.random.random() < fault.share for fault in faults):
            self.carried.lost["loss"] += 1
            return
        kind, ts_ms = reported.kind, self.clock(reported.measured_s)
        dated = writer.timed and writer.own_clock
        for one in during:
            if isinstance(one.fault, WrongClock) and one.lasts_at(reported.measured_s) and dated:
                ts_ms = _wrong(one.fault, ts_ms, reported.measured_s)
                kind = "wrong_clock"
                self.uncertain.add(device_id)
        timed = writer.timed and device_id not in self.uncertain
        said = Said(reported.site, ts_ms, self.clock(reported.sent_s), reported.seq, values)
        event = self._event(writer, said, kind, timed=timed)
        if any(isinstance(fault, CorruptPayload) and self.random.random() < fault.share for fault in faults):
            event = self._corrupt(writer, event)
        at_s = self._due_s(device_id, reported.sent_s, faults)
        repeats = [fault for fault in faults if isinstance(fault, Duplicate) and self.random.random() < fault.share]
        if repeats and isinstance(event, Heard):
            event = event._replace(fate=Fate())
        self._push(at_s, event)
        if timed:
            for fault in repeats:
                self._push(at_s + self.random.uniform(0, fault.within_s), _copy(event))

    def _due_s(self, device_id: str, sent_s: float, faults: list[OnTheWay]) -> float:
        """What is delayed keeps its order, what is mixed up does not."""
        due_s, latest_s = sent_s, self.latest_s.get(device_id, -math.inf)
        mixed = False
        for fault in faults:
            if isinstance(fault, Delay):
                due_s += fault.seconds
            elif isinstance(fault, Reorder):
                due_s += self.random.uniform(0, fault.within_s)
                mixed = True
        if not mixed:
            due_s = max(due_s, latest_s)
        self.latest_s[device_id] = max(due_s, latest_s)
        return due_s

    def _event(self, writer: Writer, said: Said, kind: str, *, timed: bool) -> Message | Heard:
        device_id = said.site.device.device_id
        written = writer.write(said)
        if writer.name == "gateway":
            return Heard(said.site, written, Part(device_id, kind), timed)
        push = writer.name if writer.push else ""
        return Message(device_id, self._topic(writer, said.site), written, kind, timed=timed, push=push)

    def _topic(self, writer: Writer, site: Site) -> bytes:
        device_id = site.device.device_id
        topic = self.topics.get(device_id)
        if topic is None:
            topic = self.topics[device_id] = writer.topic(site).encode()
        return topic

    def _corrupt(self, writer: Writer, event: Message | Heard) -> Message | Heard:
        number = next(self.broken)
        if isinstance(event, Heard):
            part = Part(event.part.device_id, "corrupt_payload", 0, 1)
            return event._replace(written=damaged_member(event.written, self.random, number), part=part)
        payload = damaged(event, writer.damage, self.random, number)
        return replace(event, payload=payload, kind="corrupt_payload", stores=0, quarantines=1)


def _copy(event: Message | Heard) -> Message | Heard:
    if isinstance(event, Message):
        return replace(event, again=True)
    part = event.part
    return event._replace(part=Part(part.device_id, part.kind, 0, 0, part.stores + part.quarantines), copy=True)


def _wrong(fault: WrongClock, ts_ms: int, measured_s: float) -> int:
    return round(measured_s * 1000) if fault.since_1970 else ts_ms + round(fault.by_s * 1000)
