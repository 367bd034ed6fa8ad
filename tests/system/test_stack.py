"""`underfoot up` and `down`, as a person, a script, a crash and a reboot use them."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.system.installation import Installation

SERVERS = ("postgres", "mosquitto")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes_touching(folder: Path) -> list[str]:
    """Every live process that has a file of `folder` open, has it as a mount, or names it in its command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid() or not alive(int(entry.name)):
            continue
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            mounts = (entry / "mountinfo").read_text()
            files = [str(link.readlink()) for link in (entry / "fd").iterdir()]
        except OSError:  # it has ended, or it belongs to somebody else
            continue
        if str(folder) in command or str(folder) in mounts or any(str(folder) in file for file in files):
            found.append(f"{entry.name} {command}")
    return found


def touched_since(folder: Path, when: float) -> bool:
    try:
        return any(entry.stat().st_mtime >= when for entry in [folder, *folder.iterdir()])
    except FileNotFoundError:
        return False


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def connect(url: str, client_id: str, *, clean: bool) -> tuple[mqtt.Client, list[bytes], bool]:
    """A connected MQTT 3.1.1 client, what it receives, and whether the broker knew its session."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean)
    received: list[bytes] = []
    sessions: list[bool] = []
    client.on_message = lambda client, userdata, message: received.append(bytes(message.payload))
    client.on_connect = lambda client, userdata, flags, reason, properties: sessions.append(flags.session_present)
    client.connect("127.0.0.1", int(url.rpartition(":")[2]))
    client.loop_start()
    until(lambda: bool(sessions), "a CONNACK")
    return client, received, sessions[0]


def leave(client: mqtt.Client) -> None:
    client.disconnect()
    client.loop_stop()


def until(condition: Any, what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        time.sleep(0.01)


def test_up_gives_a_durable_timescaledb_and_a_broker(running_stack: Installation) -> None:
    status = running_stack.status()
    url = status["database_url"]

    settings = dict(
        rows(
            url,
            "SELECT name, setting FROM pg_settings WHERE name IN"
            " ('fsync', 'synchronous_commit', 'full_page_writes', 'jit', 'TimeZone', 'listen_addresses',"
            " 'shared_preload_libraries', 'data_checksums')",
        )
    )
    assert settings == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "jit": "off",
        "TimeZone": "UTC",
        "listen_addresses": "127.0.0.1",
        "shared_preload_libraries": "timescaledb",
        "data_checksums": "on",
    }
    assert rows(url, "SELECT current_setting('timescaledb.telemetry_level')") == [("off",)]
    with psycopg.connect(url) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        connection.execute("CREATE TABLE depth (ts timestamptz NOT NULL, mm real)")
        connection.execute("SELECT create_hypertable('depth', 'ts')")
        connection.execute("INSERT INTO depth SELECT now() - n * interval '1 day', n FROM generate_series(0, 20) AS n")
    assert rows(url, "SELECT count(*) FROM show_chunks('depth')")[0][0] >= 3

    client, received, _ = connect(status["mqtt_url"], "one", clean=True)
    client.subscribe("t/+", qos=1)
    time.sleep(0.2)
    client.publish("t/1", b"hello", qos=1).wait_for_publish(5)
    until(lambda: received == [b"hello"], "message")
    leave(client)


def test_the_password_is_secret_and_needed(running_stack: Installation) -> None:
    path = running_stack.home / "stack.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(running_stack.home.stat().st_mode) == 0o700
    url = json.loads(path.read_text())["database_url"]
    password = url.split(":")[2].split("@")[0]
    assert len(password) >= 24
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.replace(password, "wrong"))
    human = running_stack.run("status").stdout
    assert "********" in human
    assert password not in human


def test_up_again_changes_nothing(running_stack: Installation) -> None:
    before = running_stack.status()
    running_stack.run("up")
    assert running_stack.status() == before


def test_data_and_ports_survive_down_and_up(running_stack: Installation) -> None:
    before = running_stack.status()
    with psycopg.connect(before["database_url"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    running_stack.run("down")
    assert not running_stack.status()["postgres"]["running"]
    running_stack.run("down")  # once more does no harm
    running_stack.run("up")
    after = running_stack.status()
    assert (after["database_url"], after["mqtt_url"]) == (before["database_url"], before["mqtt_url"])
    assert rows(after["database_url"], "SELECT answer FROM kept") == [(42,)]


def test_down_leaves_no_process(running_stack: Installation) -> None:
    assert len(processes_touching(running_stack.home)) >= 4  # the look finds them while they are there
    running_stack.run("down")
    assert processes_touching(running_stack.home) == []


def test_up_repairs_what_was_killed(running_stack: Installation) -> None:
    before = running_stack.status()
    with psycopg.connect(before["database_url"]) as connection:
        connection.execute("CREATE TABLE committed AS SELECT generate_series(1, 1000) AS n")
    for name in SERVERS:
        os.kill(before[name]["pid"], signal.SIGKILL)
    until(lambda: processes_touching(running_stack.home) == [], "end of every process")
    assert [running_stack.status()[name]["running"] for name in SERVERS] == [False, False]
    running_stack.run("up")
    after = running_stack.status()
    assert all(after[name]["pid"] != before[name]["pid"] for name in SERVERS)
    assert rows(after["database_url"], "SELECT count(*) FROM committed") == [(1000,)]


def test_a_process_that_got_the_old_id_is_left_alone(running_stack: Installation) -> None:
    """After a reboot the written ids may belong to anybody."""
    running_stack.run("down")
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        for name in SERVERS:
            (running_stack.home / name / "server.status").write_text(json.dumps({"child-pid": bystander.pid}) + "\n")
        assert not running_stack.status()["postgres"]["running"]
        running_stack.run("down")
        running_stack.run("stack", "stop", "postgres", "--kill")
        running_stack.run("up")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_up_may_be_killed_at_any_moment(installation: Installation) -> None:
    """Whatever it had begun is taken up, or ended, by the next one."""
    for delay in (0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.2):
        begun = time.time()
        process = installation.launch("up")
        until(lambda begun=begun: touched_since(installation.home, begun), "beginning")
        time.sleep(delay)
        process.kill()
        process.wait()
    installation.run("up")
    assert rows(installation.status()["database_url"], "SELECT 1") == [(1,)]
    installation.run("down")
    assert processes_touching(installation.home) == []


def test_two_ups_at_once(installation: Installation) -> None:
    both = [installation.launch("up", log=f"up-{number}.log") for number in (1, 2)]
    assert [process.wait(60) for process in both] == [0, 0]
    status = installation.status()
    assert all(status[name]["running"] for name in SERVERS)
    masters = [line for line in processes_touching(installation.home) if "bwrap" not in line and "postgres -D" in line]
    assert len(masters) == 1, masters


def test_a_taken_default_port_gives_way_and_a_configured_one_is_refused(installation: Installation) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        installation.environment["UNDERFOOT_POSTGRES_PORT"] = str(taken)
        refused = installation.run("up", succeeds=False)
        assert f"UNDERFOOT_POSTGRES_PORT = {taken}" in refused.stderr
        assert "Traceback" not in refused.stderr
        del installation.environment["UNDERFOOT_POSTGRES_PORT"]
        installation.run("up")

        # Now somebody takes the port that we had.
        first = installation.status()["mosquitto"]["port"]
        installation.run("down")
        with socket.socket() as another:
            another.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            another.bind(("127.0.0.1", first))
            another.listen()
            installation.run("up")
            status = installation.status()
            assert status["mosquitto"]["port"] != first
            assert status["mqtt_url"].endswith(f":{status['mosquitto']['port']}")

        installation.environment["UNDERFOOT_MQTT_PORT"] = str(taken)
        assert f"UNDERFOOT_MQTT_PORT = {taken}" in installation.run("up", succeeds=False).stderr


def test_one_server_can_be_stopped_and_started_alone(running_stack: Installation) -> None:
    before = running_stack.status()
    running_stack.stop_server("postgres")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(before["database_url"], connect_timeout=2)
    assert running_stack.status()["mosquitto"] == before["mosquitto"]
    running_stack.start_server("postgres")
    assert running_stack.status()["database_url"] == before["database_url"]
    assert rows(before["database_url"], "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    ("how", "known", "delivered"),
    [((), True, [b"waited"]), (("--forget-sessions",), False, [])],
    ids=["restarted", "without its session store"],
)
def test_the_broker_keeps_sessions_over_a_restart_unless_told_to_forget(
    running_stack: Installation, how: tuple[str, ...], known: bool, delivered: list[bytes]
) -> None:
    url = running_stack.status()["mqtt_url"]
    name = f"worker-{uuid.uuid4().hex[:8]}"
    worker, _, _ = connect(url, name, clean=False)
    worker.subscribe("t/#", qos=1)
    time.sleep(0.2)
    leave(worker)
    device, _, _ = connect(url, "device", clean=True)
    device.publish("t/1", b"waited", qos=1).wait_for_publish(5)
    leave(device)

    running_stack.stop_server("mosquitto", *how)
    running_stack.start_server("mosquitto")

    worker, received, session_present = connect(url, name, clean=False)
    assert session_present is known
    time.sleep(0.5)
    assert received == delivered
    leave(worker)


def test_own_servers_are_used_and_only_the_others_started(running_stack: Installation) -> None:
    theirs = running_stack.status()["database_url"]
    other_home = running_stack.folder / "other"
    running_stack.environment |= {"UNDERFOOT_HOME": str(other_home), "UNDERFOOT_DATABASE_URL": theirs}
    try:
        said = running_stack.run("up").stdout
        assert "UNDERFOOT_DATABASE_URL is set" in said
        status = running_stack.status()
        assert status["database_url"] == theirs
        assert status["postgres"] == {"running": True, "configured": True}
        assert status["mosquitto"]["running"]
        assert not (other_home / "postgres" / "data").exists()
    finally:
        running_stack.run("down")
        running_stack.environment["UNDERFOOT_HOME"] = str(running_stack.folder / "home")
        del running_stack.environment["UNDERFOOT_DATABASE_URL"]


def test_a_home_that_was_never_up(installation: Installation) -> None:
    assert installation.status()["database_url"] is None
    installation.run("down")
    assert not installation.home.exists()
    failed = installation.run("stack", "start", "postgres", succeeds=False)
    assert "underfoot up" in " ".join(failed.stderr.split())


def test_what_is_missing_is_said(installation: Installation) -> None:
    installation.environment["UNDERFOOT_ROOTFS"] = str(installation.folder)
    failed = installation.run("up", succeeds=False)
    assert f"UNDERFOOT_ROOTFS = {installation.folder}" in failed.stderr.replace("\n", "")
    assert "Traceback" not in failed.stderr
