"""The local stack's parts that decide: ports, process identity, the sandbox's command line, what is configured."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from deploy import locks, processes, rootfs, sandbox, stack
from deploy.errors import StackError
from deploy.ports import Wanted, choose, refusal
from deploy.processes import Process, Server
from underfoot.settings import SettingsError

DEPLOY = Path(rootfs.__file__).parent
CHECKOUT = DEPLOY.parent


def listening() -> socket.socket:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    return taken


def free_port() -> int:
    with listening() as probe:
        return int(probe.getsockname()[1])


# ports


def test_the_recorded_port_comes_before_the_default() -> None:
    recorded, default = free_port(), free_port()
    assert choose(Wanted("X", None, recorded, default)) == recorded
    assert choose(Wanted("X", None, None, default)) == default


def test_a_taken_port_gives_way_to_a_free_one() -> None:
    with listening() as taken:
        port = taken.getsockname()[1]
        chosen = choose(Wanted("X", None, port, port))
        assert chosen != port
        assert refusal(chosen) is None


def test_a_configured_port_is_taken_or_refused_by_name() -> None:
    port = free_port()
    assert choose(Wanted("UNDERFOOT_MQTT_PORT", port, free_port(), free_port())) == port
    with listening() as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"UNDERFOOT_MQTT_PORT = {port}: .*Address already in use"):
            choose(Wanted("UNDERFOOT_MQTT_PORT", port, None, free_port()))


# locks and processes


def test_a_lock_passed_to_a_child_outlives_its_maker(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not locks.held(path)
    with locks.exclusive(path, patience=1) as descriptor:
        child = subprocess.Popen(["sleep", "60"], pass_fds=(descriptor,))
    try:
        assert locks.held(path)
        with pytest.raises(StackError, match="still locked"), locks.exclusive(path, patience=0.05):
            pass
    finally:
        child.kill()
        child.wait()
    assert not locks.held(path)


def test_a_reused_process_id_is_not_signalled() -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        found = processes.process_of(bystander.pid)
        assert found is not None
        earlier = Process(found.pid, found.started - 1)
        assert processes._signal(earlier, signal.SIGKILL, patience=1)
        assert bystander.poll() is None
        assert processes._signal(found, signal.SIGKILL, patience=5)
        assert bystander.wait(5) == -signal.SIGKILL
    finally:
        bystander.kill()
        bystander.wait()


def test_a_written_id_without_the_lock_is_nobody(tmp_path: Path) -> None:
    server = Server("mosquitto", tmp_path, tmp_path / "log")
    server.status_file.write_text(json.dumps({"child-pid": os.getpid()}) + "\n")
    server.lock.touch()
    assert server.running() is None
    server.kill()  # or this test would have ended here
    with locks.exclusive(server.lock, patience=1):
        running = server.running()
    assert running is not None
    assert running.pid == os.getpid()


def test_only_the_listener_itself_counts() -> None:
    with listening() as taken:
        port = taken.getsockname()[1]
        ourselves = processes.process_of(os.getpid())
        parent = processes.process_of(os.getppid())
        assert ourselves is not None
        assert parent is not None
        assert processes.listens(ourselves, port)
        assert not processes.listens(parent, port)
    assert not processes.listens(ourselves, port)


# stack.json and the file system


@pytest.mark.parametrize(
    "content", ["", "[]", '{"postgres": {}}', '{"postgres": {"port": "x"}, "mosquitto": {"port": 1}}']
)
def test_a_spoiled_stack_json_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "stack.json").write_text(content)
    with pytest.raises(StackError, match=re.escape(str(tmp_path / "stack.json"))):
        stack.status(tmp_path)


def test_the_cached_file_system_changes_its_name_with_its_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = rootfs.cached_path()
    assert before.parent == tmp_path / "underfoot"
    monkeypatch.setattr(rootfs, "PACKAGES", (*rootfs.PACKAGES, "one-more"))
    assert rootfs.cached_path() != before


def test_a_named_file_system_must_hold_the_programs(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="UNDERFOOT_ROOTFS"):
        rootfs.ensure(tmp_path, rootfs.silent)
    (tmp_path / "usr/lib/postgresql").mkdir(parents=True)
    assert rootfs.ensure(tmp_path, rootfs.silent) == tmp_path


def test_a_failed_build_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mmdebstrap").write_text("#!/bin/sh\necho E: no route to the archive >&2\nexit 25\n")
    (tmp_path / "mmdebstrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(StackError, match="no route to the archive"):
        rootfs.ensure(None, rootfs.silent)
    assert [entry.name for entry in rootfs.cache_folder().iterdir() if entry.is_dir()] == []


def test_a_server_is_not_tied_to_its_starter_and_a_tool_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    server = sandbox.command(Path("/r"), ["postgres"], folder=Path("/home/x"), status_descriptor=7)
    tool = sandbox.command(Path("/r"), ["initdb"])
    assert "--die-with-parent" not in server
    assert server[server.index("--json-status-fd") + 1] == "7"
    assert server[server.index("--bind") + 1 :][:2] == ["/home/x", "/data"]
    assert "--die-with-parent" in tool
    assert "--bind" not in tool
    for line in (server, tool):
        assert {"--unshare-pid", "--as-pid-1", "--clearenv"} <= set(line)


def test_a_missing_bubblewrap_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(StackError, match="bubblewrap"):
        sandbox.command(Path("/r"), ["postgres"])


# what is configured


def mosquitto_options() -> dict[str, str]:
    lines = (DEPLOY / "mosquitto.conf").read_text().splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return {name: value for name, value in pairs if name != "log_type"}


def test_the_broker_keeps_what_the_path_relies_on() -> None:
    options = mosquitto_options()
    assert options["persistence"] == "true"
    assert options["max_inflight_messages"] == "10000"
    assert options["max_queued_bytes"] == options["max_inflight_bytes"] == "0"
    assert int(options["max_queued_messages"]) >= 10**9, "0 makes mosquitto 2.0.21 cut off whom its access list refuses"
    assert "per_listener_settings" not in options, "with it, what comes for an absent session is dropped"
    assert options["retain_available"] == "false"


def test_the_database_is_durable() -> None:
    text = (DEPLOY / "postgresql.conf").read_text()
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert re.findall(rf"^{name} = (\w+)", text, re.MULTILINE) == ["on"]


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


def our_commands() -> set[str]:
    """Every word that may follow `underfoot`."""
    from underfoot.cli import app

    groups = [app, *(entry.load() for entry in entry_points(group="underfoot.commands"))]
    return {word for group in groups for word in typer.main.get_group(group).commands}


def test_compose_and_systemd_run_commands_that_exist() -> None:
    known = our_commands()
    for name, service in compose()["services"].items():
        if "build" in service:
            assert service["command"][0] in known, name
            assert service["build"]["dockerfile"] == "deploy/Dockerfile"
    units = sorted((DEPLOY / "systemd").glob("*.service"))
    assert [unit.stem for unit in units] == [
        "underfoot-alerts",
        "underfoot-api",
        "underfoot-broker",
        "underfoot-ingest",
        "underfoot-ingest@",
        "underfoot-stations",
    ]
    for unit in units:
        parsed = configparser.ConfigParser(interpolation=None)
        parsed.read(unit)
        for key in ("ExecStartPre", "ExecStart"):
            program, word, *_ = parsed["Service"][key].split()
            assert program == "/opt/underfoot/bin/underfoot"
            assert word in known, unit
        assert unit.stem.removesuffix("@") == f"underfoot-{word}"


def test_compose_is_whole() -> None:
    loaded = compose()
    services = loaded["services"]
    assert set(services) == {"database", "broker", "migrate", "ingest", "alerts", "api"}
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services, name
            assert how["condition"] != "service_healthy" or "healthcheck" in services[needed], (name, needed)
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in loaded["volumes"] or (DEPLOY / source).is_file(), volume
    for service in (services["ingest"], services["alerts"], services["api"]):
        assert set(service["environment"]) >= {"UNDERFOOT_DATABASE_URL", "UNDERFOOT_MQTT_URL"}


def test_the_image_copies_every_package() -> None:
    copied = re.findall(r"^COPY (\w+) \1$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert set(copied) == {"underfoot", "ingest", "alerts", "api", "simulators", "deploy"}
    for name in re.findall(
        r"^COPY (\S+\.\S+) (\S+\.\S+) (\S+\.\S+) \./$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE
    )[0]:
        assert (CHECKOUT / name).is_file(), name


def test_constraints_are_plain_pins_of_what_we_name() -> None:
    pins = (CHECKOUT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", pin) for pin in pins)
    pinned = {re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins}
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    named = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    assert {re.split(r"[\[<>=~! ]", name)[0].lower() for name in named} - pinned == set()
