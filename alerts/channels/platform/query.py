"""Asking a city's platform what it has of us, as its configuration has it: the section `query`.

A list in pages, or certain cases by their ids. One page is held at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import orjson
from pydantic import Field, PlainSerializer, model_validator

from alerts.channels.answers import Codes, SecretUrl, at, judge
from alerts.channels.interface import Delivered, Retry
from alerts.channels.line import Line, UnansweredError, UnreachedError, UntrustedError
from alerts.channels.platform.callbacks import CallbackError, Heard, Path, Reading
from alerts.channels.platform.signers.draft import Attempt, Draft, SignerSettings, parameter

LONGEST_PAGE = 16 * 1024 * 1024
_ATTEMPTS = 4
_PAUSE_S = 0.5
_MOST_PAGES = 1_000_000

FEW = 20
"""Of fewer cases any share may be missing."""

_TimeOfDay = Annotated[time, PlainSerializer(lambda value: f"{value:%H:%M}", return_type=str)]


class QueryError(Exception):
    """The platform could not be asked, or its answer cannot be read; says which."""


class Query(Reading):
    """`fields` and `statuses`: as of callbacks, unless its list has other names."""

    url: SecretUrl = Field(description="Where it lists its cases")
    method: Literal["GET", "POST"] = Field("GET", description="GET: parameters in the query; POST: as a JSON body")
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description='What is sent for a page: "{after}", "{page}" (from 1) and "{size}" are filled in',
    )
    ids: dict[str, Any] | None = Field(
        None,
        description='What is sent for certain cases: "{ids}" is their list. null: it cannot be asked for certain ones',
    )
    ids_are: Literal["platform_no", "event_id"] = Field("platform_no", description="By which ids it is asked")
    size: int = Field(500, ge=1, le=10_000, description="Cases a page")
    items: Path | None = Field("data", description="Where the list stands in the answer; null: the answer is the list")
    next: Path | None = Field(
        None,
        description="Where the answer says what `{after}` is for the next page; null: the last case's number is it",
    )
    most_missing_percent: int = Field(
        50,
        ge=0,
        le=100,
        description=f"Where more of the open cases that it should have are missing (of {FEW} at least), its answer is"
        " not believed, and nothing is mended; 100: it always is",
    )
    daily_at: _TimeOfDay | None = Field(time(3), description="When all is compared, by the city's clock; null: never")
    open_every_min: int | None = Field(60, ge=1, description="How often open cases are compared (minutes); null: never")

    @model_validator(mode="after")
    def _ends(self) -> Self:
        text = str(self.parameters)
        if "{after}" not in text and "{page}" not in text:
            raise ValueError('parameters: "{after}" or "{page}" must stand in them: else every page is the first')
        if self.next is not None and "{after}" not in text:
            raise ValueError('next: belongs to "{after}" in parameters')
        if self.ids is not None and "{ids}" not in str(self.ids):
            raise ValueError('ids: "{ids}" must stand in it')
        return self


@dataclass(frozen=True)
class Unread:
    """A line of the list that cannot be understood; of which case, if that much can be. What is listed is there."""

    line: str
    why: str
    push_id: str | None = None
    event_id: str | None = None
    platform_no: str | None = None


@dataclass(frozen=True)
class Asking:
    """All that asking takes; `form` and `zone` are how the platform writes times."""

    query: Query
    signer: SignerSettings
    headers: Mapping[str, str]
    codes: Codes
    form: str
    zone: ZoneInfo
    line: Line
    stop: threading.Event = field(default_factory=threading.Event)
    """Once set, nothing more is asked."""

    def everything(self) -> Iterator[list[Heard | Unread]]:
        """Page by page, as the platform orders them."""
        after: Any = ""
        for page in range(1, _MOST_PAGES):
            answer = self._ask(self.query.parameters, {"after": after, "page": page, "size": self.query.size})
            lines = self._lines(answer)
            if lines:
                yield [self._read(line) for line in lines]
            following = self._following(answer, lines)
            if following is None:
                return
            if following == after and "{page}" not in str(self.query.parameters):
                raise QueryError(
                    f"{self.query.next or 'platform_no'} = {after!r}: the next page would be the same again"
                )
            after = following

    def certain(self, ids: Sequence[str]) -> list[Heard | Unread]:
        """What it has of these."""
        if self.query.ids is None:
            raise QueryError("query.ids: is not set: the platform cannot be asked for certain cases")
        answer = self._ask(self.query.ids, {"ids": list(ids), "size": self.query.size})
        return [self._read(line) for line in self._lines(answer)]

    def _following(self, answer: Any, lines: list[Any]) -> Any:
        """What `{after}` is for the next page; None: this was the last."""
        if self.query.next is not None:
            return at(answer, self.query.next) or None
        if len(lines) < self.query.size:
            return None
        last = next((at(lines[-1], path) for path in self.query.names("platform_no") if at(lines[-1], path)), None)
        if last is None and "{after}" in str(self.query.parameters):
            raise QueryError(f"{' or '.join(self.query.names('platform_no'))}: is missing in the last case of a page")
        return last or ""

    def _lines(self, answer: Any) -> list[Any]:
        found = answer if self.query.items is None else at(answer, self.query.items)
        if found is None:
            # Not an empty list: it might as well be an error that says it is none.
            raise QueryError(f"{self.query.items or 'the answer'}: is missing; a list is needed, if an empty one")
        if not isinstance(found, list):
            raise QueryError(f"{self.query.items or 'the answer'}: a list is needed, not {type(found).__name__}")
        return found

    def _read(self, line: Any) -> Heard | Unread:
        if not isinstance(line, dict):
            return Unread(repr(line)[:200], "it is no object")
        try:
            return self.query.heard(line, self.form, self.zone)
        except CallbackError as error:
            return Unread(orjson.dumps(line).decode()[:200], str(error), **self.query.named(line))

    def _ask(self, given: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        for attempt in range(_ATTEMPTS):
            if attempt:
                self.stop.wait(_PAUSE_S * 2**attempt)
            if self.stop.is_set():
                raise QueryError("stopped before it was over")
            try:
                answer = self.line.request(*self._request(given, values))
            except (UnreachedError, UnansweredError) as error:
                said: str = str(error)
                continue
            except UntrustedError as error:
                raise QueryError(str(error)) from None
            outcome = judge(answer, self.codes)
            if isinstance(outcome, Delivered):
                try:
                    return orjson.loads(answer.body)
                except orjson.JSONDecodeError:
                    long = f", which is longer than {LONGEST_PAGE} bytes: ask for fewer (query.size)"
                    raise QueryError(
                        f"the answer is no JSON{long if len(answer.body) >= LONGEST_PAGE else ''}: {answer.shown}"
                    ) from None
            said = outcome.error
            if not isinstance(outcome, Retry):
                break
        raise QueryError(said)

    def _request(self, given: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[str, str, bytes, dict[str, str]]:
        body = _filled(given, values, joined=self.query.method == "GET")
        url = self.query.url.get_secret_value()
        draft = self.signer.sign(Draft(self.query.method, url, dict(self.headers), body), Attempt())
        if self.query.method == "POST":
            return draft.method, draft.url, orjson.dumps(draft.body), draft.headers
        joint = "&" if "?" in draft.url else "?"
        query = urlencode({name: parameter(value) for name, value in draft.body.items()})
        return draft.method, f"{draft.url}{joint}{query}" if query else draft.url, b"", draft.headers


def _filled(given: Any, values: Mapping[str, Any], *, joined: bool) -> Any:
    """What is one value and nothing else is sent as what it is; a list in a GET is joined with commas."""
    if isinstance(given, Mapping):
        return {name: _filled(part, values, joined=joined) for name, part in given.items()}
    if isinstance(given, list):
        return [_filled(part, values, joined=joined) for part in given]
    if not isinstance(given, str):
        return given
    for name, value in values.items():
        if given == f"{{{name}}}":
            return ",".join(value) if joined and isinstance(value, list) else value
    for name, value in values.items():
        given = given.replace(f"{{{name}}}", ",".join(value) if isinstance(value, list) else str(value))
    return given
