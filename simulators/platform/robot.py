"""A crew's chat robot in the manner of WeCom: HTTP 200 always, `errcode` tells; 20 messages a minute and robot."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from simulators.platform.records import Records

_LONGEST_BYTES = {"text": 2048, "markdown": 4096, "markdown_v2": 4096}

INVALID_MESSAGE = 40008
TOO_LONG = 40058
TOO_OFTEN = 45009
NO_SUCH_ROBOT = 93000


class Robots:
    """`per_minute` 0: no limit."""

    def __init__(self, records: Records, per_minute: int = 20) -> None:
        self.records = records
        self.per_minute = per_minute
        self._recent: dict[str, deque[float]] = {}

    def take(self, body: dict[str, Any], key: str | None, received_ms: float) -> dict[str, Any]:
        why = self._refusal(body, key)
        if why is not None:
            code, detail = why
            self.records.add("robot", "refused", received_ms, key=key, errcode=code, detail=detail, body=body)
            return errcode(code, detail)
        kind = body["msgtype"]
        content = body[kind]["content"]
        self.records.add("robot", "accepted", received_ms, key=key, msgtype=kind, content=content)
        return errcode(0, "ok")

    def _refusal(self, body: dict[str, Any], key: str | None) -> tuple[int, str] | None:
        if not key:
            return NO_SUCH_ROBOT, "invalid webhook url: key is missing"
        kind = body.get("msgtype")
        part = body.get(kind) if isinstance(kind, str) and kind in _LONGEST_BYTES else None
        content = part.get("content") if isinstance(part, dict) else None
        if not isinstance(kind, str) or not isinstance(content, str) or not content:
            known = ", ".join(_LONGEST_BYTES)
            return INVALID_MESSAGE, f"msgtype = {kind!r}: one of {known}, with its content"
        if len(content.encode()) > _LONGEST_BYTES[kind]:
            return TOO_LONG, f"content: {len(content.encode())} bytes; at most {_LONGEST_BYTES[kind]}"
        if self._too_often(key):
            return TOO_OFTEN, f"api freq out of limit: {self.per_minute} a minute"
        return None

    def _too_often(self, key: str) -> bool:
        if not self.per_minute:
            return False
        recent = self._recent.setdefault(key, deque())
        now = time.monotonic()
        while recent and now - recent[0] >= 60:
            recent.popleft()
        if len(recent) >= self.per_minute:
            return True
        recent.append(now)
        return False


def errcode(code: int, message: str) -> dict[str, Any]:
    return {"errcode": code, "errmsg": message}
