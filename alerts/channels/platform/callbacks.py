"""What a city's platform tells back of a case, as its configuration has it: the section `callbacks`.

Which of its fields mean what, what its statuses are to us, and how it shows that it is the platform. Data: a platform
with other names is another file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import orjson
from pydantic import BeforeValidator, Field, field_validator

from alerts.cases.states import CaseState
from alerts.channels.answers import at
from alerts.channels.platform.strict import Strict
from alerts.channels.platform.verifiers import Verifier

Said = Literal[
    "push_id", "event_id", "platform_no", "status", "at", "operator", "note", "supervised", "rework", "duplicate_of"
]
"""What may be read from a callback, or from a line of a platform's list."""

IDS: tuple[Said, ...] = ("push_id", "event_id", "platform_no")
"""By which it may be known which case it is about."""

Path = Annotated[str, Field(pattern=r"^[^.\s]+(\.[^.\s]+)*$")]
"""Names and positions with dots between: data.list.0.id"""


def _list(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


Aliases = Annotated[tuple[Path, ...], BeforeValidator(_list)]


def _by_text(given: Any) -> Any:
    """YAML's keys may be numbers or truth values, JSON's are text."""
    if not isinstance(given, Mapping):
        return given
    return {str(key).lower() if isinstance(key, bool) else str(key): value for key, value in given.items()}


Statuses = Annotated[dict[str, CaseState], BeforeValidator(_by_text)]

_LONGEST = 500
"""Characters of a note that are kept; more is in the callback's own row."""
_LONGEST_ID = 200
_NO_TIME_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
"""What is earlier stands for no time at all: 0001-01-01, 1970-01-01, as programs write what they do not know."""


AT_MOST = 1000
"""Callbacks in a list."""


class CallbackError(ValueError):
    """A callback that cannot be understood: says which field, and what may stand there."""


@dataclass(frozen=True)
class Heard:
    """What a platform says of a case at one moment. `at`: by its own clock; None where it says none."""

    push_id: str | None
    event_id: str | None
    platform_no: str | None
    status: str
    state: CaseState
    at: datetime | None
    operator: str | None
    note: str
    supervised: bool | None
    rework: int | None
    duplicate_of: str | None = None

    def digest(self) -> bytes:
        """The same again has the same; without a time nobody can tell the same again from the next of its kind."""
        whole = [self.status, str(self.at), self.operator, self.note, self.supervised, self.rework]
        if self.duplicate_of is not None:
            whole.append(self.duplicate_of)
        return hashlib.sha256(orjson.dumps(whole)).digest()[:16]


class Reading(Strict):
    """How what a platform says of a case is read: shared by callbacks and by its list."""

    fields: dict[Said, Aliases] = Field(
        default_factory=dict,
        description="Our name → the platform's names for it, of which the first that is there counts",
    )
    statuses: Statuses = Field(default_factory=dict, description="The platform's status → ours (docs/cases.md)")

    @field_validator("fields")
    @classmethod
    def _enough(cls, fields: dict[Said, Aliases]) -> dict[Said, Aliases]:
        if fields and "status" not in fields:
            raise ValueError("status: is needed: without it nothing is said")
        if fields and not fields.keys() & set(IDS):
            raise ValueError(
                "one of push_id, event_id, platform_no is needed: else nobody knows which case it is about"
            )
        return fields

    def heard(self, body: Mapping[str, Any], form: str, zone: ZoneInfo) -> Heard:
        """`form` and `zone`: how the platform writes times. Raises CallbackError."""
        status, state = self._state(body)
        return Heard(
            self._id(body, "push_id"),
            self._id(body, "event_id"),
            self._id(body, "platform_no"),
            status,
            state,
            self._moment(body, form, zone),
            (self._text(body, "operator") or "")[:_LONGEST] or None,
            (self._text(body, "note") or "")[:_LONGEST],
            self._truth(body, "supervised"),
            self._number(body, "rework"),
            self._other_case(body),
        )

    def named(self, body: Mapping[str, Any]) -> dict[str, str | None]:
        """Which case it is about, as far as that can be read; nothing is raised."""
        return {name: self._id_if_read(body, name) for name in IDS}

    def names(self, name: Said) -> Aliases:
        return self.fields.get(name, ())

    def _first(self, body: Mapping[str, Any], name: Said) -> tuple[str, Any] | None:
        return next(self._all(body, name), None)

    def _all(self, body: Mapping[str, Any], name: Said) -> Iterator[tuple[str, Any]]:
        return ((path, found) for path in self.names(name) if (found := at(body, path)) not in (None, ""))

    def _text(self, body: Mapping[str, Any], name: Said) -> str | None:
        first = self._first(body, name)
        if first is None:
            return None
        path, found = first
        if isinstance(found, bool) or not isinstance(found, (str, int, float)):
            raise CallbackError(f"{path} = {_shown(found)}: text is needed")
        return str(found).replace("\x00", "")

    def _id(self, body: Mapping[str, Any], name: Said) -> str | None:
        text = self._text(body, name)
        if text is not None and len(text) > _LONGEST_ID:
            raise CallbackError(
                f"{self.names(name)[0]} = {_shown(text)}: has {len(text)} characters; at most {_LONGEST_ID} are an id"
            )
        return text

    def _id_if_read(self, body: Mapping[str, Any], name: Said) -> str | None:
        try:
            return self._id(body, name)
        except CallbackError:
            return None

    def _state(self, body: Mapping[str, Any]) -> tuple[str, CaseState]:
        """The first of its statuses that we know: one that is finer may have values of which we know nothing."""
        seen: list[str] = []
        for path, found in self._all(body, "status"):
            said = str(found).lower() if isinstance(found, bool) else str(found)
            if said in self.statuses:
                return said, self.statuses[said]
            seen.append(f"{path} = {_shown(found)}")
        if not seen:
            raise CallbackError(f"{' or '.join(self.names('status'))}: is missing")
        raise CallbackError(f"{', '.join(seen)}: is no status that was agreed on; there are {', '.join(self.statuses)}")

    def _moment(self, body: Mapping[str, Any], form: str, zone: ZoneInfo) -> datetime | None:
        first = self._first(body, "at")
        if first is None:
            return None
        path, found = first
        if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 10**14:
            return _known(datetime.fromtimestamp(found / 1000 if found >= 10**11 else found, UTC))
        if isinstance(found, str):
            try:
                read = datetime.strptime(found, form)  # noqa: DTZ007 - the zone is the platform's, below
            except ValueError:
                read = None
            if read is not None:
                return _known(read if read.tzinfo is not None else read.replace(tzinfo=zone))
        raise CallbackError(f"{path} = {_shown(found)}: a time like {datetime.now(zone).strftime(form)} is needed")

    def _other_case(self, body: Mapping[str, Any]) -> str | None:
        """The citizen's case that goes on instead. 0, and its own number, name none: nobody would look at its end."""
        named = self._id(body, "duplicate_of")
        return None if named in ("0", self._id(body, "platform_no")) else named

    def _truth(self, body: Mapping[str, Any], name: Said) -> bool | None:
        first = self._first(body, name)
        if first is None:
            return None
        path, found = first
        known = {"true": True, "1": True, "是": True, "false": False, "0": False, "否": False}
        said = known.get(str(found).lower())
        if said is None:
            raise CallbackError(f"{path} = {_shown(found)}: true or false is needed")
        return said

    def _number(self, body: Mapping[str, Any], name: Said) -> int | None:
        text = self._text(body, name)
        if text is None:
            return None
        if not text.isascii() or not text.isdecimal() or len(text) > 6:
            raise CallbackError(f"{self.names(name)[0]} = {_shown(text)}: a number is needed")
        return int(text)


class Callbacks(Reading):
    """Without a signer, callbacks are not taken."""

    signer: Verifier | None = Field(
        None, description="How the platform shows who it is: none, headers, tif, rio, parameters, sm4-sm2"
    )
    list: Path | None = Field(
        None, description="Where a list of callbacks stands in a body that has several; a body without it is one"
    )
    time: str | None = Field(None, description="Format of its times; by default that of `times`")
    success_code: int = Field(0, description="The code of our answer to what was taken")

    def listed(self, body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
        """The callbacks of a body that has a list of them; None: it is one itself. Raises CallbackError."""
        found = at(body, self.list) if self.list is not None else None
        if found is None:
            return None
        if not isinstance(found, Sequence) or isinstance(found, str) or not found:
            raise CallbackError(f"{self.list} = {_shown(found)}: a list of callbacks is needed")
        if len(found) > AT_MOST:
            raise CallbackError(f"{self.list}: has {len(found)} callbacks; at most {AT_MOST} are taken at a time")
        for number, one in enumerate(found):
            if not isinstance(one, Mapping):
                raise CallbackError(f"{self.list}.{number} = {_shown(one)}: an object is needed")
        return found


def _known(moment: datetime) -> datetime | None:
    return moment if moment >= _NO_TIME_BEFORE else None


def _shown(found: Any) -> str:
    text = repr(found)
    return text if len(text) <= 80 else f"{text[:77]}..."
