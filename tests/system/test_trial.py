"""`underfoot trial` as a tester types it: a score, a folder that can be scored again, and nothing left running."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.system.installation import COMMAND, Installation

SCENARIO = """\
name: half-an-hour
title: 半小时
about: A cover opens and a short, hard rain falls; half an hour in half a minute.
hours: 0.5
daylight: day
rain: {rain: uniform, mm_h: 60, minutes: 15, begins: 00:05}
equipment: {lamps_per_node: 0}
faults:
  - {fault: open_cover, at: "00:10", pick: {family: cover, count: 1}}
"""


def test_what_cannot_be_tried_is_said_before_anything_starts(installation: Installation) -> None:
    unknown = installation.run("trial", "no-such-scenario", succeeds=False, timeout=60)
    assert "no-such-scenario" in unknown.stderr
    assert "evening-storm" in unknown.stderr
    style = installation.run("trial", "calm-day", "--style", "baroque", succeeds=False, timeout=60)
    assert "baroque" in style.stderr


@pytest.mark.long
def test_a_trial_scores_and_leaves_its_folder_and_nothing_else(installation: Installation) -> None:
    installation.environment["TMPDIR"] = str(installation.folder)
    scenario = installation.folder / "half-an-hour.yaml"
    scenario.write_text(SCENARIO, encoding="utf-8")
    out = installation.folder / "run"
    options = ["--nodes", "40", "--speed", "60", "--out", str(out), "--json"]
    done = installation.run("trial", str(scenario), *options, timeout=300)
    score = json.loads(done.stdout)
    assert score["recall_by_kind"]["cover_open"] == {"needed": 1, "raised": 1, "recall": 1.0}
    assert score["delays_by_installation_clock"]
    assert json.loads((out / "score.json").read_text(encoding="utf-8")) == score
    assert json.loads((out / "fleet.json").read_text(encoding="utf-8"))["books"]["balance"]
    again = subprocess.run([COMMAND, "score", str(out), "--json"], capture_output=True, text=True, check=True,
                           env=installation.environment)  # fmt: skip
    assert json.loads(again.stdout) == score
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(installation.folder) not in left
    assert not list(installation.folder.glob("underfoot-trial-*"))
