"""The platform's own part: takes events, once each, and watches the order of what it is told about an alarm."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simulators.platform.records import Record, Records

Envelope = dict[str, Any]
TAKEN = "success"
"""The message of an answer to what is new."""

_BESIDE = ("correct", "cancel", "progress")
"""What is told of a case beside its alarm's life: it may come after the end."""


class PlatformEvent(BaseModel):
    """What a push must say. More is kept."""

    model_config = ConfigDict(extra="allow")

    event_type: str = Field(min_length=1)
    location: str
    lat: float | None = Field(ge=-90, le=90)
    lon: float | None = Field(ge=-180, le=180)
    level: int = Field(ge=1, le=4)
    description: str = Field(min_length=1)
    time: str = Field(pattern=r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$")
    push_id: str = Field(min_length=1)
    notice: Literal["raise", "change", "clear", "correct", "escalate", "cancel", "progress"]
    alarm: str = Field(min_length=1)
    episode: int = Field(ge=1)
    transition_no: int = Field(ge=1)
    cleared_at: str | None = None


@dataclass
class _AlarmSeen:
    """`episode`: the last that was news. `past`: those that were over when they were raised, from late data.
    `cancelled`: those whose case was taken back, so that they may be raised anew."""

    episode: int = 0
    transition_no: int = 0
    open: bool = False
    raised: set[int] = field(default_factory=set)
    past: set[int] = field(default_factory=set)
    cancelled: set[int] = field(default_factory=set)


class Events:
    """One event is an (alarm, episode); each has a platform number, which every notice of it is answered with."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.platform_nos: dict[tuple[str, int], str] = {}
        self._digests: dict[str, tuple[bytes, str, str]] = {}
        self._alarms: dict[str, _AlarmSeen] = {}
        self._lost: set[tuple[str, int]] = set()
        """Of these the platform has forgotten the beginning: their order tells nothing until it is told that again."""
        for record in records.earlier:
            if record["kind"] == "event" and record["outcome"] in ("accepted", "lost"):
                self._restore(record)
            elif record["kind"] == "case" and record["outcome"] == "forgotten":
                self._forget_number(record["platform_no"])

    @property
    def open_events(self) -> int:
        return sum(seen.open for seen in self._alarms.values())

    def take(self, body: dict[str, Any], header_push_id: str | None, received_ms: float) -> tuple[int, Envelope]:
        """The HTTP status and the body of the answer."""
        try:
            event = PlatformEvent.model_validate(body)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            why = f"{'.'.join(map(str, first['loc']))} = {first['input']!r}: {first['msg']}"
            return self._refuse(400, "malformed", why, body, received_ms)
        if header_push_id != event.push_id:
            why = f"X-Push-Id = {header_push_id!r}, push_id = {event.push_id!r}: must be the same"
            return self._refuse(400, "push_id_differs", why, body, received_ms)
        digest = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).digest()
        known = self._digests.get(event.push_id)
        if known is not None:
            if known[0] != digest:
                why = f"push_id {event.push_id} came before with another body"
                return self._refuse(409, "push_id_reused", why, body, received_ms)
            self.records.add("event", "repeat", received_ms, push_id=event.push_id, platform_no=known[1], body=body)
            return 200, answer(0, "duplicate", known[1])
        for why, detail in self._news(event):
            self.records.violation(why, received_ms, detail, body)
        platform_no = self._number(event)
        self._digests[event.push_id] = (digest, platform_no, f"{event.alarm}-{event.episode}")
        self.records.add("event", "accepted", received_ms, push_id=event.push_id, platform_no=platform_no, body=body)
        return 200, answer(0, TAKEN, platform_no)

    def lose(self, body: dict[str, Any], header_push_id: str | None, received_ms: float) -> tuple[int, Envelope]:
        """Answer as if it had been taken, and know nothing of it."""
        try:
            event = PlatformEvent.model_validate(body)
        except ValidationError:
            return self.take(body, header_push_id, received_ms)
        if event.push_id in self._digests:
            return self.take(body, header_push_id, received_ms)
        self._lost.add((event.alarm, event.episode))
        platform_no = self._number(event)
        self.records.add("event", "lost", received_ms, push_id=event.push_id, platform_no=platform_no, body=body)
        return 200, answer(0, TAKEN, platform_no)

    def forget(self, key: str) -> None:
        """All that it was told of an event (`alarm-episode`) is gone."""
        alarm, _, episode = key.rpartition("-")
        self._lost.add((alarm, int(episode)))
        self._digests = {push_id: known for push_id, known in self._digests.items() if known[2] != key}

    def _news(self, event: PlatformEvent) -> list[tuple[str, str]]:
        key = (event.alarm, event.episode)
        if key not in self._lost:
            return self._disorder(event)
        seen = self._alarms.setdefault(event.alarm, _AlarmSeen())
        if event.notice == "raise":
            self._lost.discard(key)
            seen.raised.add(event.episode)
        if event.episode >= seen.episode:
            seen.open = event.notice != "clear"
            seen.episode = event.episode
        seen.transition_no = (
            event.transition_no if event.notice == "raise" else max(seen.transition_no, event.transition_no)
        )
        return []

    def _refuse(
        self, status: int, why: str, detail: str, body: dict[str, Any], received_ms: float
    ) -> tuple[int, Envelope]:
        self.records.violation(why, received_ms, detail, body)
        return status, answer(status, detail)

    def _disorder(self, event: PlatformEvent) -> list[tuple[str, str]]:
        """What is wrong with the order of this notice; and remember it."""
        seen = self._alarms.setdefault(event.alarm, _AlarmSeen())
        what = f"alarm {event.alarm} episode {event.episode} transition {event.transition_no} {event.notice}"
        before = f"after episode {seen.episode} transition {seen.transition_no}"
        found: list[tuple[str, str]] = []
        past = event.episode in seen.past or (event.notice == "raise" and event.cleared_at is not None)
        corrects = event.notice in _BESIDE and event.episode in seen.raised
        if event.transition_no <= seen.transition_no or (event.episode < seen.episode and not (past or corrects)):
            found.append(("out_of_order", f"{what} {before}"))
        if event.notice == "raise":
            if event.episode in seen.cancelled:
                seen.cancelled.discard(event.episode)  # what was merged into another case, and stands alone again
            elif event.episode in seen.raised:
                found.append(("raised_twice", what))
            elif seen.open and not past:
                found.append(("raised_while_open", f"{what} {before}, which was never cleared"))
            seen.raised.add(event.episode)
            if past:
                seen.past.add(event.episode)
        elif past or corrects:
            if event.notice == "cancel":
                seen.cancelled.add(event.episode)
        elif event.episode != seen.episode:
            found.append(("never_raised", what))
        elif not seen.open:
            found.append(("after_clear", what))
        if event.episode >= seen.episode and not (past or corrects):
            seen.open = event.notice != "clear"
            seen.episode = event.episode
        seen.transition_no = max(seen.transition_no, event.transition_no)
        return found

    def _number(self, event: PlatformEvent) -> str:
        key = (event.alarm, event.episode)
        if key not in self.platform_nos:
            day = time.strftime("%Y%m%d", time.gmtime(time.time() + 8 * 3600))
            self.platform_nos[key] = f"SJ{day}{len(self.platform_nos) + 1:06d}"
        return self.platform_nos[key]

    def _restore(self, record: Record) -> None:
        event = PlatformEvent.model_validate(record["body"])
        self.platform_nos[event.alarm, event.episode] = record["platform_no"]
        if record["outcome"] == "lost":
            self._lost.add((event.alarm, event.episode))
            return
        digest = hashlib.sha256(orjson.dumps(record["body"], option=orjson.OPT_SORT_KEYS)).digest()
        self._digests[event.push_id] = (digest, record["platform_no"], f"{event.alarm}-{event.episode}")
        self._news(event)

    def _forget_number(self, platform_no: str) -> None:
        for (alarm, episode), number in self.platform_nos.items():
            if number == platform_no:
                self.forget(f"{alarm}-{episode}")


def answer(code: int, message: str, platform_no: str | None = None) -> Envelope:
    return {"code": code, "message": message, "data": {"platform_no": platform_no} if platform_no else None}
