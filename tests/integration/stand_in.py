"""The stand-in platform in a thread of the test, and the notices that it is sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from httpx import Response

from simulators.platform.app import PlatformSettings, create_app
from simulators.platform.serve import listen


@contextmanager
def running(settings: PlatformSettings, cpu_s: list[float] | None = None) -> Iterator[httpx.Client]:
    """The stand-in in a thread; `cpu_s` is given the processor time that it took."""
    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="critical", timeout_graceful_shutdown=1))

        def run() -> None:
            server.run(sockets=[listening])
            if cpu_s is not None:
                cpu_s.append(time.thread_time())

        thread = threading.Thread(target=run)
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=5) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


def event(push_id: str, transition_no: int = 1, notice: str = "raise", episode: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "event_type": "井盖打开",
        "location": "人民大道文峰路口东北角",
        "lat": 36.0997059,
        "lon": 114.342884,
        "level": 4,
        "value": 78.2,
        "description": "井盖打开，倾角78°",
        "time": "2026-07-21 21:38:05",
        "push_id": push_id,
        "notice": notice,
        "alarm": "12",
        "episode": episode,
        "transition_no": transition_no,
    } | more


def push(client: httpx.Client, body: dict[str, Any], **headers: str) -> Response:
    return client.post("/events", json=body, headers={"X-Push-Id": body["push_id"], **headers})
