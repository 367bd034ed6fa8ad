"""Which codec reads a message: by its topic, or by what the ledger says of the device that the topic names."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ingest.arrival import Arrival
from ingest.codecs import cbor_v1, gateway, json_v1, sl651
from ingest.codecs.contract import Codec, Decoded, Unusable
from ingest.codecs.mapped import MappingCodec
from ingest.codecs.mapping import Mapping
from ingest.codecs.mappings import UnreadableMapping
from ingest.codecs.patterns import parts_of
from ingest.reasons import Rejection
from underfoot.topics import parse_cbor_topic, parse_gateway_topic, parse_report_topic

log = logging.getLogger(__name__)

DECLARABLE = ("json", "cbor")
"""Codecs of ours that a device's ledger may name; beside them, the mappings in force."""


class Codecs:
    """Every codec there is, with these mappings in force; `stations` reads SL 651 stations by their map."""

    def __init__(self, mappings: Iterable[Mapping | UnreadableMapping] = (), *, stations: Codec = sl651.decode) -> None:
        listed = list(mappings)
        self._built_in = {
            "json": _sheltered(json_v1.decode),
            "cbor": _sheltered(cbor_v1.decode),
            "gateway": _sheltered(gateway.decode),
            "sl651": _sheltered(stations),
        }
        self._by_name = {one.name: _sheltered(_codec_of(one)) for one in listed}
        self._pushed = {one.name for one in listed if one.http}
        self._patterns: dict[int, list[tuple[str, Codec]]] = {}
        for one in listed:
            for pattern in one.topics:
                self._patterns.setdefault(pattern.count("/"), []).append((pattern, self._by_name[one.name]))

    def of(self, topic: str, declared: str | None) -> Codec | None:
        """Who reads a message under this topic; `declared` is the codec of the device that a report topic names."""
        first, _, rest = topic.partition("/")
        if first == "underfoot":
            return self._of_ours(topic, declared)
        if first == "http":
            return self._by_name[rest] if rest in self._pushed else None
        if first == "sl651":
            return self._built_in["sl651"]
        levels = topic.split("/")
        for pattern, codec in self._patterns.get(len(levels) - 1, ()):
            if parts_of(pattern, levels) is not None:
                return codec
        return None

    def _of_ours(self, topic: str, declared: str | None) -> Codec | None:
        if parse_report_topic(topic) is not None:
            name = declared or "json"
            if name in DECLARABLE:
                return self._built_in[name]
            return self._by_name.get(name) or _not_in_force(name)
        if parse_cbor_topic(topic) is not None:
            return self._built_in["cbor"]
        if parse_gateway_topic(topic) is not None:
            return self._built_in["gateway"]
        return None


def _codec_of(mapping: Mapping | UnreadableMapping) -> Codec:
    return MappingCodec(mapping) if isinstance(mapping, Mapping) else _failing(f"{mapping.name}: {mapping.problem}")


def _not_in_force(name: str) -> Codec:
    return _failing(f"the ledger says that this device's codec is {name!r}, and no such mapping is in force")


def _failing(detail: str) -> Codec:
    def decode(arrival: Arrival) -> list[Decoded | Unusable]:
        topic = parse_report_topic(arrival.topic)
        device_id = topic.device_id if topic is not None else None
        return [Unusable(arrival.payload, Rejection.mapping_failed, detail, device_id)]

    return decode


def _sheltered(codec: Codec) -> Codec:
    """A codec that a message breaks all the same must not stop the shard: it would come again for ever. That message is
    quarantined, and the log has what happened."""

    def decode(arrival: Arrival) -> list[Decoded | Unusable]:
        try:
            return codec(arrival)
        except Exception as error:
            log.exception("a codec failed at a message of %d bytes under %r", len(arrival.payload), arrival.topic)
            return [Unusable(arrival.payload, Rejection.undecodable, f"the codec failed: {error!r}"[:500])]

    return decode
