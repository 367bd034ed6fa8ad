"""The codec that a mapping is: from a vendor's message to reports of protocol v1, as the mapping says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ingest.arrival import Arrival
from ingest.codecs.contract import MOST_REPORTS, Decoded, Unusable
from ingest.codecs.conversions import MISSING, failing, first, is_scalar, shown, to_number
from ingest.codecs.formats import Cbor, Document, Json, unpack
from ingest.codecs.layout import FrameError
from ingest.codecs.mapping import FamilyByValue, Form, Mapping
from ingest.codecs.paths import At, as_key, without
from ingest.codecs.patterns import parts_of
from ingest.reasons import Rejection
from underfoot.topics import DEVICE_ID, ReportTopic, parse_report_topic

MOST_BYTES = 16 * 2**20
"""Of what the items of one message may be, each with the message around it."""


class _FailedError(Exception):
    """What the mapping does not find. Told with the mapping's field and the value that is there."""


class _Scope:
    """What paths are looked up in: one item, the message around it, the topic's parts."""

    def __init__(self, item: Any, message: Any, parts: Any, known: dict[At, Any]) -> None:
        self.roots: dict[str, Any] = {"item": item, "message": message, "topic": parts}
        self.known = known
        """What was found in the message around the items: looked up once, however many there are."""

    def find(self, path: At) -> Any:
        if path.root != "message":
            return path.find(self.roots[path.root])
        if path not in self.known:
            self.known[path] = path.find(self.roots["message"])
        return self.known[path]

    def put(self, path: At, value: Any) -> None:
        path.put(self.roots[path.root], value)
        self.known.clear()


