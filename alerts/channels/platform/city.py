"""A city's configuration: in what its platform differs from others. Read from YAML, kept as a sink's config.

What it does not say, the shipped configuration that it is `based_on` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from alerts.channels.answers import Codes, SecretHeaders, SecretUrl, host
from alerts.channels.interface import ChannelConfig
from alerts.channels.platform.callbacks import Callbacks, Path
from alerts.channels.platform.coordinates import System
from alerts.channels.platform.envelope import Envelope
from alerts.channels.platform.fields import STANDS_FOR
from alerts.channels.platform.query import Query
from alerts.channels.platform.shipped import SHIPPED
from alerts.channels.platform.signers import Signer
from alerts.channels.platform.signers.fixed import NoSigner
from alerts.channels.platform.strict import Strict
from alerts.channels.platform.template import Part, Written, compiled
from alerts.channels.shipped import GENERIC
from alerts.record.snapshot import Notice

_SECTIONS = ("callbacks", "query", "indicators")
"""Of these, what a configuration does not say itself stands in the one that it is based on, setting by setting."""


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone; one like Asia/Shanghai or UTC is needed") from None
    return name


def _form(form: str) -> str:
    if "%" not in form:
        raise ValueError("a format with % is needed, e.g. %Y-%m-%d %H:%M:%S")
    datetime(2026, 7, 1, tzinfo=ZoneInfo("UTC")).strftime(form)
    return form


def _code(given: Any) -> Any:
    """A code in a list: a number however it is written, or a word."""
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, str) and given.removeprefix("-").isdecimal() and given.isascii():
        return int(given)
    return given


CodeSet = frozenset[Annotated[int | str, BeforeValidator(_code)]]


class Times(Strict):
    """How times are written, unless a field says otherwise. Inside, all times are UTC."""

    format: Annotated[str, AfterValidator(_form)] = "%Y-%m-%d %H:%M:%S"
    zone: Annotated[str, AfterValidator(_zone)] = "Asia/Shanghai"

    @cached_property
    def written(self) -> Written:
        return Written(self.format, ZoneInfo(self.zone))


class Coordinates(Strict):
    system: System = Field("cgcs2000", description="cgcs2000 (here the same as wgs84), gcj02 or bd09")
    decimals: int = Field(6, ge=0, le=10)


class IndicatorMessage(Strict):
    """A day's indicators as one message, of a platform that we are linked up to."""

    url: SecretUrl | None = Field(None, description="Where it takes them; null: it is not told them")
    template: dict[str, Any] = Field(min_length=1, description="Its fields, made of ours (docs/upward.md)")

    @field_validator("template")
    @classmethod
    def _template_is_one(cls, given: dict[str, Any]) -> dict[str, Any]:
        compiled(given, of="indicators")
        return given

    @cached_property
    def message(self) -> Part:
        return compiled(self.template, of="indicators")


