"""What `underfoot simulate storm` shows while it runs: a live picture where there is a terminal, else plain lines."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from simulators.play import HeldBy, Progress
from simulators.world.books import Behind
from simulators.world.now import Chronicle, Now
from simulators.world.prepare import World
from underfoot.city_time import CITY_ZONE

_LINE_EVERY_S = 10.0
_DRAW_EVERY_S = 0.25
_RATE_OVER_S = 4.0
_BEHIND_S = 1.0
_HELD_BY: dict[HeldBy, str] = {
    "": "",
    "broker": "消息代理接收不及 · the broker does not take them",
    "rate limit": "受速率限制 · --rate-limit",
    "this machine": "本机生成不及 · this machine cannot make them faster",
}


class StormView:
    """`show` may be called as often as there is something new. `behind`: how far ingest is, asked for now and then."""

    def __init__(
        self, console: Console, world: World, chronicle: Chronicle, behind: Callable[[], Behind | None]
    ) -> None:
        self._console = console
        self._world = world
        self._chronicle = chronicle
        self._behind = behind
        self._every_s = _DRAW_EVERY_S if console.is_terminal else _LINE_EVERY_S
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._counted: deque[tuple[float, int]] = deque()
        self._next_at = 0.0

    def __enter__(self) -> StormView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + self._every_s
        state = self._chronicle.at(max(progress.at_s, 0.0))
        rate = self._rate(now, progress.account.messages)
        if self._live is None:
            self._console.print(Text(self._line(progress, state, rate)), soft_wrap=True)
        else:
            self._live.update(self._picture(progress, state, rate), refresh=True)

    def settle(self, behind: Behind, waited_s: float) -> None:
        """While ingest catches up with what was sent."""
        now = time.monotonic()
        if now < self._next_at:
            return
        self._next_at = now + self._every_s
        said = Text(f"等待入库 {waited_s:.0f} s：{_ingest(behind)} · waiting for ingest")
        if self._live is None:
            self._console.print(said, soft_wrap=True)
        else:
            self._live.update(said, refresh=True)

    def _rate(self, now: float, messages: int) -> float:
        self._counted.append((now, messages))
        while len(self._counted) > 2 and now - self._counted[1][0] >= _RATE_OVER_S:
            self._counted.popleft()
        then, messages_then = self._counted[0]
        return (messages - messages_then) / (now - then) if now > then else 0.0

    def _line(self, progress: Progress, state: Now, rate: float) -> str:
        return "  ".join(
            part
            for part in (
                f"{_clock(state.at_ms)} ({_span(progress.at_s)})",
                f"雨强 {state.rain_mm_h:.1f} mm/h",
                _wrong(state),
                _messages(progress, self._world.lost, rate),
                _late(progress),
                _ingest(self._behind()),
            )
            if part
        )

    def _picture(self, progress: Progress, state: Now, rate: float) -> Panel:
        world = self._world
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        hours = _span(world.hydrographs.seconds)
        table.add_row("时刻 time", f"{_clock(state.at_ms)}  ({_span(progress.at_s)} / {hours}, {world.span.speed:g}×)")
        table.add_row("", ProgressBar(total=world.hydrographs.seconds, completed=max(progress.at_s, 0.0), width=60))
        table.add_row("降雨 rain", f"{state.rain_mm_h:.1f} mm/h，累计 {state.fallen_mm:.1f} mm")
        table.add_row("异常 wrong", Text(_wrong(state) or "无", style="bold red" if state.wrong else "green"))
        table.add_row("报文 messages", _messages(progress, world.lost, rate))
        late, ingest = _late(progress), _ingest(self._behind())
        table.add_row("滞后 behind", Text(late or "无", style="yellow" if late else "green"))
        if ingest:
            table.add_row("接入 ingest", ingest)
        title = f"{world.scenario.title} {world.scenario.name} · {world.network.name} · {len(world.city.sites)} 台设备"
        return Panel(table, title=Text(title), title_align="left")


def _clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, CITY_ZONE).strftime("%m-%d %H:%M:%S")


def _span(seconds: float) -> str:
    minutes, left = divmod(int(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}"


def _wrong(state: Now) -> str:
    return "，".join(f"{label} {count}" for label, count in state.wrong.items())


def _messages(progress: Progress, lost: Counter[str], rate: float) -> str:
    waiting = progress.waiting + progress.in_flight
    return f"确认 {progress.account.messages:,}（{rate:,.0f}/s），在途 {waiting:,}，未到达 {lost.total():,}" + (
        f"，重连 {progress.reconnects}" if progress.reconnects else ""
    )


def _late(progress: Progress) -> str:
    if progress.behind_s < _BEHIND_S:
        return ""
    return f"滞后 {progress.behind_s:.0f} s：{_HELD_BY[progress.held_by]}".rstrip("：")


def _ingest(behind: Behind | None) -> str:
    if behind is None:
        return ""
    if behind.behind_s is None:
        return "未运行 · not at work"
    return f"入库滞后 {behind.behind_s:.0f} s" + (f"，待处理 {behind.in_inbox}" if behind.in_inbox else "")
