"""What a vendor's messages are written in, as a mapping declares it: from bytes to documents with names in them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import cbor2
from pydantic import BeforeValidator, Field

from ingest import decode as native
from ingest.arrival import Arrival
from ingest.codecs import cbor_v1, hj212, json_v1
from ingest.codecs.contract import Unusable
from ingest.codecs.conversions import Strict
from ingest.codecs.layout import FrameError, Layout
from ingest.codecs.pairs import pairs
from ingest.reasons import Rejection
from underfoot.reports import canonical

MOST_TEXT_BYTES = 65_536

Encoding = Literal["utf-8", "gb18030"]


class Document(NamedTuple):
    """One message of a payload, taken apart, and the bytes that it is."""

    content: dict[str, Any]
    payload: bytes


class Json(Strict):
    kind: Literal["json"]
    encoding: Encoding = "utf-8"

    def documents(self, arrival: Arrival) -> list[Document | Unusable]:
        if self.encoding != "utf-8":
            try:
                arrival = arrival._replace(payload=arrival.payload.decode(self.encoding).encode())
            except UnicodeDecodeError as error:
                return [Unusable(arrival.payload, Rejection.undecodable, str(error))]
        found = json_v1.objects(arrival)
        return [
            Document(part.report, self._as_sent(part.payload))
            if isinstance(part, native.Item)
            else part._replace(payload=self._as_sent(part.payload))
            for part in found
        ]

    def again(self, content: dict[str, Any]) -> bytes:
        """Bytes that are read as this document."""
        return self._as_sent(canonical(content))

    def _as_sent(self, payload: bytes) -> bytes:
        return payload if self.encoding == "utf-8" else payload.decode().encode(self.encoding)


class Cbor(Strict):
    kind: Literal["cbor"]

    def documents(self, arrival: Arrival) -> list[Document | Unusable]:
        found: list[Document | Unusable] = []
        for part in cbor_v1.objects(arrival.payload):
            if isinstance(part, Unusable):
                found.append(part)
                continue
            try:
                found.append(Document(cbor_v1.plain(part[0]), part[1]))
            except cbor_v1.TwiceError as twice:
                found.append(Unusable(part[1], Rejection.undecodable, str(twice)))
        return found

    def again(self, content: dict[str, Any]) -> bytes:
        return cbor2.dumps(content)


class Binary(Layout):
    """Bytes of a fixed layout, as they are or written as text."""

    kind: Literal["binary"]
    text: Literal["hex", "base64"] | None = None

    def documents(self, arrival: Arrival) -> list[Document | Unusable]:
        return _only(arrival, lambda: self.read(self._raw(arrival.payload)))

    def _raw(self, payload: bytes) -> bytes:
        if self.text is None:
            return payload
        if len(payload) > MOST_TEXT_BYTES:
            raise FrameError(Rejection.too_large, f"{len(payload)} bytes of {self.text}")
        try:
            if self.text == "hex":
                return bytes.fromhex(payload.decode("ascii").strip().removeprefix("0x"))
            text = b"".join(payload.split()).translate(bytes.maketrans(b"-_", b"+/"))
            return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
        except ValueError as error:
            raise FrameError(Rejection.undecodable, f"not {self.text}: {error}") from None


class Text(Strict):
    """Keys and values: `tilt=22.4;battery=89`."""

    kind: Literal["text"]
    between: str = Field(";", min_length=1, max_length=4)
    equals: str = Field("=", min_length=1, max_length=4)
    encoding: Encoding = "utf-8"

    def documents(self, arrival: Arrival) -> list[Document | Unusable]:
        def read() -> dict[str, Any]:
            if len(arrival.payload) > MOST_TEXT_BYTES:
                raise FrameError(Rejection.too_large, f"{len(arrival.payload)} bytes of text")
            try:
                found = pairs(arrival.payload.decode(self.encoding), self.between, self.equals)
            except UnicodeDecodeError as error:
                raise FrameError(Rejection.undecodable, str(error)) from None
            if not found:
                raise FrameError(Rejection.empty, "no key and value")
            return found

        return _only(arrival, read)


class Hj212(Strict):
    """HJ 212-2017 packets: their length and CRC are proven; a command's parameters stand under `CP`."""

    kind: Literal["hj212"]

    def documents(self, arrival: Arrival) -> list[Document | Unusable]:
        found: list[Document | Unusable] = []
        for packet, segment in hj212.segments(arrival.payload):
            try:
                if isinstance(segment, FrameError):
                    raise segment
                found.append(Document(hj212.read_segment(segment), packet))
            except FrameError as error:
                found.append(Unusable(packet, error.reason, str(error)))
        return found or [Unusable(arrival.payload, Rejection.empty, "no bytes")]


AnyFormat = Json | Cbor | Binary | Text | Hj212


def _short(given: Any) -> Any:
    return {"kind": given} if isinstance(given, str) else given


Format = Annotated[Annotated[AnyFormat, Field(discriminator="kind")], BeforeValidator(_short)]
"""A format, or only its kind."""


def unpack(form: AnyFormat, text: str) -> dict[str, Any]:
    """The one document that a text inside a message is. `FrameError` where it is none, or several."""
    payload = text.encode("utf-8", "replace")
    documents = form.documents(Arrival("", payload, 0, 0, False, False, 0, 0))
    first = documents[0]
    if isinstance(first, Unusable):
        raise FrameError(first.reason, first.detail)
    if len(documents) > 1:
        raise FrameError(Rejection.mapping_failed, f"{len(documents)} messages in one text")
    return first.content


def _only(arrival: Arrival, read: Callable[[], dict[str, Any]]) -> list[Document | Unusable]:
    try:
        return [Document(read(), arrival.payload)]
    except FrameError as error:
        return [Unusable(arrival.payload, error.reason, str(error))]
