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
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import orjson

from simulators.platform.cases import FINAL, Case, CaseState
from simulators.platform.course import Callbacks
from simulators.platform.records import Records, now_ms

_LANES = 8
_TIMEOUT_S = 5.0
_SHANGHAI_S = 8 * 3600
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
    }
    return {rename.get(name, name): value for name, value in fields.items()}


def signed(token: str, now_s: int, nonce: str) -> dict[str, str]:
    """`x-tif-*`: upper(SHA256(timestamp + token + nonce + timestamp))."""
    signature = hashlib.sha256(f"{now_s}{token}{nonce}{now_s}".encode()).hexdigest().upper()
    return {"x-tif-timestamp": str(now_s), "x-tif-nonce": nonce, "x-tif-signature": signature}


class Postman:
    """Posts callbacks, each case's in order, and records what became of each."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._client = httpx.Client(timeout=_TIMEOUT_S, limits=httpx.Limits(max_connections=_LANES))
        self._lanes = [ThreadPoolExecutor(1, thread_name_prefix=f"callback-{lane}") for lane in range(_LANES)]
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.waiting = 0

    def post(self, url: str, case_no: str, body: dict[str, Any], habits: Callbacks, *, wrongly_signed: bool) -> None:
        with self._lock:
            self.waiting += 1
        lane = self._lanes[zlib.crc32(case_no.encode()) % _LANES]
        lane.submit(self._deliver, url, case_no, orjson.dumps(body), body, habits, wrongly_signed)

    def close(self) -> None:
        self._stopped.set()
        for lane in self._lanes:
            lane.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    def _deliver(
        self, url: str, case_no: str, content: bytes, body: dict[str, Any], habits: Callbacks, wrongly_signed: bool
    ) -> None:
        outcome, said = "given_up", ""
        for attempt in range(habits.attempts):
            if attempt and self._stopped.wait(habits.retry_s):
                break
            headers = {"Content-Type": "application/json", "X-Push-Id": str(body.get("push_id", ""))}
            if habits.token is not None:
                token = habits.token + ("?" if wrongly_signed else "")
                headers |= signed(token, int(time.time()), secrets.token_hex(16))
            try:
                answer = self._client.post(url, content=content, headers=headers)
            except httpx.HTTPError as error:
                said = type(error).__name__
                continue
            said = f"{answer.status_code} {answer.text[:200]}"
            if answer.is_success:
                outcome = "delivered"
                break
            if 400 <= answer.status_code < 500:
                outcome = "refused"
                break
        self._records.add("callback", outcome, now_ms(), platform_no=case_no, url=url, body=body, detail=said)
        with self._lock:
            self.waiting -= 1


def _city_time(at_ms: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_ms / 1000 + _SHANGHAI_S))
