"""`underfoot codec try` as an integrator types it: what would be stored, what not, and why. Without a database."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from rich.console import Console
from typer.testing import CliRunner

from ingest import codec_cli
from ingest.codec_cli import commands
from tests.unit.codec_frames import BATCH, CBOR, CTWING, FLOW, NATIVE, REPORT, WELL, hj212, modbus

NOW = "2026-07-01T12:00"
TOPIC = "/city/410500/well/status/WF-0312"
DOCUMENT = Path(__file__).parents[2] / "docs" / "codecs.md"


@pytest.fixture(autouse=True)
def _without_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UNDERFOOT_HOME", str(tmp_path))
    monkeypatch.delenv("UNDERFOOT_DATABASE_URL", raising=False)
    monkeypatch.setattr(codec_cli, "out", Console(width=200))


def command(*arguments: str, code: int = 0, data: bytes | None = None) -> str:
    result = CliRunner().invoke(commands, ["codec", *arguments], input=data)
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def tried(*arguments: str, code: int = 0, data: bytes | None = None) -> list[dict[str, Any]]:
    parts = json.loads(command("try", *arguments, "--received", NOW, "--json", code=code, data=data))["parts"]
    assert isinstance(parts, list)
    return parts


def unwrapped(shown: str) -> str:
    return " ".join(shown.replace("│", " ").split())


def test_what_would_be_stored_is_shown_with_labels_and_units() -> None:
    shown = command("try", "mqtt-well-status", json.dumps(WELL), "--topic", TOPIC, "--received", NOW)
    assert [line.strip() for line in shown.splitlines()] == [
        "report of WF-0312 (cover 智慧井盖)",
        "time  2026-07-01 12:00:00",
        "battery_pct  电池电量 = 89.0 %",
        "tilt_deg  倾角 = 22.4 °",
        "open  井盖打开 = true",
    ]


def test_what_is_set_aside_and_why_the_time_is_not_the_device_s() -> None:
    odd = WELL | {"tilt": 400, "battery": "low", "status": "jammed", "ts": "soon", "fw": "1.2"}
    shown = command("try", "mqtt-well-status", json.dumps(odd), "--topic", TOPIC, "--received", NOW)
    assert "[time_unreadable: the device says 'soon']" in shown
    assert "set aside: tilt_deg = 400" in shown
    assert 'set aside: battery_pct = {"given": "low", "problem": "no number"}' in shown
    assert "none of normal, closed, open, opened, abnormal" in shown
    assert 'kept beside: {"unmapped": {"fw": "1.2"}}' in shown
    (part,) = tried("mqtt-well-status", json.dumps(odd), "--topic", TOPIC)
    assert (part["stored"], part["time_mark"], sorted(part["set_aside"])) == (
        True,
        "time_unreadable",
        ["battery_pct", "open", "tilt_deg"],
    )


def test_what_is_refused_is_told_and_the_command_fails() -> None:
    frame = modbus(1, 22, 0, 0)[:-1] + b"\0"
    shown = command("try", "dtu-modbus-cover", frame.hex(), "--hex", "--topic", "dtu/D-1/up", code=1)
    assert "refused, checksum" in shown
    assert "the frame's checksum is wrong" in shown
    assert "should be" in shown
    parts = tried("dtu-hj212-pipe", "@-", "--topic", "hj212/D/up", code=1, data=hj212(FLOW) + b"noise")
    assert [part["stored"] for part in parts] == [True, False]
    assert parts[1]["reason"] == "unsupported_frame"
    assert parts[1]["payload"] == "noise"


def test_a_message_may_be_a_file_or_written_in_base64(tmp_path: Path) -> None:
    file = tmp_path / "message.json"
    file.write_text(json.dumps(CTWING))
    assert tried("ctwing-ad19prof", f"@{file}")[0]["device_id"] == "860374051096202"
    (part,) = tried("cbor", base64.b64encode(cbor2.dumps(NATIVE)).decode(), "--base64", "--topic", CBOR)
    assert (part["device_id"], part["area"], part["seq"]) == ("C-1", "410502", 17)


def test_our_own_forms_can_be_tried_too() -> None:
    member = NATIVE | {"device_id": "C-1", "values": {"tilt_deg": 1, "colour": "red"}}
    shown = command("try", "gateway", json.dumps([member, 3]), "--topic", BATCH, "--received", NOW, code=1)
    assert "1 of 2: report of C-1 (family of the ledger)" in shown
    assert "not judged (give --family to see which are stored)" in shown
    assert "2 of 2: refused, not_an_object" in shown
    (part,) = tried("gateway", json.dumps([member]), "--topic", BATCH, "--family", "cover")
    assert part["values"] == [{"field": "tilt_deg", "label": "倾角", "value": 1.0, "unit": "°"}]
    assert part["not_of_family"] == {"colour": "red"}
    assert tried("json", json.dumps(NATIVE), "--topic", REPORT)[0]["time_mark"] is None
    (part,) = tried("json", '{"values": 3}', "--topic", REPORT, code=1)
    assert (part["stored"], part["reason"]) == (False, "values_missing")
    assert "refused, values_missing" in command("try", "json", '{"values": 3}', "--topic", REPORT, code=1)


def test_the_worked_example_of_the_document_is_what_a_person_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = DOCUMENT.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Path("deepwater.yaml").write_text(page.split("```yaml\n", 1)[1].split("```", 1)[0], encoding="utf-8")
    Path("message.json").write_text(page.split("```json\n", 1)[1].split("```", 1)[0], encoding="utf-8")
    session = page.split("    $ underfoot codec ", 1)[1].split("\n\n", 1)[0].splitlines()
    shown = command(*session[0].split())
    assert shown.splitlines() == [line.removeprefix("    ") for line in session[1:]]


def test_a_device_whose_ledger_names_the_mapping_is_tried_under_its_own_topic() -> None:
    (part,) = tried("dtu-modbus-cover", modbus(1, 22, 0, 0).hex(), "--hex", "--topic", REPORT)
    assert (part["device_id"], part["area"]) == ("C-1", "410502")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing", "{}"), "nothing: neither a file nor a mapping that ships (ctwing-ad-modbus"),
        (("mqtt-well-status", "{}"), "--topic is needed, like /city/{city}/well/status/{device} or underfoot/v1/"),
        (("mqtt-well-status", "{}", "--topic", "a/b"), "--topic a/b: not one of the mapping's"),
        (("mqtt-well-status", "{}", "--topic", CBOR), "not one of the mapping's"),
        (("mqtt-well-status", "{}", "--topic", "http/mqtt-well-status"), "not one of the mapping's"),
        (("cbor", "{}"), "cbor: --topic is needed, like underfoot/v1/410502/cover/DEVICE/cbor"),
        (("gateway", "{}", "--topic", "a/b"), "--topic a/b: not one of gateway"),
    ],
)
def test_what_can_t_be_tried_is_told(arguments: tuple[str, ...], told: str) -> None:
    assert told in command("try", *arguments, code=1)
    assert told in json.loads(command("try", *arguments, "--json", code=1))["error"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("ctwing-ad19prof", "@/nowhere.json"), "cannot be read"),
        (("ctwing-ad19prof", "zz", "--hex"), "not hexadecimal"),
        (("ctwing-ad19prof", "!", "--base64"), "not base64"),
        (("ctwing-ad19prof", "00", "--hex", "--base64"), "exclude each other"),
        (("ctwing-ad19prof", "{}", "--family", "tram"), "'tram': one of cover"),
        (("ctwing-ad19prof", "{}", "--received", "soon"), "'soon': a time like"),
    ],
)
def test_a_wrong_option_is_told(arguments: tuple[str, ...], told: str) -> None:
    assert told in unwrapped(command("try", *arguments, code=2))


def test_a_mapping_s_faults_are_told_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("name: bad\ntitle: x\nsource: y\nformat: xml\nreports: {id: a, values: {}, familie: cover}\n")
    lines = command("try", str(file), "{}", code=1).splitlines()
    assert [line.split("'")[0] for line in lines] == ["bad: format: Input tag ", "bad: reports.0.familie = "]
    assert "not a word of a mapping" in lines[1]


def test_what_ships_is_listed_and_shown_without_a_database() -> None:
    shown = command("list")
    assert "No database is set" in shown
    for name in ("ctwing-ad19prof", "ctwing-ad-modbus", "mqtt-well-status", "dtu-modbus-cover", "dtu-hj212-pipe"):
        assert name in shown
    file = command("show", "mqtt-well-status", "--shipped")
    assert file.startswith("# MQTT")
    assert "name: mqtt-well-status" in file
    assert json.loads(command("show", "dtu-hj212-pipe", "--shipped", "--json"))["mapping"]["format"] == {
        "kind": "hj212"
    }
    assert "no such mapping" in command("show", "nothing", "--shipped", code=1)
