"""Gateways: each collects its devices' reports for some seconds and sends them as one message, or keeps them while its
way to the broker is gone. Between the air and the wire.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from simulators.faults.struck import FOREVER, During
from simulators.message import Message, Part
from simulators.scenario.faults import GatewayOutage
from simulators.site import Site
from simulators.speech.native import GATEWAY, batch

COLLECTS_S = 5.0
MOST_IN_BATCH = 500
MOST_KEPT = 10_000
"""Reports that a gateway has memory for; of more, the oldest go."""
_BETWEEN_KEPT_S = 0.5


@dataclass(slots=True)
class Fate:
    """Of a report whose device repeats it: a copy of what has gone is a repeat, one of what was lost is lost, too."""

    sent: bool = False


class Heard(NamedTuple):
    """A report as a gateway has it from its device. `copy`: it is not the first with this fate."""

    site: Site
    written: bytes
    part: Part
    timed: bool
    fate: Fate | None = None
    copy: bool = False


class Batch(NamedTuple):
    at_s: float
    message: Message


class Gateway:
    """One gateway. `lost` is why and what it has lost since that was last looked at."""

    __slots__ = ("collecting", "free_s", "gateway_id", "kept", "lost", "outages", "topic")

    def __init__(self, site: Site, outages: Sequence[During[GatewayOutage]]) -> None:
        if not site.gateway_id:
            raise ValueError(f"{site.device.device_id}: speaks through a gateway, and gateway_id is empty")
        self.gateway_id = site.gateway_id
        self.topic = GATEWAY.topic(site).encode()
        self.outages = outages
        self.collecting: list[Heard] = []
        self.kept: deque[Heard] = deque()
        self.lost: list[tuple[str, Part]] = []
        self.free_s = -math.inf

    def collected(self, at_s: float) -> list[Batch]:
        """What it has collected until now, as one message; nothing while it has no way to send."""
        heard, self.collecting = self.collecting, []
        outage = self._outage(at_s)
        if outage is None:
            return self._batch(max(at_s, self.free_s), heard)
        if not outage.fault.keeps or outage.until_s == FOREVER:
            self._lose("gateway_outage", heard)
            return []
        self.kept += heard
        self._lose("gateway_memory", [self.kept.popleft() for _ in range(len(self.kept) - MOST_KEPT)])
        return []

    def back(self, at_s: float) -> list[Batch]:
        """It can send again: what it has kept, oldest first, in messages one after the other."""
        batches: list[Batch] = []
        if self._outage(at_s) is not None:
            return batches
        while self.kept:
            batches += self._batch(at_s, [self.kept.popleft() for _ in range(min(MOST_IN_BATCH, len(self.kept)))])
            at_s += _BETWEEN_KEPT_S
        self.free_s = at_s
        return batches

    def over(self) -> None:
        """The run ends before it is back."""
        self._lose("gateway_outage", self.kept)
        self.kept.clear()

    def _outage(self, at_s: float) -> During[GatewayOutage] | None:
        """The one that lasts longest, where there are several."""
        lasting = [outage for outage in self.outages if outage.lasts_at(at_s)]
        return max(lasting, key=lambda outage: outage.until_s) if lasting else None

    def _lose(self, why: str, heard: Sequence[Heard] | deque[Heard]) -> None:
        self.lost += [(why, one.part) for one in heard]

    def _batch(self, at_s: float, heard: list[Heard]) -> list[Batch]:
        going = [one for one in heard if _goes(one)]
        if not going:
            return []
        parts = tuple(one.part for one in going)
        message = Message(
            device_id=self.gateway_id,
            topic=self.topic,
            payload=batch([one.written for one in going]),
            kind="batch",
            stores=sum(part.stores for part in parts),
            quarantines=sum(part.quarantines for part in parts),
            timed=all(one.timed for one in going),
            repeats=sum(part.repeats for part in parts),
            members=parts,
        )
        return [Batch(at_s, message)]


def _goes(heard: Heard) -> bool:
    if heard.fate is None:
        return True
    if not heard.copy:
        heard.fate.sent = True
    return heard.fate.sent
