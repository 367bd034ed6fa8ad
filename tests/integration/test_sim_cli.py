"""The simulators as people and programs start them."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, get_args

import httpx
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner, Result

from simulators import poison
from simulators.cli import commands
from simulators.hazards import parse_rehearsal
from simulators.misbehaviour import CLOCKS
from simulators.platform.behaviour import BehaviourKind
from simulators.roster import read_roster
from simulators.scenario.load import shipped
from simulators.wire import Broker


def wait_for_a_report(url: str) -> None:
    came = threading.Event()
    broker = Broker.all_from_url(url)[0]
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda *_: came.set()
    client.connect(broker.host, broker.port)
    client.subscribe("underfoot/v1/#", 1)
    client.loop_start()
    try:
        assert came.wait(60)
    finally:
        client.disconnect()
        client.loop_stop()


def underfoot(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", "from underfoot.cli import main; main()", *map(str, arguments)]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(underfoot(*arguments), capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.csv"
    done = run("city", path, "--devices", "80", "--pace", "300")
    assert done.returncode == 0, done.stderr
    return path


def test_city_writes_a_ledger(ledger: Path) -> None:
    with ledger.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len([row for row in rows if row["device_id"]]) == 80
    assert len(read_roster(ledger)) == 80


def test_city_can_name_areas(tmp_path: Path) -> None:
    path = tmp_path / "named.csv"
    assert run("city", path, "--devices", "60", "--area-names").returncode == 0
    with path.open(encoding="utf-8", newline="") as file:
        names = {row["area_name"] for row in csv.DictReader(file)}
    assert "安阳市/文峰区/光华路街道/光华东社区" in names
    assert len(read_roster(path)) == 60


def test_simulate_writes_a_summary_that_adds_up(ledger: Path, broker: str, tmp_path: Path) -> None:
    written = tmp_path / "summary.json"
    done = run(
        *("simulate", "rehearsal", "--ledger", ledger, "--scenario", "quiet", "--seconds", "3", "--rate", "100"),
        *("--seed", "5", "--mqtt", broker, "--misbehave", "duplicate=0.1", "--misbehave", "poison=0.1"),
        *("--summary", written, "--json"),
    )
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    assert json.loads(written.read_text(encoding="utf-8")) == summary
    assert summary["finished"] is True
    assert summary["sent"] == summary["to_store"] + summary["to_quarantine"] == sum(summary["by_kind"].values())
    assert summary["sent"] == sum(summary["by_device"].values())
    assert summary["repeats"] > 0
    assert summary["puback_ms"]["p50"] <= summary["puback_ms"]["p99"] <= summary["puback_ms"]["max"]
    assert summary["alarms_expected"] == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_evening_still_writes_its_summary(
    ledger: Path, broker: str, tmp_path: Path, how: signal.Signals
) -> None:
    written = tmp_path / "summary.json"
    arguments = ("simulate", "rehearsal", "--ledger", ledger, "--seconds", "60", "--rate", "100", "--mqtt", broker)
    process = subprocess.Popen(
        underfoot(*arguments, "--summary", written), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for_a_report(broker)
    process.send_signal(how)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    summary = json.loads(written.read_text(encoding="utf-8"))
    assert summary["finished"] is False
    assert summary["sent"] > 0
    assert summary["unacknowledged_messages"] == 0
    assert {"cover.open", "road.underpass", "lamp.out"} <= {alarm["rule_id"] for alarm in summary["alarms_expected"]}


def invoked(*arguments: str | Path) -> Result:
    """In this process: a second for each that only looks is too long."""
    return CliRunner().invoke(commands, list(map(str, arguments)))


def test_scenarios_are_listed_and_explained_without_anything_running() -> None:
    listed = invoked("simulate", "--list")
    assert listed.exit_code == 0, listed.output
    assert [name for name in shipped() if f"\n{name}  " not in f"\n{listed.stdout}"] == []
    assert "malicious publisher" in listed.stdout
    explained = invoked("simulate", "--explain", "evening-storm")
    assert explained.exit_code == 0, explained.output
    assert "夜间暴雨" in explained.stdout
    unknown = invoked("simulate", "--explain", "no-such-storm")
    assert unknown.exit_code == 2
    assert "no-such-storm: no such file, and no shipped scenario: blocked-main" in unknown.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--network", "none.inp"), "none.inp: No such file"),
        (("--mapping", "m.yaml"), "mapping: is of a network"),
        (("--speed", "9999"), "speed: 9999; above 0, to 3600"),
        (("--ends", "tomorrow"), "ends: 'tomorrow': a time like 2026-07-01"),
        (("--credentials", "secrets.csv"), "credentials: with --own-connections only"),
    ],
)
def test_a_storm_that_cannot_be_is_one_line_before_it_rains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.setenv("UNDERFOOT_HOME", str(tmp_path))
    done = invoked("simulate", "storm", "--dry-run", tmp_path / "messages.jsonl", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "SWMM" not in done.stderr


def test_load(broker: str) -> None:
    done = run("simulate", "load", "--reports", "3000", "--devices", "60", "--mqtt", broker, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["sent"], result["unacknowledged"], result["devices"]) == (3000, 0, 60)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("simulate", "rehearsal", "--scenario", "no-such-storm"), "no shipped rehearsal: rehearsal"),
        (("simulate", "rehearsal", "--misbehave", "duplicate=9"), "duplicate: 9.0; a share is 0 to 1"),
        (("simulate", "rehearsal", "--rate", "0"), "rate: 0.0; reports a second, above 0"),
        (("simulate", "rehearsal", "--seconds", "10"), "a run of 10 s at pace 1 is too short"),
        (
            ("simulate", "rehearsal", "--summary", "/no/such/folder/s.json"),
            "summary: /no/such/folder/s.json cannot be written",
        ),
        (("simulate", "load"), "reports: say how many"),
        (("simulate", "load", "--reports", "5", "--devices", "9999"), "devices: 9999; "),
    ],
)
def test_a_mistake_is_one_line_that_names_it(
    ledger: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = run(*arguments, "--ledger", ledger, "--mqtt", "mqtt://127.0.0.1:1")
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_no_broker_is_one_line(ledger: Path) -> None:
    done = run("simulate", "rehearsal", "--ledger", ledger, "--mqtt", "mqtt://127.0.0.1:1")
    assert done.returncode == 2
    assert "no MQTT broker answers at 127.0.0.1:1" in done.stderr


def test_platform_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    record = tmp_path / "records.jsonl"
    process = subprocess.Popen(
        underfoot("standin", "--port", "0", "--record", record), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = next(word for word in process.stdout.readline().split() if word.endswith("/events")).removesuffix(
            "/events"
        )
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}
        said = httpx.post(f"{url}/cgi-bin/webhook/send?key=k", json={"msgtype": "text", "text": {"content": "红"}})
        assert said.json() == {"errcode": 0, "errmsg": "ok"}
    finally:
        process.terminate()
        assert process.wait(20) == 0
        if process.stdout is not None:
            process.stdout.close()
    assert json.loads(record.read_text(encoding="utf-8"))["content"] == "红"


def test_platform_says_that_its_port_is_taken() -> None:
    first = subprocess.Popen(underfoot("standin", "--port", "0"), stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None
        port = first.stdout.readline().split("/events")[0].rpartition(":")[2]
        done = run("standin", "--port", port)
        assert done.returncode == 2
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in " ".join(done.stderr.split())
    finally:
        first.terminate()
        first.wait(20)
        if first.stdout is not None:
            first.stdout.close()


def test_the_page_about_simulators_names_every_choice_and_its_scenario_is_sound() -> None:
    page = (Path(__file__).parents[2] / "docs" / "simulators.md").read_text(encoding="utf-8")
    choices = [*poison.KINDS, *CLOCKS, "duplicate", "backlog", "no_ts", *get_args(BehaviourKind)]
    assert [name for name in choices if f"`{name}`" not in page] == []
    example = page.partition("```yaml\n")[2].partition("```")[0]
    assert parse_rehearsal("the page's example", example).hazards[0].pick.near == "东风路"
