"""How well the alarms of storms told the truth: whole trials, on networks that the rules were tuned with and on others.

Each trial is what a tester types: `underfoot trial SCENARIO --style … --json`. Figures are over all trials of a kind of
networks together; those of networks kept out of tuning are the ones that count.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.score.alarms import Record
from simulators.score.cli import ALARMS, read_run, scored
from simulators.score.figures import lead_minutes, needs_telling
from tests.benchmarks.figures import Figure, median
from tests.benchmarks.rig import underfoot

NODES = 120
TUNED = (("demo", 1), ("plain", 1), ("old-town", 1))
KEPT_OUT = (("hillside", 7), ("plain", 23), ("old-town", 42))
"""Styles and seeds with which no rule was ever looked at."""

SPEEDS = {"evening-storm": 120, "blocked-main": 120, "cloudburst-0720": 120, "sensor-rot": 240}
"""By scenario. The networks that the rules were tuned with play the first two, to be held beside the others."""

_AT_ONCE = 2
_WITHIN_S = 3600


@dataclass(frozen=True)
class Trial:
    """One, scored. `leads`: minutes before each overflow that a forecast of it was known."""

    score: dict[str, Any]
    leads: list[float]


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="underfoot-score-") as folder:
        kept_out = _play(KEPT_OUT, list(SPEEDS), Path(folder) / "kept-out")
        tuned = _play(TUNED, list(SPEEDS)[:2], Path(folder) / "tuned")
    return _figures("score", kept_out) + _figures("score.tuned", tuned)


def _play(networks: Sequence[tuple[str, int]], scenarios: Sequence[str], folder: Path) -> list[Trial]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        asked = [
            pool.submit(_trial, scenario, SPEEDS[scenario], style, seed, folder / f"{scenario}-{style}-{seed}")
            for scenario in scenarios
            for style, seed in networks
        ]
        return [one.result() for one in asked]


def _trial(scenario: str, speed: int, style: str, seed: int, out: Path) -> Trial:
    command = [underfoot(), "trial", scenario, "--style", style, "--nodes", str(NODES), "--seed", str(seed)]
    command += ["--speed", str(speed), "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    run, record = read_run(out), Record.load(out / ALARMS)
    _, matches = scored(run, record)
    overflows = [one for one in run.truth.hazards if one.kind == "overflow" and needs_telling(one)]
    return Trial(json.loads(done.stdout), [lead_minutes(one, record, matches) for one in overflows])


def _figures(prefix: str, trials: Sequence[Trial]) -> list[Figure]:
    scores = [trial.score for trial in trials]
    kinds = [kind for score in scores for kind in score["recall_by_kind"].values()]
    roads = [score["precision_by_kind"].get("road_flooding", {"right": 0, "false": 0}) for score in scores]
    hops = [away for score in scores for away in score["hops"]]
    days = sum(score["device_days"] for score in scores)
    right, false = sum(road["right"] for road in roads), sum(road["false"] for road in roads)
    leads = [lead for trial in trials for lead in trial.leads]
    near = sum(away is not None and away <= 1 for away in hops)
    found = [
        ("recall", sum(kind["raised"] for kind in kinds) / sum(kind["needed"] for kind in kinds), "share", "≥", 0.98),
        ("road_precision", right / (right + false), "share", "≥", 0.95),
        ("lead_minutes_median", median(leads), "min", "≥", 10),
        (
            "false_per_100_device_days",
            sum(score["false"] for score in scores) * 100 / days,
            "alarms",
            "≤",
            1,
        ),
        ("localisation_within_1", near / len(hops), "share", "≥", 0.80),
    ]
    return [Figure(f"{prefix}.{name}", value, unit, f"target {sign}", goal) for name, value, unit, sign, goal in found]
