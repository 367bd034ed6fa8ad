"""What an account may do on MQTT. What is not said here, nobody may.

One pure function of the account and of what the database knows around it. Brokers are told in their own way: mosquitto
by files (`underfoot.identity.files`), EMQX by asking the API. docs/identity.md has the same as a table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from underfoot.identity.accounts import Account
from underfoot.topics import (
    CBOR_FILTER,
    GATEWAY_FILTER,
    PROBE_FILTERS,
    REPORT_FILTER,
    ROOT,
    GatewayTopic,
    ReportTopic,
    probe_topics,
    shard_filter,
)

Action = Literal["publish", "subscribe"]

COMMAND_FILTER = f"{ROOT}/+/+/+/command"
_NAMED_LEVEL = re.compile(r"\{[a-z][a-z0-9_]*\}")


class Bound(NamedTuple):
    """A device that a gateway or a vendor's account speaks for."""

    area: str
    family: str
    device_id: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What rights depend on beside the account itself."""

    devices: Sequence[Bound] = ()
    """Of a gateway: bound to it. Of a vendor: with this vendor in the ledger. None of them retired."""
    mapping_topics: Sequence[str] = ()
    """Topic patterns of mappings in force: of a vendor, those it may use; of ingest, all there are."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Topic filters. A right to receive is a right to subscribe to what lies within it, too."""

    publish: tuple[str, ...] = ()
    receive: tuple[str, ...] = ()

    def may(self, action: Action, topic: str) -> bool:
        return self.may_publish(topic) if action == "publish" else self.may_subscribe(topic)

    def may_publish(self, topic: str) -> bool:
        return not set("+#") & set(topic) and any(within(topic, granted) for granted in self.publish)

    def may_subscribe(self, topic_filter: str) -> bool:
        """Only to what is received as a whole: a filter that takes in more is refused, not narrowed."""
        return any(within(topic_filter, granted) for granted in self.receive)


def rights_of(account: Account, around: Surroundings) -> Rights:
    match account.kind:
        case "device":
            own = ReportTopic(account.area or "", account.family or "", account.name)
            return Rights(_reports(own), (command_topic(own),))
        case "gateway":
            area = account.area or ""
            bound = [ReportTopic(*device) for device in around.devices]
            said = [topic for device in bound for topic in _reports(device)]
            heard = [command_topic(device) for device in bound]
            batch = str(GatewayTopic(area, account.name))
            return Rights((batch, *said), (command_topic(ReportTopic(area, "gateway", account.name)), *heard))
        case "vendor":
            said = [topic for device in around.devices for topic in _reports(ReportTopic(*device))]
            return Rights((*map(mapping_filter, around.mapping_topics), *said))
        case "service":
            return _service_rights(account, around)


def _service_rights(account: Account, around: Surroundings) -> Rights:
    everything = (REPORT_FILTER, CBOR_FILTER, GATEWAY_FILTER)
    match account.duty:
        case "ingest":
            mapped = tuple(map(mapping_filter, around.mapping_topics))
            return Rights((*PROBE_FILTERS, *probe_topics(mapped)), (*everything, *mapped, shard_filter("+")))
        case "reader":
            return Rights((), everything)
        case "commands":
            return Rights((COMMAND_FILTER,))
        case None:
            return Rights()


def _reports(device: ReportTopic) -> tuple[str, str]:
    return str(device), f"{ROOT}/{device.area}/{device.family}/{device.device_id}/cbor"


def command_topic(device: ReportTopic) -> str:
    return f"{ROOT}/{device.area}/{device.family}/{device.device_id}/command"


def mapping_filter(pattern: str) -> str:
    """The MQTT filter of a mapping's topic: a name in braces is one level, whatever it is."""
    return _NAMED_LEVEL.sub("+", pattern)


def within(asked: str, granted: str) -> bool:
    """Whether every topic that `asked` (a topic or a filter) takes is one that `granted` takes."""
    mine, theirs = asked.split("/"), granted.split("/")
    if mine[0].startswith("$") or mine[0] in ("+", "#"):
        # The broker's own topics, and shared subscriptions, are nobody's; a filter that begins with a wildcard lies
        # within none of ours.
        return False
    for place, level in enumerate(theirs):
        if level == "#":
            return True
        if place >= len(mine) or mine[place] == "#":
            return False
        if level != "+" and level != mine[place]:
            return False
    return len(mine) == len(theirs)
