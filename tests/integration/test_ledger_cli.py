"""`underfoot devices …` as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.ledger_command import Command
from underfoot.ledger.cli import commands
from underfoot.storage.connect import connect
from underfoot.storage.statements import statement

LEDGER = """设备编号,设备类别,区划代码,部件编码,部件名称,经度,纬度,养护单位
WF-1,智慧井盖,410502,4105020103000001,雨水井0001,114.352812,36.102345,文峰养护所
WF-2,多功能灯杆,410502003,4105020118000002,灯杆2,114.352812,36.102345,照明所
BG-3,智慧井盖,410503,4105030103000003,雨水井0003,114.352812,36.102345,北关养护所
"""


@pytest.fixture
def command(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", database)
    return Command(commands, "devices", tmp_path / "ledger.csv", LEDGER)


def test_what_an_import_did_is_told_to_people_and_programs(command: Command) -> None:
    assert "3 rows" in command("import", str(command.file)).replace("行 ", "")
    summary = command.json("import", str(command.file))
    assert summary["devices"] == {"new": 0, "changed": 0, "unchanged": 3}
    command.file.write_bytes(LEDGER.replace("4105020103000001", "4105020103000009").encode("gb18030"))
    assert "移装 moved：WF-1 部件 4105020103000001 → 4105020103000009" in command("import", str(command.file))


def test_every_fault_is_shown_with_row_column_value_and_what_is_allowed(command: Command) -> None:
    command.file.write_text(LEDGER.replace("灯杆2,114.352812,36.102345", "灯杆2,36.102345,114.352812") + "W 4,x,4,1\n")
    shown = command("import", str(command.file), code=1)
    assert "第 3 行 row 3  经度 lon = '36.102345'：经纬度写反了" in shown
    assert "第 5 行 row 5  设备编号 device_id = 'W 4'" in shown
    assert "第 5 行 row 5  设备类别 family = 'x'" in shown
    told = command.json("import", str(command.file), code=1)
    assert (told["rows"], told["bad_rows"], told["first"][0]["faults"][0]["column"]) == (4, 2, "lon")
    assert command.json("list") == []

    assert command.json("import", str(command.file), "--skip-bad")["devices"]["new"] == 2
    assert command.file.with_name("ledger.bad.csv").exists()


def test_devices_are_listed_by_family_area_and_unit_page_by_page(command: Command) -> None:
    command("import", str(command.file))

    def ids(*arguments: str) -> list[str]:
        return [device["device_id"] for device in command.json("list", *arguments)]

    assert ids() == ["BG-3", "WF-1", "WF-2"]
    assert ids("--family", "cover") == ["BG-3", "WF-1"]
    assert ids("--area", "410502") == ["WF-1", "WF-2"]
    assert ids("--unit", "照明所") == ["WF-2"]
    assert ids("--limit", "1", "--after", "BG-3") == ["WF-1"]
    assert "--after BG-3" in command("list", "--limit", "1")
    command("list", "--family", "tram", code=2)


def test_a_baseline_is_set_shown_and_removed(command: Command) -> None:
    command("import", str(command.file))
    assert command.json("baseline", "WF-1", "tilt_deg=3.5") == {"device_id": "WF-1", "baseline": {"tilt_deg": 3.5}}
    assert "tilt_deg = 3.5" in command("baseline", "WF-1")
    assert command.json("baseline", "WF-1", "tilt_deg=")["baseline"] == {}
    assert "no field 'depth_cm'" in command("baseline", "WF-1", "depth_cm=3", code=1)
    command("baseline", "WF-1", "tilt_deg", code=2)


def test_a_file_that_is_not_there_is_no_traceback(command: Command) -> None:
    assert "no such file" in command("import", "/nowhere.csv", code=1)
    assert "no such file" in command.json("import", "/nowhere.csv", code=1)["error"]


def test_a_page_of_devices_is_found_by_their_ids_without_reading_all(database: str) -> None:
    wanted = {"family": "cover", "area": "410502", "unit": None, "after": "C", "limit": 51}
    with connect(database, "test") as connection:
        for costly in ("seqscan", "sort", "bitmapscan", "hashjoin", "mergejoin"):  # as they are in a large ledger
            connection.execute(f"SET enable_{costly} = off")
        plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {statement('ledger.devices')}", wanted))
    assert "devices_device_id_key" in plan
    assert "Sort" not in plan, plan
