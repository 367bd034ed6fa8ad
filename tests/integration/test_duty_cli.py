"""`underfoot duty …` and `underfoot alarms health` as a person types them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from alerts.deliver import cli as delivery_cli
from alerts.duty import cli
from alerts.duty.calendar import library_knows
from alerts.health import cli as health_cli
from tests.integration.duty import ROSTER, City, city_of
from underfoot.alarms import Severity

UNKNOWN_YEAR = next(year for year in range(2027, 2100) if not library_knows(year))


@pytest.fixture
def city(module_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[City]:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", module_database)
    for module in (cli, health_cli):
        monkeypatch.setattr(module, "out", Console(width=300))
    monkeypatch.setattr(cli, "err", Console(width=300, stderr=True))
    with city_of(module_database) as made:
        yield made


def run(*arguments: str, code: int = 0, of: Any = cli.commands) -> str:
    result = CliRunner().invoke(of, [*arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "roster.yaml"
    path.write_text(ROSTER, encoding="utf-8")
    return path


def test_a_roster_is_imported_shown_and_exported(city: City, file: Path, tmp_path: Path) -> None:
    assert "nothing is escalated" in run("duty", "show")
    assert "would have 4 people" in run("duty", "import", str(file), "--dry-run")
    assert "There is no roster" in run("duty", "show")
    assert "has 4 people, 1 shifts, 3 assignments" in run("duty", "import", str(file))
    shown = run("duty", "show", "--at", "2026-10-01T22:00")
    assert "休息日（国庆节）" in shown
    assert "138****0001" in shown
    assert "13803720001" not in shown
    told = json.loads(run("duty", "show", "--json"))
    assert [(one["name"], one["level"], one["can_be_told"]) for one in told["people"]] == [
        ("王建国", 1, True), ("李强", 1, True), ("陈静", 2, True), ("赵敏", 3, True),
    ]  # fmt: skip
    assert told["gaps"] == []
    exported = tmp_path / "again.yaml"
    exported.write_text(run("duty", "export"), encoding="utf-8")
    assert "13803720001" not in exported.read_text(encoding="utf-8")
    run("duty", "import", str(exported))
    assert "13803720001" in run("duty", "export", "--with-phones"), "masked means as it is known"
    actions = [
        row["action"] for row in city.rows("SELECT action FROM audit WHERE action LIKE 'duty%%' ORDER BY audit_key")
    ]
    assert actions == ["duty.roster", "duty.roster", "duty.phones"]


def test_a_sink_for_somebody_on_duty_is_added(city: City) -> None:
    add = ("sinks", "add", "sun", "--channel", "webhook", "--set", "url=https://x.example", "--audience", "duty")
    run(*add, of=delivery_cli.commands)
    [row] = city.rows("SELECT audience, min_severity, maintenance_unit FROM sinks WHERE name = 'sun'")
    assert row == {"audience": "duty", "min_severity": 1, "maintenance_unit": None}
    assert "has no maintenance" in run(*add, "--unit", "x", "--replace", of=delivery_cli.commands, code=2)
    wrong = ("sinks", "add", "moon", "--channel", "platform", "--set", "url=https://x.example", "--audience", "duty")
    assert "platform" in run(*wrong, of=delivery_cli.commands, code=2)


def test_a_gap_is_told_at_once(city: City, file: Path) -> None:
    file.write_text(ROSTER.replace("people: [王建国, 李强]", "people: [王建国]"), encoding="utf-8")
    assert "无人值班：无区划" not in run("duty", "import", str(file))
    file.write_text(ROSTER.replace("level: 2, people: [陈静]", "level: 2, people: [李强]"), encoding="utf-8")
    assert "无人值班：文峰区 2级" in run("duty", "import", str(file))


def test_a_mistake_is_told_with_its_line_and_nothing_changes(city: City, file: Path) -> None:
    run("duty", "import", str(file))
    file.write_text(ROSTER.replace("sink: chen", "sink: nobody"), encoding="utf-8")
    assert "people.2.sink = 'nobody'" in run("duty", "import", str(file), code=1)
    file.write_text(ROSTER.replace("[赵敏]", "[赵敏敏]"), encoding="utf-8")
    assert "roster.yaml, line 12: assignments.2 = '赵敏敏'" in run("duty", "import", str(file), code=1)
    assert "No such file" in run("duty", "import", str(file.with_name("absent.yaml")), code=2)
    assert len(json.loads(run("duty", "show", "--json"))["people"]) == 4


def test_a_year_is_entered(city: City, tmp_path: Path) -> None:
    notice = tmp_path / "year.yaml"
    days = f"{{day: {UNKNOWN_YEAR}-10-01, until: {UNKNOWN_YEAR}-10-12, kind: holiday, name: 国庆节}}"
    notice.write_text(f"source: 通知\ndays: [{days}]\n", encoding="utf-8")
    shown = run("duty", "calendar", "show", str(UNKNOWN_YEAR))
    assert f"{UNKNOWN_YEAR}年节假日和调休安排尚未录入" in shown
    assert "12 days" in run("duty", "calendar", "import", str(notice))
    assert json.loads(run("duty", "calendar", "show", str(UNKNOWN_YEAR), "--json"))["known"] is True
    notice.write_text("source: 通知\ndays: [{day: 2026-10-09, kind: festival, name: x}]", encoding="utf-8")
    assert "days.0.kind = 'festival'" in run("duty", "calendar", "import", str(notice), code=1)
    assert "12 days" in run("duty", "calendar", "forget", str(UNKNOWN_YEAR))
    assert "国庆节" in run("duty", "calendar", "show", "2026")


def test_a_shift_is_handed_over_in_chinese(city: City, file: Path) -> None:
    run("duty", "import", str(file))
    alarm = city.rise(1)
    city.rise(2, Severity.orange)
    city.tick()
    run("duty", "note", "东风路泵车已到", "--area", "410502")
    text = run("duty", "handover", "--markdown")
    assert text.startswith("# 交接班：全天 ")
    assert "| 文峰区 | 1（红1） | 0 | 1（红1） |" in text
    assert "| 北关区 | 1（橙1） | 0 | 1（橙1） |" in text
    assert "| 合计 | 2（红1 橙1） | 0 | 2（红1 橙1） |" in text
    assert "## 未确认 2" in text
    assert "【红】井盖打开｜人民大道1号 雨水井0001" in text
    assert "无人确认上报：1级1次" in text
    assert "东风路泵车已到" in text
    assert "## 推送异常 2" in text
    assert "wang：未送达2" in text
    city.acknowledge(alarm)
    told = json.loads(run("duty", "handover", "--json", "--area", "410502"))
    assert told["unacknowledged"] == []
    assert [area["district"] for area in told["areas"]] == ["410502"]
    assert [one["name"] for one in told["leaving"]][:2] == ["王建国", "李强"]
    for wrong, says in (
        (("--shift", "夜班"), "there is no such shift"),
        (("--from", "2026-01-01"), "come together"),
        (("--from", "2026-01-02", "--to", "2026-01-01"), "--to must be after --from"),
        (("--at", "noon"), "'noon'"),
    ):
        assert says in " ".join(run("duty", "handover", *wrong, code=2).replace("│", " ").split())


def test_health_is_printed(city: City) -> None:
    city.rise(1)
    shown = run("alarms", "health", of=health_cli.commands)
    assert "每人每10分钟告警（平均）" in shown
    assert "达标" in shown
    told = json.loads(
        run("alarms", "health", "--from", "2026-10-01", "--to", "2026-10-02", "--json", of=health_cli.commands)
    )
    assert {figure["name"] for figure in told["figures"]} >= {"per_hour", "stale", "top_ten_share", "late"}
    wrong = run("alarms", "health", "--from", "2020-01-01", "--to", "2026-10-02", of=health_cli.commands, code=2)
    assert "31 days" in " ".join(wrong.replace("│", " ").split())
