"""`underfoot api` as a process: it serves, ends what is under way at SIGTERM, and says which setting is wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from api.keys import create
from api.roles import Role
from tests.integration.api.served import nobody_there
from underfoot.storage.connect import connect

COMMAND = [sys.executable, "-c", "from underfoot.cli import main; main()"]


def _environment(database: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("UNDERFOOT_")},
        "UNDERFOOT_DATABASE_URL": database,
        "UNDERFOOT_MQTT_URL": f"mqtt://someone:mqtt-secret@127.0.0.1:{nobody_there()}",
    }


@contextmanager
def _running(database: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, "api", "--port", str(port)], env=_environment(database), stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            try:
                httpx.get(f"http://127.0.0.1:{port}/healthz").raise_for_status()
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                break
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


def test_it_ends_in_order_and_answers_what_is_under_way(database: str, tmp_path: Path) -> None:
    city = Path(__file__).parent / "city.sql"
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(city.read_bytes())
    with connect(database, "test") as connection:
        key = {"Authorization": f"Bearer {create(connection, 'desk', Role.operator, 'test').secret}"}
    port, log = nobody_there(), tmp_path / "api.log"
    with (
        _running(database, port, log) as process,
        psycopg.connect(database) as engine,
        ThreadPoolExecutor(1) as people,
    ):
        engine.execute("SELECT FROM alarms WHERE alarm_key = 1 FOR UPDATE")
        url = f"http://127.0.0.1:{port}/api/v1/alarms/2/acknowledge"
        waiting = people.submit(httpx.post, url, headers=key, timeout=30)
        while not engine.execute("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchall():
            assert not waiting.done(), waiting.result().text
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert process.poll() is None
        engine.commit()
        assert waiting.result(10).status_code == 200
        assert process.wait(10) == 0
    text = log.read_text(encoding="utf-8")
    assert "POST /api/v1/alarms/2/acknowledge 200" in text
    assert "desk" in text
    assert key["Authorization"].removeprefix("Bearer ") not in text
    assert "mqtt-secret" not in text
    assert "Traceback" not in text


def test_ctrl_c_ends_it_too(database: str, tmp_path: Path) -> None:
    port, log = nobody_there(), tmp_path / "api.log"
    with _running(database, port, log) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) in (0, 130)
    assert "Traceback" not in log.read_text(encoding="utf-8")


@pytest.mark.parametrize("setting", ["UNDERFOOT_API_PORT", "UNDERFOOT_MQTT_URL", "UNDERFOOT_DATABASE_URL"])
def test_a_wrong_setting_is_one_line_that_names_it(setting: str, tmp_path: Path) -> None:
    environment = _environment(f"postgresql://nobody@127.0.0.1:{nobody_there()}/none") | {setting: "99999"}
    done = subprocess.run(
        [*COMMAND, "api"], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(setting)
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, "api", "--port", str(port)],
            env=_environment(f"postgresql://nobody@127.0.0.1:{nobody_there()}/none"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode != 0
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr
