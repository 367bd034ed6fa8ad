"""How well the alarms of storms told the truth: whole trials, on networks that the rules were tuned with and on others.

Each trial is what a tester types: `underfoot trial SCENARIO --style … --json`. Figures are pooled: over all trials of a
scenario, and over all of a kind of networks (false alarms by all their devices and days, lead over all their
overflows). One false alarm in a single trial is more than the target allows a city; of nine trials it is a figure.
Those of networks kept out of tuning are the ones that count. About an hour and a half on two cores that do nothing
else: where they do, what comes late by the machine's fault looks like a short lead.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from simulators.score.alarms import Record
from simulators.score.cli import ALARMS, read_run, scored
from simulators.score.figures import Score, lead_minutes, needs_telling
from tests.benchmarks.figures import Figure, median
from tests.benchmarks.rig import underfoot

NODES = 200
TUNED = (("demo", 2), ("plain", 2), ("old-town", 2))
KEPT_OUT = (("hillside", 7), ("plain", 23), ("old-town", 42))
"""Styles and seeds with which no rule was ever looked at."""

SPEEDS = {"evening-storm": 60, "blocked-main": 120, "cloudburst-0720": 90, "sensor-rot": 240}
"""By scenario. The networks that the rules were tuned with play the first two, to be held beside the others."""

_AT_ONCE = 2
_ROADS = "road_flooding"
_WITHIN_S = 3600


@dataclass(frozen=True)
class Trial:
    """One, scored. `leads`: minutes before each overflow that a forecast of it was known."""

    score: Score
    leads: list[float]


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="underfoot-score-") as folder:
        kept_out = _play(KEPT_OUT, list(SPEEDS), Path(folder) / "kept-out")
        tuned = _play(TUNED, list(SPEEDS)[:2], Path(folder) / "tuned")
    return [*pooled("score", kept_out), *pooled("score.tuned", tuned)]


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
    command += ["--speed", str(speed), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return read_trial(out)


def read_trial(folder: Path) -> Trial:
    """Of a trial's folder."""
    run, record = read_run(folder), Record.load(folder / ALARMS)
    score, matches = scored(run, record)
    overflows = [one for one in run.truth.hazards if one.kind == "overflow" and needs_telling(one)]
    return Trial(score, [lead_minutes(one, record, matches) for one in overflows])


def pooled(prefix: str, trials: Sequence[Trial]) -> Iterator[Figure]:
    """Of all of them together, and of each scenario's; a scenario without a flooded road has no figure of its roads."""
    yield from _figures(prefix, trials)
    for scenario in dict.fromkeys(trial.score.scenario for trial in trials):
        yield from _figures(f"{prefix}.{scenario}", [trial for trial in trials if trial.score.scenario == scenario])


def _figures(prefix: str, trials: Sequence[Trial]) -> Iterator[Figure]:
    scores = [trial.score for trial in trials]
    kinds = [kind for score in scores for kind in score.recall_by_kind.values()]
    roads = [score.precision_by_kind[name] for score in scores for name in score.precision_by_kind if name == _ROADS]
    hops = [away for score in scores for away in score.hops]
    right, false = sum(road.right for road in roads), sum(road.false for road in roads)
    leads = [lead for trial in trials for lead in trial.leads]
    needed, days = sum(kind.needed for kind in kinds), sum(score.device_days for score in scores)
    if needed:
        recall = sum(kind.raised for kind in kinds) / needed
        yield Figure(f"{prefix}.recall", recall, "share", "target ≥", 0.98)
    if right + false:
        yield Figure(f"{prefix}.road_precision", right / (right + false), "share", "target ≥", 0.95)
    if leads:
        yield Figure(f"{prefix}.lead_minutes_median", median(leads), "min", "target ≥", 10)
    alarms = sum(score.false for score in scores) * 100 / days
    yield Figure(f"{prefix}.false_per_100_device_days", alarms, "alarms", "target ≤", 1)
    if hops:
        near = sum(away is not None and away <= 1 for away in hops) / len(hops)
        yield Figure(f"{prefix}.localisation_within_1", near, "share", "target ≥", 0.80)
