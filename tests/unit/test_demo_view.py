from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from deploy.demo_scene import Books, Happened, OpenAlarm, Scene, Told
from deploy.demo_view import Stage, View, line, picture

STAGE = Stage("夜间暴雨", 60, time.monotonic(), (("接口 API", "http://127.0.0.1:58080"),) * 4)


def alarm(number: int, **changes: object) -> OpenAlarm:
    values: dict[str, object] = {
        "severity": 4 - number % 4,
        "title": "井盖倾斜",
        "place": "人民大道文峰路口东北角",
        "asset_name": f"雨水井{number:04d}",
        "label": "倾角",
        "unit": "°",
        "value": 47.9,
        "age_s": 75.0,
    }
    return OpenAlarm(**(values | changes))  # type: ignore[arg-type]  # the values above, changed


SCENE = Scene(
    books=Books(received=1234, stored=1200, duplicate=30, quarantined=4),
    reports_per_s=203.4,
    probe_delay_ms=12.34,
    open_by_severity={4: 10, 3: 10, 2: 10, 1: 10},
    episodes=44,
    alarms=[alarm(number) for number in range(40)],
    happened=[Happened(7, False, 4, "井盖打开", "文峰路", "倾角 78 °"), Happened(8, True, 4, "井盖打开", "文峰路", "")],
    told={"platform": Told(delivered=9, owed=1), "crew": Told(delivered=3, dead=2, dropped=1)},
    crew="文峰区排水养护队",
    crew_message="【红】井盖打开｜人民大道文峰路口东北角 雨水井0312，21:38起。先围挡，22:08前复位。接单▸http://127.0.0.1/a/1",
)


def drawn(scene: Scene, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    with console.capture() as capture:
        console.print(picture(STAGE, scene, width, height))
    return capture.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (160, 50)])
def test_the_picture_fits_the_terminal_and_says_what_matters(width: int, height: int) -> None:
    lines = drawn(SCENE, width, height)
    text = "\n".join(lines)
    assert len(lines) <= height
    for said in (
        "203",
        "12.3 ms",
        "1,234",
        "红 10",
        "井盖倾斜",
        "倾角",
        "1 分 15 秒",
        "另有",
        "【红】井盖打开",
        "待送 1",
        "死信 2",
    ):
        assert said in text


def test_an_empty_evening_can_be_drawn() -> None:
    assert any("在案告警" in drawn_line for drawn_line in drawn(Scene(), 80, 24))


def test_where_an_alarm_is_and_what_its_device_says() -> None:
    assert alarm(1).where == "人民大道文峰路口东北角 雨水井0001"
    assert alarm(1, place="东风路铁路桥下", asset_name="东风路铁路桥下穿").where == "东风路铁路桥下穿"
    assert alarm(1, asset_name="").where == "人民大道文峰路口东北角"
    assert alarm(1).reading == "倾角 47.9 °"
    assert alarm(1, label="井盖打开", unit="", value=True).reading == "井盖打开"
    assert alarm(1, label=None, unit=None, value=None).reading == ""


def test_without_a_terminal_there_are_plain_lines() -> None:
    output = io.StringIO()
    view = View(Console(file=output, width=80))
    view.start()
    view.show(STAGE, SCENE)
    view.show(STAGE, Scene())
    view.stop()
    lines = output.getvalue().splitlines()
    assert len(lines) == 3, "what happened, and a line at most every 5 s"
    assert lines[0].endswith("【红】井盖打开｜文峰路 倾角 78 °")
    assert lines[1].endswith("【解除】井盖打开｜文峰路")
    assert lines[2].endswith(line(SCENE))
    assert "收 1234 存 1200 重 30 隔 4" in lines[2]
