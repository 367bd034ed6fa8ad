"""`underfoot demo`: a storm crosses a made-up city, on real servers, and at the end the books are opened.

`play` is the table of contents. Whatever ends it, nothing that it started outlives it.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
from psycopg.rows import class_row
from rich.console import Console
from rich.text import Text

from deploy import stack
from deploy.children import Children, Interrupted, Signals
from deploy.demo_report import print_verdict
from deploy.demo_scene import Watcher
from deploy.demo_setup import Installation, Options, prepare, start_calm, start_processes, start_storm
from deploy.demo_verdict import Episode, Evidence, Owed, judge
from deploy.demo_view import Stage, View
from deploy.fresh import saying, undoing
from underfoot.settings import load
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import statement

SUMMARY = Path("demo-summary.json")
STORM_TITLE = "示范城市 · 夜间暴雨 evening storm"
CALM_TITLE = "示范城市 · 雨后 calm"
_LOOK_EVERY_S = 0.5
_TAIL_S = 30


def demo(options: Options, console: Console) -> int:
    """Play it. 0: all was as it must be; 1: it was not; 130 or 143: somebody ended it before there was a verdict."""
    home = load().home / "demo"
    return undoing(home, "演示", lambda signals, undo: play(home, options, console, signals, undo))


def play(home: Path, options: Options, console: Console, signals: Signals, undo: ExitStack) -> int:
    """One demo from empty servers to the verdict; `undo` learns how each thing is ended."""
    undo.callback(stack.down, home)
    undo.callback(lambda: console.print("正在停止 · stopping …", style="dim", highlight=False))
    with saying(console) as say:
        installation = prepare(home, options, say)
        children = Children(signals, logs=home / "logs", folder=home, environment=installation.environment)
        undo.callback(children.end)
        start_processes(installation, children, say)
    view = View(console)
    undo.callback(view.stop)
    _announce(console, installation)
    with connect(installation.database_url, "demo", autocommit=True) as connection:
        watcher = Watcher(connection, installation.api_url)
        storm = Stage(STORM_TITLE, options.storm_s, time.monotonic(), _urls(installation))
        fleet = start_storm(installation, children, options)
        _watch(children, watcher, view, storm, until=fleet.ended)
        counted = json.loads(installation.fleet_summary.read_text(encoding="utf-8"))
        ended_at = dt.datetime.fromisoformat(counted["started_at"]) + dt.timedelta(seconds=options.storm_s)
        deadline = time.monotonic() + _TAIL_S
        _watch(
            children,
            watcher,
            view,
            storm,
            until=lambda: _at_rest(connection, ended_at) or time.monotonic() > deadline,
        )
        view.stop()
        summary = judge(_evidence(connection, installation, counted, ended_at))
        SUMMARY.write_text(json.dumps(summary.as_dict(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        print_verdict(console, summary, SUMMARY)
        if options.seconds is None:
            start_calm(installation, children, options)
            calm = Stage(CALM_TITLE, None, time.monotonic(), _urls(installation))
            try:
                _watch(children, watcher, view, calm, until=lambda: False)
            except Interrupted:
                view.stop()
    return 0 if summary.passed else 1


def _watch(children: Children, watcher: Watcher, view: View, stage: Stage, until: Callable[[], bool]) -> None:
    view.start()
    while not until():
        children.check()
        view.show(stage, watcher.look())
        time.sleep(_LOOK_EVERY_S)
    children.check()
    view.show(stage, watcher.look())


def _at_rest(connection: Connection, since: dt.datetime) -> bool:
    """Everything that the broker had is committed, and nothing is owed or waiting any more."""
    row = connection.execute(statement("demo.at_rest"), {"since": since}).fetchone()
    return bool(row and row[0])


def _evidence(
    connection: Connection, installation: Installation, fleet: dict[str, Any], ended_at: dt.datetime
) -> Evidence:
    books = Watcher(connection, installation.api_url).look().books
    (distinct,) = connection.execute(statement("demo.distinct_quarantined")).fetchone() or (0,)
    with connection.cursor(row_factory=class_row(Episode)) as cursor:
        episodes = cursor.execute(statement("demo.episodes")).fetchall()
    with connection.cursor(row_factory=class_row(Owed)) as cursor:
        owed = cursor.execute(statement("demo.owed_to_platform")).fetchall()
    crew_states: dict[str, int] = dict(connection.execute(statement("demo.crew_states")).fetchall())
    records = httpx.get(f"{installation.platform_url}/records", timeout=30, trust_env=False).raise_for_status().json()
    return Evidence(
        fleet=fleet,
        books=books,
        distinct_quarantined=distinct,
        episodes=episodes,
        owed=owed,
        crew_states=crew_states,
        case_rules=frozenset(rule_id for (rule_id,) in connection.execute(statement("demo.case_rules"))),
        records=records,
        storm_ended_at=ended_at,
    )


def _urls(installation: Installation) -> tuple[tuple[str, str], ...]:
    return (
        ("接口 API", f"{installation.api_url}/api/v1/openapi.json"),
        ("健康 health", f"{installation.api_url}/readyz"),
        ("平台记录 platform", f"{installation.platform_url}/records"),
        ("密钥 API key", installation.key),
    )


def _announce(console: Console, installation: Installation) -> None:
    for name, url in _urls(installation):
        console.print(Text(f"{name}  {url}"), soft_wrap=True)
    example = f"curl -H 'Authorization: Bearer {installation.key}' {installation.api_url}/api/v1/alarms"
    console.print(Text(example, style="dim"), soft_wrap=True)
    console.print(Text(f"日志 logs  {installation.home / 'logs'}"), soft_wrap=True)