class MappingCodec:
    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self._read = [
            ([path.steps for path in form.paths("item")], [path.steps for path in form.paths("message")])
            for form in mapping.reports
        ]

    def __call__(self, arrival: Arrival) -> list[Decoded | Unusable]:
        """Under a report topic (of a device whose ledger names this mapping) the topic says whose it is."""
        own = parse_report_topic(arrival.topic)
        levels = arrival.topic.split("/")
        parts = next((named for one in self.mapping.topics if (named := parts_of(one, levels)) is not None), {})
        found: list[Decoded | Unusable] = []
        for document in self.mapping.format.documents(arrival):
            if isinstance(document, Unusable):
                found.append(document._replace(device_id=own.device_id if own is not None else None))
                continue
            found.extend(self._reports(document, parts, own))
        return found

    def _reports(
        self, document: Document, parts: dict[str, str], own: ReportTopic | None
    ) -> Iterator[Decoded | Unusable]:
        content, payload = document
        scope = _Scope(content, content, parts, {})
        why: str | None = None
        for place, form in enumerate(self.mapping.reports):
            why = failing(scope.find, form.when)
            if why is None:
                yield from self._of_form(place, form, scope, payload, own)
                return
        missed = "" if len(self.mapping.reports) == 1 else "none of its forms fits; of the last, "
        yield Unusable(
            payload,
            Rejection.mapping_failed,
            f"{self.mapping.name}: when: {missed}{why}",
            own.device_id if own else None,
        )

    def _of_form(
        self, place: int, form: Form, scope: _Scope, payload: bytes, own: ReportTopic | None
    ) -> Iterator[Decoded | Unusable]:
        if form.items is None:
            yield self._report(place, form, scope, payload, own)
            return
        try:
            items = self._items(form.items, scope.roots["message"], payload)
        except FrameError as error:
            yield Unusable(payload, error.reason, f"{self.mapping.name}: {error}", own.device_id if own else None)
            return
        known: dict[At, Any] = {}
        for item, alone in items:
            around = _Scope(item, scope.roots["message"], scope.roots["topic"], known)
            yield self._report(place, form, around, alone, own)

    def _items(self, path: At, content: dict[str, Any], payload: bytes) -> Iterator[tuple[Any, bytes]]:
        """Each item with a message that holds it alone: that is what quarantine keeps of it, and can replay."""
        items = path.find(content)
        if not isinstance(items, list):
            raise FrameError(Rejection.mapping_failed, f"items {path}: {shown(items)} is no list")
        if not items:
            raise FrameError(Rejection.empty, f"items {path}: a list without items")
        if len(items) > MOST_REPORTS:
            raise FrameError(
                Rejection.too_large, f"items {path}: {len(items)}, at most {MOST_REPORTS} are taken at once"
            )
        path.put(content, [])
        around = len(self._again(content))
        if around * len(items) + len(payload) > MOST_BYTES:
            detail = f"items {path}: {len(items)} with {around} bytes around each are more than {MOST_BYTES}"
            raise FrameError(Rejection.too_large, detail)
        return self._alone(path, content, items)

    def _alone(self, path: At, content: dict[str, Any], items: list[Any]) -> Iterator[tuple[Any, bytes]]:
        for item in items:
            path.put(content, [item])
            alone = self._again(content)
            path.put(content, [])
            yield item, alone

    def _again(self, content: dict[str, Any]) -> bytes:
        if not isinstance(self.mapping.format, Json | Cbor):
            raise TypeError(f"{self.mapping.name}: format {self.mapping.format.kind} has no items")
        return self.mapping.format.again(content)

    def _report(
        self, place: int, form: Form, scope: _Scope, payload: bytes, own: ReportTopic | None
    ) -> Decoded | Unusable:
        device_id = own.device_id if own is not None else None
        try:
            self._unpack(form, scope)
            device_id = device_id or self._device_id(form, scope)
            family = own.family if own is not None else self._family(form, scope)
            report = self._content(place, form, scope)
        except FrameError as error:
            return Unusable(payload, error.reason, f"{self.mapping.name}: {error}", device_id)
        except _FailedError as error:
            return Unusable(payload, Rejection.mapping_failed, f"{self.mapping.name}: {error}", device_id)
        return Decoded(device_id, report, payload, own.area if own is not None else None, family)

    def _unpack(self, form: Form, scope: _Scope) -> None:
        for path, packed in form.unpack.items():
            text = scope.find(path)
            if isinstance(text, str):
                try:
                    scope.put(path, unpack(packed, text))
                except FrameError as error:
                    raise FrameError(error.reason, f"unpack.{path} = {shown(text)}: {error}") from None

    def _device_id(self, form: Form, scope: _Scope) -> str:
        where = " or ".join(str(path) for path in form.id.path)
        raw = first(scope.find, form.id.path)
        if raw is None:
            raise _FailedError(f"id {where}: nothing is there")
        if form.id.agrees is not None:
            other = scope.find(form.id.agrees)
            if other is not None and (not is_scalar(other) or str(other) != str(raw)):
                raise _FailedError(f"id {where} = {shown(raw)}, but {form.id.agrees} = {shown(other)}")
        text = str(raw) if isinstance(raw, str | int) and not isinstance(raw, bool) and is_scalar(raw) else ""
        device_id = form.id.prefix + text[:256].translate(dict.fromkeys(map(ord, form.id.remove)))
        if not text or not DEVICE_ID.fullmatch(device_id):
            raise _FailedError(f"id {where} = {shown(raw)}: a device_id has 1 to 64 of A-Z a-z 0-9 _ -")
        return device_id

    def _family(self, form: Form, scope: _Scope) -> str | None:
        if not isinstance(form.family, FamilyByValue):
            return form.family
        raw = first(scope.find, form.family.path)
        families = {as_key(value): family for value, family in form.family.families.items()}
        family = families.get(as_key(raw)) if is_scalar(raw) else None
        if family is None:
            where = " or ".join(str(path) for path in form.family.path)
            raise _FailedError(f"family {where} = {shown(raw)}, not {' or '.join(form.family.families)}")
        return family

    def _content(self, place: int, form: Form, scope: _Scope) -> dict[str, Any]:
        report: dict[str, Any] = {}
        for time in form.time:
            ts = time.read(scope.find)
            if ts is not None:
                report["ts"] = ts
                break
        if form.seq is not None and (seq := first(scope.find, form.seq)) is not None:
            number = to_number(seq, "") if isinstance(seq, str) else None
            report["seq"] = int(number) if number is not None and float(number).is_integer() else seq
        read = {name: value.read(scope.find) for name, value in form.values.items()}
        report["values"] = {name: value for name, value in read.items() if value is not MISSING}
        if form.values and not report["values"]:
            paths = (str(path) for value in form.values.values() for path in value.path)
            raise _FailedError(f"values: nothing is at any of {', '.join(dict.fromkeys(paths))}")
        of_item, of_message = self._read[place]
        alone = form.items is None
        rest = without(scope.roots["item"], of_item + (of_message if alone else []))
        if rest is not None:
            report["unmapped"] = rest
        if form.items is not None:
            around = without(scope.roots["message"], [*of_message, form.items.steps])
            if around is not None:
                report["around"] = around
        return report
