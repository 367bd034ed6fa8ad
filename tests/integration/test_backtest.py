"""A rule tried on stored history finds what the shard's holder raised when it was live; and the command for it."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from typer.testing import CliRunner

from alerts.backtest.result import Backtest
from alerts.backtest.run import backtest
from alerts.backtest.trial import Trial, fleet_of
from alerts.rulebook.book import rules_in_force
from alerts.rulebook.cli import commands
from alerts.rules import JudgedRule
from alerts.timers import post_due
from tests.integration.shard import HOUR, MINUTE, SECOND, Shard, shard_of
from underfoot.city_time import CITY_ZONE
from underfoot.reports import moment
from underfoot.storage.connect import connect

_SAYS: dict[str, dict[str, list[Any]]] = {
    "C-1": {"open": [True, False, False], "tilt_deg": [3.0, 14.0, 19.0, 40.0], "battery_pct": [50, 15, 8]},
    "C-2": {"h2s_mg_m3": [5.0, 12.0, 25.0], "water_below_rim_m": [2.0, 0.4, 0.3, -0.1]},
    "R-1": {"depth_cm": [0.0, 4.0, 12.0, 28.0]},
    "P-1": {"fill_ratio": [0.3, 0.8, 1.1], "network": [0]},
    "N-1": {"amount_mm": [0.0, 2.0, 6.0]},
    "L-1": {"leakage_ma": [1.0, 30.0, 45.0], "tilt_deg": [0.0, 3.0, 5.0]},
}


@pytest.fixture(scope="module")
def lived(module_database: str) -> Iterator[tuple[Shard, int, int]]:
    """A shard that has lived through some hours, in order: between when and when."""
    chance = random.Random(77)
    with psycopg.connect(module_database, autocommit=True) as looking, shard_of(module_database) as shard:
        begin_us = shard.now_us = (shard.now_us - 6 * HOUR) // 1000 * 1000
        end_us = begin_us + 4 * HOUR
        coming = []
        for device_id, says in _SAYS.items():
            at_us = begin_us
            while (at_us := at_us + chance.choice([5, 60, 200, 700, 1500]) * SECOND) < end_us:
                values = {name: chance.choice(among) for name, among in says.items() if chance.random() < 0.8}
                coming.append((at_us // 1000 * 1000, device_id, values))
        coming.sort(key=lambda one: one[0])
        for now_us in range(begin_us, end_us + 1, 5 * MINUTE):
            batch = []
            while coming and coming[0][0] < now_us:
                at_us, device_id, values = coming.pop(0)
                shard.now_us = at_us - 1000
                batch.append(shard.says(device_id, values, at_us))
            shard.now_us = now_us
            shard.commit(*batch, *shard.probe(now_us))
            post_due(looking)
            shard.look_around()
        yield shard, begin_us, end_us


def _tried(shard: Shard, rule_id: str, begin_us: int, end_us: int) -> Backtest:
    with connect(shard.database, "test") as connection:
        in_force = next(one for one in rules_in_force(connection) if one.rule.rule_id == rule_id)
        trial = Trial(in_force, in_force.version, moment(begin_us), moment(end_us))
        return backtest(connection, trial, fleet_of(connection, trial))


def _families(shard: Shard) -> list[str]:
    with connect(shard.database, "test") as connection:
        return [one.rule.rule_id for one in rules_in_force(connection) if isinstance(one.rule, JudgedRule)]


def test_every_rule_finds_what_it_raised_when_it_was_live(lived: tuple[Shard, int, int]) -> None:
    shard, begin_us, end_us = lived
    raised = 0
    for rule_id in _families(shard):
        found = _tried(shard, rule_id, begin_us, end_us)
        live = shard.rows(
            "SELECT device_id, raised_at, cleared_at, worst_severity FROM episodes JOIN alarms USING (alarm_key)"
            " JOIN devices USING (device_key) WHERE rule_id = %s ORDER BY device_id, raised_at",
            rule_id,
        )
        episodes = sorted(found.episodes, key=lambda one: (one.device_id, one.raised_at))
        assert [(e.device_id, e.raised_at, e.cleared_at, e.severity) for e in episodes] == [
            tuple(row.values()) for row in live
        ], rule_id
        assert found.raised == found.of_this_rule.recorded == found.of_this_rule.recorded_found == len(live)
        assert found.new == 0
        raised += len(live)
    assert raised > 30


def test_a_span_begins_with_what_was_open_then(lived: tuple[Shard, int, int]) -> None:
    """From anywhere on, the same is open, whatever was on its way."""
    shard, begin_us, end_us = lived
    for rule_id in ("cover.open", "road.underpass", "lamp.tilt"):
        whole = _tried(shard, rule_id, begin_us, end_us)
        for later_us in (begin_us + HOUR, begin_us + 2 * HOUR + 7 * MINUTE):
            part = _tried(shard, rule_id, later_us, end_us)
            expected = [one for one in whole.episodes if one.cleared_at is None or one.cleared_at >= moment(later_us)]
            assert part.episodes == expected, rule_id


def test_silence_is_tried_by_receipts(lived: tuple[Shard, int, int]) -> None:
    shard, begin_us, end_us = lived
    allowed = timedelta(seconds=3 * 900 + 300)
    with connect(shard.database, "test") as connection:
        in_force = next(one for one in rules_in_force(connection) if one.rule.rule_id == "road.offline")
        rule = in_force.rule.model_copy(update={"intervals": 3, "grace_s": 300})
        trial = Trial(type(in_force)(rule, 1), None, moment(begin_us), moment(end_us + 3 * HOUR))
        found = backtest(connection, trial, fleet_of(connection, trial))
    rows = shard.rows("SELECT received_at FROM report_road ORDER BY received_at")
    heard = [moment(begin_us) - allowed, *(row["received_at"] for row in rows)]
    (last,) = [one for one in found.episodes if one.cleared_at is None]
    assert last.raised_at == heard[-1] + allowed
    gaps = [(a, b) for a, b in itertools.pairwise(heard) if b - a > allowed]
    assert sorted((one.raised_at, one.cleared_at) for one in found.episodes if one.cleared_at) == [
        (a + allowed, b) for a, b in gaps
    ]


def test_what_people_said_of_episodes_is_held_against_it(lived: tuple[Shard, int, int]) -> None:
    shard, begin_us, end_us = lived
    keys = [
        row["episode_key"]
        for row in shard.rows(
            "SELECT episode_key FROM episodes JOIN alarms USING (alarm_key)"
            " WHERE rule_id = 'cover.open' ORDER BY raised_at"
        )
    ]
    said = "UPDATE episodes SET confirmed = %s, confirmed_by = 'ops', confirmed_at = now() WHERE episode_key = ANY(%s)"
    shard.ask.execute(said, [False, keys[:2]])
    shard.ask.execute("UPDATE episodes SET human = 'acknowledged' WHERE episode_key = %s", [keys[2]])
    found = _tried(shard, "cover.open", begin_us, end_us)
    ours = found.of_this_rule
    assert (ours.false, ours.false_found, ours.confirmed, ours.confirmed_found) == (2, 2, 1, 1)
    assert [one.confirmed for one in found.recorded][:4] == [False, False, True, None]
    tilted = _tried(shard, "cover.tilt", begin_us, end_us)
    assert tilted.of_other_rules.false == 2, "what else was said of the same cover"


# the command --------------------------------------------------------------------------------------------------------


def _run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(commands, ["rules", "backtest", *arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@pytest.fixture
def span(lived: tuple[Shard, int, int], monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    shard, begin_us, end_us = lived
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", shard.database)
    begin, end = (moment(at).astimezone(CITY_ZONE).strftime("%Y-%m-%dT%H:%M:%S") for at in (begin_us, end_us))
    return "--from", begin, "--to", end


def test_it_is_told_to_people_programs_and_eyes(span: tuple[str, ...], tmp_path: Path) -> None:
    shown = _run("road.underpass", *span)
    assert "下穿积水 · road.underpass (v1)" in shown
    assert "notices" in shown
    svg = tmp_path / "alarms.svg"
    found = Backtest.model_validate(json.loads(_run("road.underpass", *span, "--json", "--picture", str(svg))))
    assert found.raised == len(found.episodes) > 0
    assert "下穿积水（road.underpass，第1版）历史回测" in svg.read_text(encoding="utf-8")
    one = json.loads(_run("cover.open", *span, "--json", "--device", "C-2"))
    assert (one["devices"], one["raised"]) == (1, 0)
    assert json.loads(_run("cover.open", *span, "--json", "--area", "410502"))["devices"] == 2


def test_a_rule_is_tried_as_a_file_has_it(lived: tuple[Shard, int, int], span: tuple[str, ...], tmp_path: Path) -> None:
    body = lived[0].one("SELECT body FROM rules WHERE rule_id = 'road.underpass'")["body"]
    before = json.loads(_run("road.underpass", *span, "--json"))
    body["levels"] = [level for level in body["levels"] if level["severity"] == "red"]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump([{k: v for k, v in body.items() if v is not None}], allow_unicode=True))
    red = json.loads(_run("road.underpass", *span, "--json", "--file", str(file)))
    assert red["version"] is None
    assert before["by_severity"] != red["by_severity"] == [0, 0, 0, red["raised"]]
    override = {"rule_id": "road.underpass", "scope": "device:R-1", "source": "a test", "enabled": False}
    file.write_text(yaml.safe_dump([override]))
    assert json.loads(_run("road.underpass", *span, "--json", "--file", str(file)))["raised"] == 0
    assert lived[0].one("SELECT count(*) FROM rules WHERE created_by <> 'shipped'")["count"] == 0, "nothing is stored"
    assert "has no rule 'cover.open'" in _run("cover.open", *span, "--json", "--file", str(file), code=1)
    file.write_text("- rule_id: road.underpass\n  levels: 5\n")
    assert "levels" in _run("road.underpass", *span, "--json", "--file", str(file), code=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["road.nothing"], "RULE = 'road.nothing': is not in force"),
        (["road.late_hazard"], "a rule of kind late_hazard can't be tried on history"),
        (["road.underpass", "--device", "R-9"], "device = 'R-9': there is no road device"),
        (["road.underpass", "--area", "990000"], "--area = '990000': no area has this code"),
        (["road.underpass", "--from", "yesterday"], "--from: 'yesterday': a time like"),
        (["road.underpass", "--from", "2030-01-01"], "must be after from"),
    ],
)
def test_what_cannot_be_tried_is_told(span: tuple[str, ...], arguments: list[str], said: str) -> None:
    rule_id, *more = arguments
    assert said in json.loads(_run(rule_id, *span, *more, "--json", code=1))["error"]


def test_only_the_chunks_of_the_span_are_read(lived: tuple[Shard, int, int]) -> None:
    shard, _, _ = lived
    plan = shard.rows(
        "EXPLAIN (FORMAT JSON) SELECT device_key FROM report_road"
        " WHERE ts >= %s AND ts < %s AND device_key = ANY(%s::int[])",
        moment(shard.now_us - 300 * 24 * HOUR),
        moment(shard.now_us - 299 * 24 * HOUR),
        [1, 2, 3],
    )
    assert "_hyper_" not in json.dumps(plan), "there is none of that day"
