"""Messages that go by HTTP push, as a vendor's platform pushes them: again and again until they are answered with 200.

Beside `publisher` for what goes over MQTT; `play` hands over to both. The pushes of a device go one after the other.
"""

from __future__ import annotations

import queue
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Mapping
from typing import NamedTuple

import httpx

from simulators.message import Message
from simulators.publisher import Login
from simulators.wire import Acknowledged, WireError

_WORKERS = 4
_FIRST_RETRY_S = 0.2
_LONGEST_RETRY_S = 5.0
_TIMEOUT_S = 10.0
_LATER = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)


class Refusal(NamedTuple):
    """What the API will not take however often it is pushed."""

    status: int
    detail: str


class Pusher:
    """`logins`: with what the pushes of each device log in."""

    def __init__(self, api_url: str, logins: Mapping[str, Login]) -> None:
        self._api_url = api_url.rstrip("/")
        self._logins = logins
        self._queues: list[queue.SimpleQueue[Message | None]] = [queue.SimpleQueue() for _ in range(_WORKERS)]
        self._answered: deque[Acknowledged] = deque()
        self._refused: deque[Refusal] = deque()
        self._ending = threading.Event()
        self._owed = 0
        self.refused: Counter[Refusal] = Counter()
        self._threads = [
            threading.Thread(target=self._work, args=(waiting,), name=f"push-{number}", daemon=True)
            for number, waiting in enumerate(self._queues)
        ]

    def open(self) -> None:
        """Ask the API whether it is there, and begin."""
        try:
            httpx.get(f"{self._api_url}/healthz", timeout=_TIMEOUT_S, trust_env=False).raise_for_status()
        except httpx.HTTPError as error:
            raise WireError(f"the API does not answer at {self._api_url}: {error}; start `underfoot api`") from None
        for thread in self._threads:
            thread.start()

    def offer(self, message: Message) -> None:
        self._owed += 1
        self._queues[zlib.crc32(message.device_id.encode()) % _WORKERS].put(message)

    @property
    def waiting(self) -> int:
        """Offered, and not answered."""
        return self._owed

    def take_acknowledged(self) -> list[Acknowledged]:
        done = [self._answered.popleft() for _ in range(len(self._answered))]
        refused = [self._refused.popleft() for _ in range(len(self._refused))]
        self.refused.update(refused)
        self._owed -= len(done) + len(refused)
        return done

    def close(self) -> None:
        """What is not answered yet stays unanswered."""
        self._ending.set()
        for waiting in self._queues:
            waiting.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_TIMEOUT_S + _LONGEST_RETRY_S)

    def _work(self, waiting: queue.SimpleQueue[Message | None]) -> None:
        with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as client:
            while not self._ending.is_set():
                message = waiting.get()
                if message is not None:
                    self._push(client, message)

    def _push(self, client: httpx.Client, message: Message) -> None:
        began = time.monotonic()
        retry_s = _FIRST_RETRY_S
        url = f"{self._api_url}/api/v1/push/{message.push}"
        while not self._ending.is_set():
            try:
                answer = client.post(url, content=message.payload, auth=self._logins[message.device_id])
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == httpx.codes.OK:
                self._answered.append(Acknowledged(message, began))
                return
            if answer is not None and answer.is_client_error and answer.status_code not in _LATER:
                self._refused.append(Refusal(answer.status_code, _detail(answer)))
                return
            self._ending.wait(retry_s)
            retry_s = min(retry_s * 2, _LONGEST_RETRY_S)


def _detail(answer: httpx.Response) -> str:
    try:
        said = answer.json()
    except ValueError:
        return answer.text[:200]
    return str(said.get("detail", said))[:200] if isinstance(said, dict) else str(said)[:200]
