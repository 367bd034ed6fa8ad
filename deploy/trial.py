"""`underfoot trial`: a scenario plays over a network, on a fresh installation in lapsed time; its alarms are scored.

    network → water → servers → lapsed time begins → ingest, alerts, API → city registered, fleet plays → score

`_play` is the table of contents. Whatever ends it, nothing that it started outlives it; the run's folder stays. Any
number may be under way at once: each has servers of its own, in a folder that nobody else knows.
"""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy import stack
from deploy.children import Children, Signals
from deploy.fresh import READY_WITHIN_S, Fresh, answers, caught_up, fresh_servers, undoing
from deploy.ports import any_free
from deploy.rootfs import Say
from simulators.network.generate import generate_network
from simulators.scenario.load import ScenarioFile, read_scenario
from simulators.score.cli import SCORE
from simulators.score.figures import Score
from simulators.world.folder import RunFolder
from simulators.world.prepare import prepare
from simulators.world.register import REGISTERED_PER_S
from simulators.world.span import Span
from underfoot.clock import TimeLapse
from underfoot.storage.connect import connect

DATABASE = "underfoot_trial"
_LEAD_S = 14.0
"""From the beginning of lapsed time to the first report: the processes start, the city is registered."""

_HOUR_MS = 3_600_000
_SETTLES_S = 5.0
"""When all is committed, what is decided by looking again and again has its turn in this time."""

_LATE_S = 1.0
_PATIENCE_S = 180.0
"""Beyond what the run takes; then something is wrong."""


@dataclass(frozen=True)
class Material:
    """What is tried. `network` None: one is made, of this style and size, from its seed."""

    scenario: str
    network: Path | None
    mapping: Path | None
    style: str
    nodes: int
    network_seed: int
    seed: int

    @property
    def name(self) -> str:
        made = f"{self.style}-{self.nodes}-{self.network_seed}" if self.network is None else self.network.stem
        return f"{Path(self.scenario).stem}-{made}-{self.seed}"


def trial(material: Material, speed: float, out: Path, say: Say) -> tuple[int, Score | None]:
    """The exit code, and the score where it came to one. 130 or 143: somebody ended it before."""
    found: list[Score] = []
    with tempfile.TemporaryDirectory(prefix="underfoot-trial-") as name:
        home = Path(name)

        def act(signals: Signals, undo: ExitStack) -> int:
            found.append(_play(material, speed, out.resolve(), home, signals, undo, say))
            return 0

        code = undoing(home, "试验", act)
    return code, found[0] if found else None


def _play(
    material: Material, speed: float, out: Path, home: Path, signals: Signals, undo: ExitStack, say: Say
) -> Score:
    folder = RunFolder(out)
    chosen = read_scenario(material.scenario)
    network, mapping = _network(material, out)
    undo.callback(stack.down, home)
    fresh = fresh_servers(home, DATABASE, say)
    lapse, devices = _prepared(material, chosen, network, mapping, folder, speed, say)
    api_port = any_free()
    environment = {"UNDERFOOT_TIME_LAPSE": str(lapse), "UNDERFOOT_API_PORT": str(api_port)}
    children = Children(signals, logs=out / "logs", folder=home, environment=fresh.environment | environment)
    undo.callback(children.end)
    _start(fresh, f"http://127.0.0.1:{api_port}", children, say)
    say(f"{chosen.scenario.title}：{chosen.scenario.hours:g} h，{speed:g}x · {devices} devices play")
    fleet = children.start("fleet", *_storm(material, network, mapping, folder), ends_by_itself=True)
    children.until(fleet.ended, "fleet", (lapse.until - datetime.now(UTC)).total_seconds() + _PATIENCE_S)
    children.check()
    _tell_if_late(folder, speed, say)
    say("评分 · scoring")
    time.sleep(_SETTLES_S)
    score = children.start("score", "score", str(folder.path), "--json", ends_by_itself=True)
    children.until(score.ended, "score", _PATIENCE_S)
    children.check()
    return Score.model_validate_json((folder.path / SCORE).read_bytes())


def _tell_if_late(folder: RunFolder, speed: float, say: Say) -> None:
    """What comes late by the machine's fault looks like a slow alarm engine."""
    behind_s = float(json.loads(folder.fleet.read_text(encoding="utf-8"))["furthest_behind_s"])
    if behind_s > _LATE_S:
        say(
            f"本机跟不上：最多落后 {behind_s:.1f} 秒 · this machine is too slow for {speed:g}x: the fleet was"
            f" {behind_s * speed / 60:.0f} min behind in its own time; try a lower --speed"
        )


def _network(material: Material, out: Path) -> tuple[Path, Path | None]:
    """The network's file and its mapping's: those that were named, or made into the run's folder."""
    network = material.network
    if network is None:
        network = out / "made" / f"{material.style}-{material.nodes}-{material.network_seed}.inp"
        network.parent.mkdir(exist_ok=True)
        generate_network(network, style=material.style, nodes=material.nodes, seed=material.network_seed)
    beside = network.with_suffix(".yaml")
    return network.resolve(), material.mapping or (beside if beside.is_file() else None)


def _prepared(
    material: Material,
    chosen: ScenarioFile,
    network: Path,
    mapping: Path | None,
    folder: RunFolder,
    speed: float,
    say: Say,
) -> tuple[TimeLapse, int]:
    """The water is computed before time begins to run, and found in the run's folder by the fleet. It has the hours of
    the day in it: so again, should another hour have begun meanwhile. Returns how many devices there are, too."""
    devices = 0
    while True:
        span = _span(chosen, speed, devices)
        devices = len(prepare(chosen, network, mapping, material.seed, span, folder, say).city.sites)
        now = _span(chosen, speed, devices)
        if now.begins_ms // _HOUR_MS == span.begins_ms // _HOUR_MS:
            return TimeLapse(speed, datetime.fromtimestamp(now.ends_ms / 1000, UTC)), devices


def _span(chosen: ScenarioFile, speed: float, devices: int) -> Span:
    seconds = chosen.scenario.hours * 3600
    begins_s = time.time() + _LEAD_S + devices / REGISTERED_PER_S
    return Span.ending_at_the_present(seconds, speed, round(begins_s * 1000))


def _start(fresh: Fresh, api_url: str, children: Children, say: Say) -> None:
    """Start what makes up Underfoot; return when all of it is at work."""
    say("启动接入、告警与接口 · starting ingest, alerts and API")
    for name in ("ingest", "alerts", "api"):
        children.start(name, name)
    with connect(fresh.database_url, "trial", autocommit=True) as connection:
        children.until(lambda: caught_up(connection), "ingest", READY_WITHIN_S)
    children.until(lambda: answers(f"{api_url}/readyz"), "api", READY_WITHIN_S)


def _storm(material: Material, network: Path, mapping: Path | None, folder: RunFolder) -> list[str]:
    scenario = Path(material.scenario)
    return [
        *("simulate", "storm", "--network", str(network), "--seed", str(material.seed), "--run", str(folder.path)),
        *("--scenario", str(scenario.resolve()) if scenario.is_file() else material.scenario),
        *(() if mapping is None else ("--mapping", str(mapping.resolve()))),
    ]
