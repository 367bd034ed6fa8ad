"""Devices whose platform pushes over HTTP: until it is answered with 200, in order, with accounts of their own."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from simulators.message import Message
from simulators.network.city import lay_out_city
from simulators.network.generate import generate_network
from simulators.network.ledgers import NetworkCity
from simulators.network.mapping import read_mapping
from simulators.network.read import read_network
from simulators.publisher import Login
from simulators.push import Pusher, Refusal
from simulators.scenario.model import Equipment
from simulators.speech import SPEECHES
from simulators.wire import Acknowledged, WireError
from simulators.world.folder import RunFolder
from simulators.world.register import push_logins, register_city
from underfoot.identity.accounts import authenticate
from underfoot.storage.connect import connect


class Api:
    """Answers as the script says, 200 beyond it, and keeps what came."""

    def __init__(self, script: list[int]) -> None:
        self.script = script
        self.came: list[tuple[str, str, bytes, int]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(200)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = api.script.pop(0) if api.script else 200
                login = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
                api.came.append((self.path, login, body, status))
                if status == 0:
                    self.close_connection = True  # no answer at all
                    return
                self._answer(status)

            def _answer(self, status: int) -> None:
                said = b'{"detail": "as it was told"}'
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@contextmanager
def api(*script: int) -> Iterator[Api]:
    with closing(Api(list(script))) as made:
        yield made


def push(number: int, device_id: str = "8600") -> Message:
    payload = b'{"n":%d}' % number
    return Message(device_id, b"http/ctwing-ad19prof", payload, "heartbeat", push="ctwing-ad19prof")


def pushed(api: Api, *messages: Message, seconds: float = 10) -> tuple[Pusher, list[Acknowledged]]:
    done: list[Acknowledged] = []
    with closing(Pusher(api.url, {"8600": Login("vendor/v", "s"), "8601": Login("vendor/w", "t")})) as pusher:
        pusher.open()
        for message in messages:
            pusher.offer(message)
        deadline = time.monotonic() + seconds
        while pusher.waiting and time.monotonic() < deadline:
            done += pusher.take_acknowledged()
            time.sleep(0.01)
    return pusher, done


def test_a_push_goes_again_the_same_until_it_is_taken_and_keeps_its_order() -> None:
    with api(503, 0, 200, 500) as answering:
        messages = [push(number) for number in range(5)]
        pusher, done = pushed(answering, *messages)
    assert pusher.waiting == 0
    assert [each.tag for each in done] == messages
    assert [(body, status) for *_, body, status in answering.came] == [
        (b'{"n":0}', 503),
        (b'{"n":0}', 0),
        (b'{"n":0}', 200),
        (b'{"n":1}', 500),
        *((b'{"n":%d}' % number, 200) for number in range(1, 5)),
    ]
    assert {(path, login) for path, login, *_ in answering.came} == {("/api/v1/push/ctwing-ad19prof", "vendor/v:s")}


def test_each_device_is_pushed_with_its_platforms_login() -> None:
    with api() as answering:
        pushed(answering, push(1), push(2, "8601"))
    assert {(login, body) for _, login, body, _ in answering.came} == {
        ("vendor/v:s", b'{"n":1}'),
        ("vendor/w:t", b'{"n":2}'),
    }


def test_what_is_refused_is_counted_and_not_pushed_for_ever() -> None:
    with api(401, 429, 200) as answering:
        pusher, done = pushed(answering, push(1), push(2))
    assert pusher.refused == {Refusal(401, "as it was told"): 1}
    assert [each.tag.payload for each in done] == [b'{"n":2}']
    assert [status for *_, status in answering.came] == [401, 429, 200]


def test_an_api_that_is_not_there_is_said_so_before_anything_is_sent() -> None:
    with closing(Pusher("http://127.0.0.1:1", {})) as pusher, pytest.raises(WireError, match="start `underfoot api`"):
        pusher.open()


# the accounts -------------------------------------------------------------------------------------------------------
@pytest.fixture
def city(tmp_path: Path) -> NetworkCity:
    generate_network(tmp_path / "town.inp", style="demo", nodes=30, seed=1)
    equipment = Equipment(cover_sensors=1.0, speeches={"json": 1, "ctwing-ad19prof": 1})
    network, said = read_network(tmp_path / "town.inp"), read_mapping(tmp_path / "town.yaml")
    return lay_out_city(network, equipment, 1, said)


def test_vendors_get_mappings_and_accounts_and_new_secrets_each_time(
    city: NetworkCity, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", database)
    folder = RunFolder(tmp_path / "run")
    city.write(folder.city)
    of_push = {site.device.device_id for site in city.sites if SPEECHES[site.speech].push}
    assert of_push
    with connect(database, "test") as connection:
        register_city(connection, city, folder, "test")
        in_force = {name for (name,) in connection.execute("SELECT DISTINCT name FROM mappings")}
        assert in_force == {"ctwing-ad19prof"}
        first = push_logins(connection, city, "test")
        assert first.keys() == of_push
        vendors: dict[str, str] = dict(connection.execute("SELECT device_id, vendor FROM devices").fetchall())
        for device_id, login in first.items():
            account = authenticate(connection, *login)
            assert account is not None, "it opens"
            assert (account.kind, account.vendor) == ("vendor", vendors[device_id])
        again = push_logins(connection, city, "test")
        assert {device: login.username for device, login in again.items()} == {
            device: login.username for device, login in first.items()
        }
        assert all(authenticate(connection, *login) is None for login in first.values()), "nobody has it any more"
        assert all(authenticate(connection, *login) is not None for login in again.values())
