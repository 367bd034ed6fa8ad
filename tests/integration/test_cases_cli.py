"""`underfoot cases …` at the desk: what is shown, what is done, and what is refused in a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from alerts.cases import cli, desk
from alerts.cases.cli import commands
from alerts.rulebook.book import install_shipped, put
from alerts.rules import shipped_pack

CITY = Path(__file__).parent / "api" / "city.sql"


@pytest.fixture
def city(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", database)
    monkeypatch.setattr(cli, "out", Console(width=200))
    monkeypatch.setattr(desk, "out", Console(width=200))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(CITY.read_text(encoding="utf-8").encode())
        yield connection


def run(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(commands, ["cases", *arguments])
    assert done.exit_code == code, done.output
    return done.output


def test_cases_are_listed_and_shown_in_chinese(city: psycopg.Connection) -> None:
    listed = run("list")
    assert "井盖缺失、移位、打开" in listed
    assert "已派遣" in listed
    assert "超时" in listed
    assert "已结案" not in listed
    assert [row["case_key"] for row in json.loads(run("list", "--show", "needs_person", "--json"))] == [3, 4]
    assert [row["case_key"] for row in json.loads(run("list", "--area", "410503", "--show", "all", "--json"))] == [3, 4]
    assert "没有这样的案件" in run("list", "--unit", "无此单位")
    shown = run("show", "2")
    assert "东风路铁路桥下" in shown
    assert "未收到：已受理" in shown, "what the platform never told"
    assert "到场超时" in shown
    assert "不限" in shown, "water: until it is gone"
    assert len(json.loads(run("show", "2", "--json"))["steps"]) == 3


def test_what_an_operator_does_is_done_once_under_who_types(city: psycopg.Connection) -> None:
    assert "处置中" in run("arrive", "1", "--note", "已到场")
    assert "处置中" in run("arrive", "1")
    assert "挂账" in run("suspend", "1", "等配件")
    assert "处置中" in run("resume", "1")
    assert "处置完成" in run("handled", "1")
    run("supervise", "1")
    run("note", "3", "现场完好", "--settles")
    assert "待立案" in run("verify", "4")
    assert "撤销（与市民上报重复）" in run("duplicate", "4", "12345-0088")
    acts = city.execute("SELECT event, note FROM case_steps WHERE actor LIKE 'cli:%' ORDER BY case_step_key").fetchall()
    assert [event for event, _ in acts] == [
        "arrived", "suspended", "resumed", "handled", "supervised", "noted", "verified", "duplicate",
    ]  # fmt: skip
    assert acts[0] == ("arrived", "已到场")
    assert city.execute("SELECT confirmed FROM episodes WHERE episode_key = 5").fetchone() == (True,)


def test_a_false_alarm_ends_it(city: psycopg.Connection) -> None:
    assert "误报" in run("verify", "1", "--false-alarm", "--note", "探头松动")
    assert city.execute(
        "SELECT confirmed, confirmed_by LIKE 'cli:%' FROM episodes WHERE episode_key = 2"
    ).fetchone() == (
        False,
        True,
    )


def test_what_is_over_is_filed_again(city: psycopg.Connection) -> None:
    install_shipped(city)
    put(city, next(rule for rule in shipped_pack() if rule.rule_id == "cover.tilt"), actor="test")
    assert "1: 该告警仍有案件未办结" in run("refile", "1", code=1)
    assert "3: 告警已解除" in run("refile", "3", code=1)
    assert "there is no such case" in run("refile", "99", code=1)
    run("cancel", "1", "误操作")
    assert "案件 5 井盖缺失、移位、打开：已上报" in run("refile", "1", "--note", "撤案有误")
    assert "撤案有误" in run("show", "5")
    assert "再次立案" in run("show", "1")


def test_what_cannot_be_done_is_said_in_a_line(city: psycopg.Connection) -> None:
    assert "已派遣，须由平台撤销或结案" in run("cancel", "2", "r", code=1)
    assert "案件没有挂账" in run("resume", "1", code=1)
    assert "尚未核实" in run("arrive", "4", code=1)
    assert "there is no such case" in run("show", "99", code=1)
    assert "there is no such case" in run("arrive", "99", code=1)
    assert "已撤销" in run("cancel", "1", "另行派单")
