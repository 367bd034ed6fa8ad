"""Draws a scene of the demo: a live picture where there is a terminal, plain lines where there is none."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.demo_scene import Happened, Scene, Told
from underfoot.alarms import Severity

_COLOURS = {4: "bold white on red", 3: "black on dark_orange", 2: "black on yellow", 1: "white on blue"}
_LINE_EVERY_S = 5.0
_ROWS_BESIDES_ALARMS = 15
_ROOM_FOR_URLS = 30
_ROOM_FOR_BOTH_LANGUAGES = 110


@dataclass(frozen=True)
class Stage:
    """What is being played. `seconds` None: calm, without an end."""

    title: str
    seconds: float | None
    began: float
    urls: tuple[tuple[str, str], ...]

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.began


class View:
    """Where the demo is shown. `show` may be called as often as there is something new."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._next_line = 0.0

    def start(self) -> None:
        if self._console.is_terminal and self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, screen=True)
            self._live.start()

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, stage: Stage, scene: Scene) -> None:
        if self._live is not None:
            self._live.update(picture(stage, scene, *self._console.size), refresh=True)
            return
        for happened in scene.happened:
            self.say(f"{stage.elapsed_s:6.1f} s  {_event(happened)}")
        if time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_EVERY_S
            self.say(f"{stage.elapsed_s:6.1f} s  {line(scene)}")

    def say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


def line(scene: Scene) -> str:
    """The scene in one line."""
    books = scene.books
    told = "  ".join(f"{_AUDIENCES[audience]} {_told(scene.told.get(audience, Told()))}" for audience in _AUDIENCES)
    return (
        f"{scene.reports_per_s:.0f} 条/s  提交延迟 {_delay(scene)}  告警 {_severities(scene)}  {told}  "
        f"收 {books.received} 存 {books.stored} 重 {books.duplicate} 隔 {books.quarantined}"
    )


def picture(stage: Stage, scene: Scene, width: int, height: int) -> RenderableType:
    rows = height - _ROWS_BESIDES_ALARMS
    foot: list[RenderableType] = []
    if height >= _ROOM_FOR_URLS:
        foot = [_foot(stage)]
        rows -= len(stage.urls)
    return Group(
        _head(stage, scene, both_languages=width >= _ROOM_FOR_BOTH_LANGUAGES),
        _alarms(scene, max(3, rows)),
        _deliveries(scene),
        *foot,
    )


def _head(stage: Stage, scene: Scene, *, both_languages: bool) -> RenderableType:
    def number(chinese: str, english: str, value: str) -> Text:
        name = f"{chinese} {english} " if both_languages else f"{chinese} "
        return Text.assemble((name, "dim"), (value, "bold"))

    title = Table.grid(expand=True, padding=(0, 1))
    title.add_column(no_wrap=True)
    title.add_column(ratio=1)
    title.add_column(no_wrap=True, justify="right")
    name = Text.assemble(("脚底下的安全 ", "bold"), stage.title)
    elapsed = f"{stage.elapsed_s:.0f} s"
    if stage.seconds is None:
        title.add_row(name, "", Text(f"{elapsed}　Ctrl-C 结束 ends"))
    else:
        bar = ProgressBar(total=stage.seconds, completed=min(stage.elapsed_s, stage.seconds))
        title.add_row(name, bar, Text(f"{elapsed} / {stage.seconds:.0f} s"))
    books = scene.books
    numbers = Table.grid(expand=True)
    for _ in range(4):
        numbers.add_column(ratio=1, no_wrap=True)
    numbers.add_row(
        number("上报/秒", "reports/s", f"{scene.reports_per_s:,.0f}"),
        number("提交延迟", "delay", _delay(scene)),
        number("在案告警", "open", str(sum(scene.open_by_severity.values()))),
        number("累计告警", "episodes", str(scene.episodes)),
    )
    numbers.add_row(
        number("收到", "received", f"{books.received:,}"),
        number("入库", "stored", f"{books.stored:,}"),
        number("重复", "duplicate", f"{books.duplicate:,}"),
        number("隔离", "quarantined", f"{books.quarantined:,}"),
    )
    return Panel(Group(title, numbers), border_style="cyan")


def _alarms(scene: Scene, rows: int) -> RenderableType:
    table = Table(expand=True, box=None, show_edge=False, header_style="dim", padding=(0, 1))
    table.add_column("级别", no_wrap=True, width=4)
    table.add_column("告警 alarm", no_wrap=True, ratio=3)
    table.add_column("位置 place", no_wrap=True, ratio=6, overflow="ellipsis")
    table.add_column("读数 reading", no_wrap=True, ratio=3)
    table.add_column("已持续 age", no_wrap=True, justify="right", width=10)
    shown = scene.alarms[:rows] if len(scene.alarms) <= rows else scene.alarms[: rows - 1]
    for alarm in shown:
        table.add_row(_badge(alarm.severity), alarm.title, alarm.where, alarm.reading, _age(alarm.age_s))
    total = sum(scene.open_by_severity.values())
    if total > len(shown):
        table.add_row("", Text(f"……另有 {total - len(shown)} 条 more", style="dim"))
    for _ in range(rows - len(shown) - (total > len(shown))):
        table.add_row("", "")
    return Panel(
        table, title=Text.assemble("在案告警 ", _severity_badges(scene)), title_align="left", border_style="red"
    )


def _deliveries(scene: Scene) -> RenderableType:
    counts = Table.grid(padding=(0, 3))
    counts.add_row(
        *(
            Text.assemble((f"{title} ", "dim"), _told(scene.told.get(audience, Told())))
            for audience, title in _AUDIENCES.items()
        )
    )
    said = Text(scene.crew_message or "—", overflow="fold")
    to = Text(f"最近发给班组的消息 last message to a crew{'：' + scene.crew if scene.crew else ''}", style="dim")
    return Panel(Group(counts, to, said), title="推送 deliveries", title_align="left", border_style="green", height=7)


def _foot(stage: Stage) -> RenderableType:
    urls = Table.grid(padding=(0, 2))
    for name, url in stage.urls:
        urls.add_row(Text(name, style="dim"), Text(url, style="cyan", overflow="fold"))
    return Align.left(urls)


_AUDIENCES = {"platform": "一网统管平台", "crew": "班组"}


def _event(happened: Happened) -> str:
    label = "解除" if happened.over else Severity(happened.severity).label
    reading = f" {happened.proof}" if happened.proof and not happened.over else ""
    return f"【{label}】{happened.title}｜{happened.place}{reading}"


def _delay(scene: Scene) -> str:
    return "—" if scene.probe_delay_ms is None else f"{scene.probe_delay_ms:.1f} ms"


def _told(told: Told) -> str:
    text = f"已送达 {told.delivered}"
    for name, count in (("待送", told.owed), ("死信", told.dead), ("不必送", told.dropped)):
        if count:
            text += f" {name} {count}"
    return text


def _severities(scene: Scene) -> str:
    return " ".join(f"{severity.label}{scene.open_by_severity.get(severity, 0)}" for severity in reversed(Severity))


def _severity_badges(scene: Scene) -> Text:
    badges = [_badge(severity, scene.open_by_severity.get(severity, 0)) for severity in reversed(Severity)]
    return Text(" ").join(badges)


def _badge(severity: int, count: int | None = None) -> Text:
    label = Severity(severity).label
    return Text(f" {label} " if count is None else f" {label} {count} ", style=_COLOURS[severity])


def _age(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes} 分 {rest:02d} 秒" if minutes else f"{rest} 秒"