class PlatformConfig(ChannelConfig):
    based_on: str = Field(GENERIC, description="The shipped configuration that says what this one does not")
    about: str = Field("", description="For people: which platform, and where the facts are from")
    url: SecretUrl = Field(description="Where the platform takes events")
    urls: dict[Notice, SecretUrl] = Field(
        default_factory=dict, description="Where it takes some notices instead: raise, change, clear, correct, escalate"
    )
    method: Literal["POST", "PUT"] = Field("POST", description="How it takes them: POST or PUT")
    encoding: Literal["json", "form"] = Field("json", description="How the body is written: json, or form")
    headers: SecretHeaders = Field(default_factory=dict, description="Fixed headers, e.g. Authorization")
    push_id_header: str | None = Field(
        "X-Push-Id", pattern=r"^[A-Za-z0-9-]+$", description="Header with the delivery's key; null: none"
    )
    signer: Signer = Field(
        default_factory=NoSigner, description="How requests are signed: none, headers, tif, rio, parameters, sm4-sm2"
    )
    callback_url: str | None = Field(None, description="Where the platform reports what became of an event")
    callbacks: Callbacks = Field(Callbacks(), description="What it reports, and how it shows that it is the platform")
    query: Query | None = Field(None, description="How it is asked what it has of us; null: it cannot be")
    indicators: IndicatorMessage | None = Field(
        None, description="How a day's indicators are told, upward; null: they are not"
    )
    template: dict[str, Any] = Field(
        default_factory=dict, description="The platform's fields, made of ours (docs/platforms.md)"
    )
    envelope: Any = Field("$body", description="What stands around the template: $body is it, $body_text its JSON text")
    upsert_key: Path | None = Field(None, description="By which part of the message the platform knows a repeat")
    times: Times = Field(Times(), description="How times are written: format and zone")
    coordinates: Coordinates = Field(
        Coordinates(), description="system (cgcs2000, wgs84, gcj02, bd09) and decimals of lon and lat"
    )
    code_path: Path = Field("code", description="Where the code stands in the answer")
    number_path: Path | None = Field(None, description="Where the platform's own number stands in the answer")
    success_codes: CodeSet = Field(frozenset({0, 200}), description="Codes that mean: taken", min_length=1)
    busy_codes: CodeSet = Field(frozenset({429}), description="… that mean: later")
    sink_failure_codes: CodeSet = Field(
        frozenset({401, 403, 404}), description="… that mean: key, token or address is wrong"
    )
    bad_message_codes: CodeSet = Field(
        frozenset({400, 413, 422}), description="… that mean: this message will never be taken"
    )

    @model_validator(mode="before")
    @classmethod
    def _on_its_base(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        unknown = [name for name in given if name not in cls.model_fields]
        if unknown:
            raise ValueError(
                f"there is no setting {', '.join(map(repr, unknown))}; there are {', '.join(cls.model_fields)}"
            )
        base = SHIPPED.base_of(given)
        whole = {**base, **given}
        for name in _SECTIONS:
            below, own = base.get(name), given.get(name)
            if isinstance(below, Mapping) and isinstance(own, Mapping):
                whole[name] = {**below, **own}
        heard, query = whole.get("callbacks"), whole.get("query")
        if isinstance(heard, Mapping) and isinstance(query, Mapping):
            read = {part: heard[part] for part in ("fields", "statuses") if part in heard}
            whole["query"] = {**read, **query}
        return whole

    @field_validator("template")
    @classmethod
    def _template_is_one(cls, given: dict[str, Any]) -> dict[str, Any]:
        if not given:
            raise ValueError("at least one field is needed")
        compiled(given)
        return given

    @field_validator("envelope")
    @classmethod
    def _envelope_is_one(cls, given: Any) -> Any:
        Envelope(given)
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        claimed: dict[int | str, str] = {}
        for name in ("success_codes", "busy_codes", "sink_failure_codes", "bad_message_codes"):
            for code in getattr(self, name):
                if code in claimed:
                    raise ValueError(f"{name} = {code!r}: is in {claimed[code]} too; a code means one thing")
                claimed[code] = name
        if self.upsert_key is not None:
            self._check_upsert_key(self.upsert_key)
        whole = self.enclosed_by.is_object
        if not whole and self.encoding == "form":
            raise ValueError("encoding = 'form': the envelope must be an object then")
        if not whole and self.signer.needs_object:
            raise ValueError(f"signer.kind = {self.signer.kind!r}: signs an object's fields; the envelope is none")
        return self

    def _check_upsert_key(self, path: str) -> None:
        part: Any = self.template
        for name in path.split("."):
            part = part.get(name) if isinstance(part, Mapping) else None
        if part is None:
            raise ValueError(f"upsert_key = {path!r}: the template has nothing there")
        fields = compiled(part).fields()
        if not fields & {"push_id", "event_id", "event_ids"} and not fields >= {"alarm", "episode"}:
            raise ValueError(
                f"upsert_key = {path!r}: must be made of push_id, of event_id, or of alarm and episode: else two events"
                " are one to the platform"
            )

    @cached_property
    def message(self) -> Part:
        return compiled(self.template)

    @cached_property
    def enclosed_by(self) -> Envelope:
        return Envelope(self.envelope)

    def place(self) -> str:
        return host(self.url)

    def address(self, notice: Notice) -> str:
        found = self.urls.get(notice) or self.urls.get(STANDS_FOR.get(notice, notice)) or self.url
        return found.get_secret_value()

    def codes(self, *, required: bool = True) -> Codes:
        return Codes(
            (self.code_path,),
            self.success_codes,
            self.busy_codes,
            self.sink_failure_codes,
            self.bad_message_codes,
            required=required,
            worded=True,
        )
