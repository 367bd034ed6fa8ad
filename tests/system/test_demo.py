"""`underfoot demo` from beginning to end: it ends by itself, its books balance, and it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.system.installation import Installation

STORM_S = 40


def left_behind(folder: Path) -> list[str]:
    """Every process that was told of this folder."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal() or int(process.name) == os.getpid():
            continue
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            ended = (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if str(folder).encode() in told and not ended:
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def end_of(demo: subprocess.Popen[str], log: Path, within_s: float) -> tuple[int, str]:
    return demo.wait(within_s), log.read_text(encoding="utf-8")


def eventually(log: Path, text: str, demo: subprocess.Popen[str], within_s: float = 120) -> None:
    deadline = time.monotonic() + within_s
    while text not in log.read_text(encoding="utf-8"):
        assert demo.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
        time.sleep(0.1)


@pytest.fixture
def log(installation: Installation) -> Iterator[Path]:
    """What the demo says. Should it not have ended by itself, its servers are ended here."""
    yield installation.folder / "demo.log"
    installation.end_processes()
    servers = replace(installation, environment=installation.environment | {"UNDERFOOT_HOME": str(home(installation))})
    servers.run("down")


def home(installation: Installation) -> Path:
    return installation.home / "demo"


def test_a_demo_of_seconds_ends_by_itself_and_all_is_as_it_must_be(installation: Installation, log: Path) -> None:
    demo = installation.launch("demo", "--seconds", str(STORM_S), "--seed", "5")
    code, said = end_of(demo, log, STORM_S + 180)
    summary: dict[str, Any] = json.loads((installation.folder / "demo-summary.json").read_text(encoding="utf-8"))
    assert code == 0, (summary["faults"], said)
    assert summary["verdict"] == "passed"
    assert summary["sent"] == summary["stored"] + summary["distinct_quarantined"] > 20 * STORM_S
    books = summary["stored"] + summary["duplicate"] + summary["quarantined"]
    assert summary["received"] + summary["unpacked"] == books
    assert summary["duplicate"] > 0
    assert summary["quarantined"] > 0
    assert summary["alarms_expected"] == summary["alarms_raised"] > 10
    assert summary["alarms_delivered"] + summary["alarms_in_incidents"] == summary["alarms_raised"]
    assert summary["internal_alarms_expected"] == summary["internal_alarms_raised"] > 0
    assert 0 < summary["publish_to_delivered_p50_ms"] <= summary["publish_to_delivered_p99_ms"] < 30_000
    assert "结论：通过" in said
    assert "【红】井盖打开" in said
    assert left_behind(home(installation)) == []


def test_ctrl_c_in_the_middle_of_the_storm_leaves_nothing_behind(installation: Installation, log: Path) -> None:
    demo = installation.launch("demo")
    eventually(log, "条/s", demo)
    assert len(left_behind(home(installation))) >= 5, "ingest, alerts, API, platform and fleet are at work"
    os.killpg(demo.pid, signal.SIGINT)  # as a terminal does
    code, said = end_of(demo, log, 60)
    assert code == 130, said
    assert "Traceback" not in said
    assert left_behind(home(installation)) == []


def test_sigterm_during_set_up_leaves_nothing_behind(installation: Installation, log: Path) -> None:
    demo = installation.launch("demo")
    eventually(log, "fresh database", demo)
    demo.send_signal(signal.SIGTERM)
    code, said = end_of(demo, log, 60)
    assert code == 143, said
    assert left_behind(home(installation)) == []


def test_a_process_that_dies_is_named_with_the_end_of_its_log(installation: Installation, log: Path) -> None:
    demo = installation.launch("demo")
    eventually(log, "条/s", demo)
    ingest = next(
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdecimal() and _is(process, home(installation), b"\0ingest\0")
    )
    os.kill(ingest, signal.SIGKILL)
    code, said = end_of(demo, log, 60)
    assert code == 1, said
    assert "ingest has ended with code -9" in said
    assert left_behind(home(installation)) == []


def _is(process: Path, folder: Path, command: bytes) -> bool:
    try:
        line = (process / "cmdline").read_bytes()
        return line.endswith(command) and str(folder).encode() in (process / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
