"""The API as its callers have it: served by uvicorn on a port of its own, with a key of every role."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg

from api.app import create_app
from api.keys import create
from api.roles import Role
from api.serving import http_server
from underfoot.settings import load
from underfoot.storage.connect import connect

PROBLEM = "application/problem+json"


@dataclass
class Served:
    """A served API. `get` and `post` call it with the key of a role, by default the least that reads. The role of `get`
    and `ok` goes by its place: every name is free for the query."""

    url: str
    database: str
    secrets: dict[Role, str]
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))
    named: dict[str, str] = field(default_factory=dict)
    """Secrets of other keys, by their names."""

    def call(
        self, method: str, path: str, role: Role | None = Role.viewer, *, secret: str | None = None, **more: Any
    ) -> httpx.Response:
        secret = secret or (self.secrets[role] if role is not None else None)
        headers = {"Authorization": f"Bearer {secret}"} if secret is not None else {}
        return self.client.request(method, f"{self.url}{path}", headers=headers | more.pop("headers", {}), **more)

    def get(self, path: str, role: Role | None = Role.viewer, /, **query: Any) -> httpx.Response:
        return self.call("GET", path, role, params=query or None)

    def ok(self, path: str, role: Role | None = Role.viewer, /, **query: Any) -> Any:
        """The JSON of a call that must succeed."""
        answer = self.get(path, role, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, role: Role | None = Role.operator, body: Any = None) -> httpx.Response:
        return self.call("POST", path, role, json=body)

    def run(self, sql: str, params: Any = None) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(sql.encode(), params)
            return cursor.fetchall() if cursor.description is not None else []


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem document of an answer that must be one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"urn:underfoot:problem:{kind}"
    assert document["status"] == status
    assert document["instance"] == answer.request.url.path
    assert document["title"]
    assert document["detail"]
    return document


@contextmanager
def served(database_url: str, mqtt_url: str, **settings: Any) -> Iterator[str]:
    """The URL of the API, served until the end."""
    app = create_app(load(database_url=database_url, mqtt_url=mqtt_url, **settings))
    listening = socket.create_server(("127.0.0.1", 0))
    server = http_server(app, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
    assert not thread.is_alive()


@contextmanager
def keyed(database: str, **settings: Any) -> Iterator[Served]:
    """The API served on `database` with a key of every role, its broker absent."""
    with connect(database, "test") as connection:
        secrets = {role: create(connection, f"the-{role.value}", role, "test").secret for role in Role}
    with served(database, f"mqtt://127.0.0.1:{nobody_there()}", **settings) as url:
        running = Served(url, database, secrets)
        with running.client:
            yield running


def nobody_there() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
