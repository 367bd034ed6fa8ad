"""`underfoot pipes …` as a person types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.ledger_command import Command
from underfoot.ledger.importer import import_ledger
from underfoot.ledger.pipes_cli import commands
from underfoot.storage.connect import connect

ASSETS = """device_id,family,area_code,asset_code,asset_name,lon,lat
,,410502,4105020102000001,污水井1,114.3500,36.1
,,410502,4105020102000002,污水井2,114.3505,36.1
,,410503,4105030102000003,污水井3,114.3510,36.1
,,410503,4105032115000004,洹滨泵站,114.3515,36.1
YW-9,pipe,410503,4105030102000009,污水井9,114.3600,36.1
"""
PIPES = """管段编号,起点部件,终点部件,管网类型,管径,长度,起点管底标高,终点管底标高,管材
W1-W2,4105020102000001,4105020102000002,污水,300,46,71.5,71.3,混凝土
W2-W3,4105020102000002,4105030102000003,污水,400,45,71.3,71.1,混凝土
W3-B4,4105030102000003,4105032115000004,污水,400,45,71.1,70.9,混凝土
"""


@pytest.fixture
def command(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", database)
    monkeypatch.setenv("COLUMNS", "200")
    assets = tmp_path / "assets.csv"
    assets.write_text(ASSETS, encoding="utf-8")
    with connect(database, "test") as connection:
        import_ledger(connection, assets, actor="tester")
    return Command(commands, "pipes", tmp_path / "pipes.csv", PIPES)


def test_what_an_import_did_is_told_to_people_and_programs(command: Command) -> None:
    told = command("import", str(command.file))
    assert "3 行 rows" in told
    assert "作为管段属性保留 · kept as attributes: 管材" in told
    assert command.json("import", str(command.file))["pipes"] == {"new": 0, "changed": 0, "unchanged": 3}


def test_what_is_odd_is_told_and_let_in(command: Command) -> None:
    odd = PIPES.replace("45,71.1,70.9", "45,71.4,71.5").replace("W2-W3,", "W2-W3x,")
    command.file.write_text(odd, encoding="utf-8")
    told = command("import", str(command.file))
    assert "无坡或倒坡 W3-B4（4105030102000003、4105032115000004）：倒坡 0.100 m" in told
    assert "下游管底高于上游管底 W2-W3x、W3-B4（4105030102000003）：上游管底低 0.30 m" in told
    assert "共 in all：无坡或倒坡 no_fall 1，下游管底高于上游管底 step_up 1" in told


def test_every_fault_is_shown_with_row_column_value_and_what_is_allowed(command: Command) -> None:
    command.file.write_text(PIPES.replace("污水,400,45,71.1", "污水,40,45,71.1"), encoding="utf-8")
    shown = command("import", str(command.file), code=1)
    assert "第 4 行 row 4  管径 diameter_mm = '40'：100–5000 mm · from 100 to 5000 mm" in shown
    assert "1 of 3 rows are wrong; nothing was imported" in shown
    assert command.json("list") == []
    assert command.json("import", str(command.file), "--skip-bad")["pipes"]["new"] == 2
    assert "仅检查" in command("import", str(command.file), "--skip-bad", "--dry-run")
    assert "no such file" in command.json("import", "/nowhere.csv", code=1)["error"]


def test_the_network_is_looked_over(command: Command) -> None:
    command("import", str(command.file))
    told = command("check")
    assert "管段 pipes 3，部件 nodes 4：污水 0.1 km，雨水 0.0 km" in told
    assert "测点不在管网上 4105030102000009：液位计 YW-9 所在部件没有管段" in told
    found = command.json("check")
    assert (found["pipes"], found["nodes"], found["counts"]) == (3, 4, {"stray_gauge": 1})
    assert command.json("check", "--check", "cycle")["findings"] == []
    assert "没有发现问题" in command("check", "--check", "cycle")
    command("check", "--check", "smell", code=2)


def test_a_circle_in_the_ledger_is_an_error(command: Command, database: str) -> None:
    """No import lets one in; should there be one all the same, the check fails."""
    command("import", str(command.file))
    with connect(database, "test") as connection:
        connection.execute(
            "INSERT INTO pipes (pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m)"
            " SELECT 'back', to_asset, from_asset, kind, 300, 45, 71, 71.3 FROM pipes WHERE pipe_id = 'W2-W3'"
        )
    assert "水流成环：" in command("check", code=1)
    [circle] = command.json("check", "--check", "cycle", code=1)["findings"]
    assert (circle["severity"], sorted(circle["pipes"])) == ("error", ["W2-W3", "back"])


def test_pipes_are_listed_by_kind_and_area_page_by_page_and_shown(command: Command) -> None:
    command("import", str(command.file))

    def ids(*arguments: str) -> list[str]:
        return [pipe["pipe_id"] for pipe in command.json("list", *arguments)]

    assert ids() == ["W1-W2", "W2-W3", "W3-B4"]
    assert ids("--kind", "storm") == []
    assert ids("--area", "410502") == ["W1-W2", "W2-W3"]
    assert ids("--limit", "1", "--after", "W1-W2") == ["W2-W3"]
    told = command("list", "--limit", "1")
    assert "--after W1-W2" in told
    assert "4.35" in told  # ‰: 0.2 m on 46 m
    command("list", "--kind", "tram", code=2)
    shown = command("show", "W1-W2")
    assert "管底标高" in shown
    assert "混凝土" in shown
    assert command.json("show", "W1-W2")["slope"] == pytest.approx(0.2 / 46)
    assert "no pipe 'W9'" in command("show", "W9", code=1)


def test_a_pipe_is_removed_with_a_reason(command: Command) -> None:
    command("import", str(command.file))
    command("remove", "W1-W2", code=2)
    command("remove", "W1-W2", "--reason", " ", code=2)
    assert "已删除 removed：W1-W2" in command("remove", "W1-W2", "--reason", "废弃")
    assert "no pipe 'W1-W2'" in command.json("remove", "W1-W2", "--reason", "x", code=1)["error"]
