"""What the stand-in tells back about a case: callbacks as cities' platforms post them, and as they go wrong there.

Order holds within a case but for what a course calls late; a receiver that does not answer is tried again, and then
given up, as platforms do.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import httpx
import orjson

from simulators.platform.cases import FINAL, Case, CaseState
from simulators.platform.course import Callbacks
from simulators.platform.records import Records, now_ms

_LANES = 8
_TIMEOUT_S = 5.0
_SHANGHAI_S = 8 * 3600
_LONG_AGO_S = 3600

Signing = Literal["right", "wrong", "expired", "replayed"]
TOLD = frozenset(
    {
        CaseState.accepted,
        CaseState.not_accepted,
        CaseState.dispatched,
        CaseState.handling,
        CaseState.suspended,
        CaseState.handle_finish,
        CaseState.check_not_pass,
        CaseState.closed,
        CaseState.forced_close,
        CaseState.cancelled,
    }
)
"""The states of which a platform tells whoever reported the event."""


def body_of(case: Case, step: dict[str, Any], rename: dict[str, str]) -> dict[str, Any]:
    """The fields as several cities have them; `disposal_status` is closed or processing, `case_status` exact."""
    state = CaseState(step["state"])
    fields = {
        "push_id": case.push_id,
        "event_id": case.key,
        "platform_no": case.platform_no,
        "disposal_status": "closed" if state in FINAL else "processing",
        "disposal_result": step["note"] or step["label"],
        "disposal_operator": step["by"],
        "disposal_time": _city_time(step["at_ms"]),
        "case_status": state.value,
        "case_status_name": step["label"],
        "rework_count": case.rework,
        "overdue": case.overdue,
        "supervised": case.supervised,
        **({"duplicate_of": case.duplicate_of} if case.duplicate_of is not None else {}),
    }
    return {rename.get(name, name): value for name, value in fields.items()}


def line_of(case: Case) -> dict[str, Any]:
    """A case in a list, with the fields of its newest callback."""
    fields = body_of(case, case.history[-1], {})
    return {**fields, "disposal_time": _city_time(case.history[-1]["at_ms"])}


def signed(token: str, now_s: int, nonce: str) -> dict[str, str]:
    """`x-tif-*`: upper(SHA256(timestamp + token + nonce + timestamp))."""
    signature = hashlib.sha256(f"{now_s}{token}{nonce}{now_s}".encode()).hexdigest().upper()
    return {"x-tif-timestamp": str(now_s), "x-tif-nonce": nonce, "x-tif-signature": signature}


@dataclass(frozen=True)
class _Letter:
    url: str
    case_no: str
    body: dict[str, Any]
    habits: Callbacks
    signing: Signing

    def goes_with(self, other: _Letter) -> bool:
        return self.signing == other.signing == "right" and (self.url, self.habits) == (other.url, other.habits)


class Postman:
    """Posts callbacks, each case's in order, and records what became of each."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._client = httpx.Client(timeout=_TIMEOUT_S, limits=httpx.Limits(max_connections=_LANES))
        self._lanes = [ThreadPoolExecutor(1, thread_name_prefix=f"callback-{lane}") for lane in range(_LANES)]
        self._letters: list[deque[_Letter]] = [deque() for _ in range(_LANES)]
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.waiting = 0

    def post(self, url: str, case_no: str, body: dict[str, Any], habits: Callbacks, signing: Signing) -> None:
        lane = zlib.crc32(case_no.encode()) % _LANES
        with self._lock:
            self.waiting += 1
            self._letters[lane].append(_Letter(url, case_no, body, habits, signing))
        self._lanes[lane].submit(self._deliver, self._letters[lane])

    def close(self) -> None:
        self._stopped.set()
        for lane in self._lanes:
            lane.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _deliver(self, letters: deque[_Letter]) -> None:
        with self._lock:
            if not letters:
                return  # went with one before it
            together = [letters.popleft()]
            while letters and len(together) < together[0].habits.together and together[0].goes_with(letters[0]):
                together.append(letters.popleft())
        try:
            for letter, (outcome, said) in zip(together, self._outcomes(together), strict=True):
                named = {"platform_no": letter.case_no, "url": letter.url, "body": letter.body}
                self._records.add("callback", outcome, now_ms(), **named, detail=said)
        finally:
            with self._lock:
                self.waiting -= len(together)

    def _outcomes(self, together: list[_Letter]) -> list[tuple[str, str]]:
        try:
            return self._sent(together)
        except Exception as error:
            # Nobody looks into a lane: what is not on record here would be lost without a word.
            return [("given_up", f"{type(error).__name__}: {error}"[:200])] * len(together)

    def _sent(self, together: list[_Letter]) -> list[tuple[str, str]]:
        """What became of each, and what was said to it."""
        first = together[0]
        bodies = [letter.body for letter in together]
        content = orjson.dumps(bodies[0] if len(bodies) == 1 else {"callbacks": bodies})
        said = ""
        for attempt in range(first.habits.attempts):
            if attempt and self._stopped.wait(first.habits.retry_s):
                break
            headers = _headers(bodies, first.habits, first.signing)
            try:
                answer = self._client.post(first.url, content=content, headers=headers)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                said = type(error).__name__
                continue
            said = f"{answer.status_code} {answer.text[:200]}"
            if answer.is_success:
                if first.signing == "replayed":
                    self._replay(first, content, headers)
                return [("delivered", said)] if len(together) == 1 else _each(answer, len(together))
            if 400 <= answer.status_code < 500:
                return [("refused", said)] * len(together)
        return [("given_up", said)] * len(together)

    def _replay(self, letter: _Letter, content: bytes, headers: dict[str, str]) -> None:
        try:
            answer = self._client.post(letter.url, content=content, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said, outcome = type(error).__name__, "given_up"
        else:
            said, outcome = f"{answer.status_code} {answer.text[:200]}", "taken" if answer.is_success else "refused"
        named = {"platform_no": letter.case_no, "url": letter.url, "body": letter.body}
        self._records.add("replay", outcome, now_ms(), **named, detail=said)


def _each(answer: httpx.Response, count: int) -> list[tuple[str, str]]:
    """The outcomes of a list's lines; a receiver that does not tell them apart has taken all."""
    try:
        lines = answer.json()["data"]["list"]
        codes = [_number(line["code"]) for line in lines]
    except (ValueError, TypeError, KeyError):
        lines = codes = []
    if len(codes) != count:
        return [("delivered", f"{answer.status_code} {answer.text[:200]}")] * count
    return [
        ("refused" if code is not None and 400 <= code < 500 else "delivered", str(line)[:200])
        for code, line in zip(codes, lines, strict=True)
    ]


def _number(code: Any) -> int | None:
    """A code, which may be written as text; what is none says nothing against its line."""
    if isinstance(code, str) and code.isascii() and code.isdecimal():
        return int(code[:9])
    return code if isinstance(code, int) else None


def _headers(bodies: list[dict[str, Any]], habits: Callbacks, signing: Signing) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if len(bodies) == 1:
        headers["X-Push-Id"] = str(bodies[0].get("push_id", ""))
    if habits.token is None:
        return headers
    token = habits.token + ("?" if signing == "wrong" else "")
    now_s = int(time.time()) - (_LONG_AGO_S if signing == "expired" else 0)
    return headers | signed(token, now_s, secrets.token_hex(16))


def _city_time(at_ms: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_ms / 1000 + _SHANGHAI_S))
