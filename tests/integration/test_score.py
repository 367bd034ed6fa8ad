"""A score on a real database: which alarms are read, and the command from a run's folder to figures and picture."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.types.json import Jsonb
from rich.console import Console
from typer.testing import CliRunner

from simulators.network.city import NetworkCity
from simulators.score.alarms import Alarm, Change, Record, read_alarms
from simulators.score.cli import commands
from simulators.score.errors import ScoreError
from simulators.truth import Truth
from tests.unit.hand_made_run import BEGINS_MS, at_ms, city, hydrographs, network, site, truth_of
from underfoot.storage.connect import connect

LEDGER = """
INSERT INTO areas (code, name, level) VALUES ('410502', '文峰区', 'district');
INSERT INTO assets (asset_code, kind, name, area_code) VALUES
    ('A-1', '0103', '雨水井1', '410502'), ('A-2', '0103', '雨水井2', '410502'), ('A-3', '2124', '东风路', '410502');
INSERT INTO gateways (gateway_id, district) VALUES ('GW', '410502');
INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)
SELECT device_id, family, '410502', asset_key, 900
FROM (VALUES ('R1', 'road', 'A-3'), ('P1', 'pipe', 'A-1'), ('P2', 'pipe', 'A-2')) AS v (device_id, family, asset_code)
JOIN assets USING (asset_code);
INSERT INTO pipes (pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m)
SELECT 'P-1-2', a.asset_key, b.asset_key, 'storm', 1000, 50, 100, 99.5
FROM assets a, assets b WHERE a.asset_code = 'A-1' AND b.asset_code = 'A-2';
"""
SUBJECTS = {
    "device": "SELECT device_key, device_key, asset_key FROM devices WHERE device_id = %s",
    "pipe": "SELECT pipe_key, NULL::int, to_asset FROM pipes WHERE pipe_id = %s",
    "gateway": "SELECT gateway_key, NULL::int, NULL::int FROM gateways WHERE gateway_id = %s",
}


class Books:
    """Writes alarms as the engine records them; times in minutes of the run."""

    def __init__(self, database: str) -> None:
        self.connection = psycopg.connect(database, autocommit=True)
        self.connection.execute(LEDGER)

    def episode(
        self,
        kind: str,
        subject: str,
        rule_id: str,
        raised: float,
        cleared: float | None,
        severities: tuple[tuple[float, int], ...],
        **changes: Any,
    ) -> int:
        (key, device_key, asset_key) = self.one(SUBJECTS[kind], [subject])
        (alarm_key,) = self.one(
            "INSERT INTO alarms (subject_kind, subject_key, rule_id, device_key, asset_key, episode)"
            " VALUES (%s, %s, %s, %s, %s, 1) ON CONFLICT (subject_kind, subject_key, rule_id)"
            " DO UPDATE SET episode = alarms.episode + 1 RETURNING alarm_key",
            [kind, key, rule_id, device_key, asset_key],
        )
        facts: dict[str, Any] = {
            "alarm_key": alarm_key,
            "episode": changes.pop("episode", 1),
            "rule_version": 1,
            "title": rule_id,
            "condition": "normal" if cleared is not None else "active",
            "severity": severities[-1][1],
            "worst_severity": max(severity for _, severity in severities),
            "raised_at": moment(raised),
            "raised_received_at": moment(raised),
            "committed_at": moment(raised + 0.1),
            "cleared_at": None if cleared is None else moment(cleared),
            "cleared_received_at": None if cleared is None else moment(cleared),
            "proof": Jsonb({"field": "depth_cm", "value": 12.5, "unit": "cm"}),
        }
        self.insert("episodes", facts | changes)
        number = self.one("SELECT count(*) FROM transitions WHERE alarm_key = %s", [alarm_key])[0]
        for at, severity in severities:
            number += 1
            self.insert(
                "transitions",
                {
                    "alarm_key": alarm_key,
                    "transition_no": number,
                    "episode": facts["episode"],
                    "region": "condition",
                    "from_state": "normal",
                    "to_state": "active",
                    "severity": severity,
                    "reason": "limit_reached",
                    "actor": "engine",
                    "event_at": moment(at),
                    "received_at": moment(at),
                },
            )
        return int(alarm_key)

    def insert(self, table: str, facts: dict[str, Any]) -> None:
        names, places = ", ".join(facts), ", ".join(["%s"] * len(facts))
        self.connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})".encode(), list(facts.values()))

    def one(self, query: str, values: list[Any]) -> tuple[Any, ...]:
        row = self.connection.execute(query.encode(), values).fetchone()
        assert row is not None
        return row


def moment(minutes: float) -> datetime:
    return datetime.fromtimestamp(at_ms(minutes) / 1000, UTC)


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    made = Books(database)
    try:
        yield made
    finally:
        made.connection.close()


def read(database: str, **changes: Any) -> Record:
    asked: dict[str, Any] = {
        "begins_ms": BEGINS_MS,
        "ends_ms": at_ms(240),
        "devices": ["R1", "P1", "P2"],
        "played_from_ms": BEGINS_MS,
    }
    with connect(database, "test") as connection:
        return read_alarms(connection, **asked | changes)


def test_alarms_are_read_with_what_they_are_about_and_how_they_changed(database: str, books: Books) -> None:
    key = books.episode("device", "R1", "road.ponding", 61, 120, ((61, 1), (65, 3)), withheld=True)
    books.insert(
        "suppressions",
        {"alarm_key": key, "kind": "by_design", "since": moment(62), "reason": "险情", "actor": "engine"},
    )
    books.insert(
        "suppressions",
        {
            "alarm_key": key,
            "kind": "shelved",
            "since": moment(10),
            "ended_at": moment(20),
            "reason": "施工",
            "actor": "王工",
        },
    )
    books.episode("pipe", "P-1-2", "drainage.blockage", 80, None, ((80, 3),))
    books.episode("gateway", "GW", "gateway.outage", 90, 95, ((90, 2),))
    road, pipe, gateway = read(database).alarms
    assert road == Alarm(
        alarm_key=key,
        episode=1,
        rule_id="road.ponding",
        subject_kind="device",
        subject=road.subject,
        device_id="R1",
        asset_code="A-3",
        title="road.ponding",
        raised_ms=at_ms(61),
        recorded_ms=at_ms(61.1),
        cleared_ms=at_ms(120),
        severity=3,
        changes=(Change(at_ms=at_ms(61), severity=1), Change(at_ms=at_ms(65), severity=3)),
        withheld=True,
        suppressed=("by_design",),
        proof={"field": "depth_cm", "value": 12.5, "unit": "cm"},
    )
    assert (pipe.pipe_id, pipe.asset_code, pipe.device_id, pipe.cleared_ms) == ("P-1-2", "A-2", "", None)
    assert (gateway.gateway_id, gateway.asset_code) == ("GW", "")


def test_only_episodes_of_the_run_are_read_each_with_its_own_changes(database: str, books: Books) -> None:
    books.episode("device", "R1", "road.ponding", -30, -5, ((-30, 4),))
    books.episode("device", "R1", "road.ponding", 61, 70, ((61, 2),), episode=2)
    books.episode("device", "R1", "road.ponding", 241, None, ((241, 1),), episode=3)
    (one,) = read(database).alarms
    assert (one.episode, one.changes) == (2, (Change(at_ms=at_ms(61), severity=2),))


def test_a_database_that_does_not_know_the_devices_is_another_citys(database: str, books: Books) -> None:
    with pytest.raises(ScoreError, match=r"knows 3 of the run's 4 devices.*--alarms"):
        read(database, devices=["R1", "P1", "P2", "P3"])


def test_whose_clock_it_was_is_seen_by_when_alarms_were_recorded(database: str, books: Books) -> None:
    books.episode("device", "R1", "road.ponding", 61, 70, ((61, 2),))
    assert read(database).same_clock, "played as fast as life"
    assert read(database, played_from_ms=at_ms(236)).same_clock, "recorded before it was played: in lapsed time"
    assert not read(database, played_from_ms=at_ms(50)).same_clock


# the command ---------------------------------------------------------------------------------------------------------
NETWORK = network([("1-2", "1", "2")])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run of 4 h in which a road was flooded and a manhole overflowed."""
    folder = tmp_path / "run"
    sites = (site("R1", "road", "2"), site("P1", "pipe", "1"), site("P2", "pipe", "2"))
    pond = [0.0] * 60 + [0.3] * 30 + [0.0]
    depth = [0.2] * 60 + [3.1] * 30 + [0.2]
    water = hydrographs(
        NETWORK, 240, ponding_m={"2": pond}, depth_m={"2": depth}, rain_mm_h={"G": [*np.linspace(0, 40, 60), 0.0]}
    )
    folder.mkdir()
    made: NetworkCity = city(NETWORK, *sites)
    made.write(folder / "city")
    truth_of(NETWORK, water, *sites).save(folder / "truth.json")
    water.save(folder / "hydrographs.npz")
    (folder / "run.json").write_text(json.dumps({"speed": 60.0}), encoding="utf-8")
    return folder


def score(*arguments: object, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(commands, [str(one) for one in arguments], env=env)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def without_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UNDERFOOT_DATABASE_URL", raising=False)
    monkeypatch.setenv("UNDERFOOT_HOME", str(tmp_path / "home"))


def test_from_the_database_and_again_without_it(
    database: str, books: Books, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    books.episode("device", "R1", "road.ponding", 60.5, 100, ((60.5, 3),))
    books.episode("device", "P2", "pipe.surcharge", 62, 95, ((62, 2),))
    books.episode("device", "P1", "pipe.surcharge", 62, 95, ((62, 2),))
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", database)
    code, out, err = score(run, "--json")
    assert (code, err) == (0, "")
    first = json.loads(out)
    assert first == json.loads((run / "score.json").read_text(encoding="utf-8"))
    assert {"recall", "precision", "lead_minutes_median", "false_per_100_device_days"} <= set(first)
    assert (first["recall"], first["false"], first["lead_minutes_median"], first["localisation_exact"]) == (
        1,
        1,
        0,
        None,
    )
    assert first["false_alarms"][0]["place"] == "P1"
    monkeypatch.delenv("UNDERFOOT_DATABASE_URL")
    monkeypatch.setenv("UNDERFOOT_HOME", str(tmp_path / "home"))
    assert json.loads(score(run, "--json")[1]) == first
    assert json.loads(score(run, "--json", "--alarms", run / "alarms.json")[1]) == first


def test_the_table_says_what_was_missed_and_what_was_false(
    run: Path, without_database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulators.score.cli.out", Console(width=160))
    Record(same_clock=True, alarms=()).save(run / "alarms.json")
    code, out, _ = score(run, "--show", 1)
    assert code == 0
    assert re.search(r"险情告知 hazards raised[\s│]+≥ 0.98[\s│]+0[\s│]+未达 missed", out)
    assert re.search(r"误报 false / 100 device-days[\s│]+≤ 1[\s│]+0[\s│]+达标 met", out)
    assert "漏报 missed: 3，前 1 条" in out


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_picture_shows_water_and_alarms(run: Path, without_database: None, ending: str, tmp_path: Path) -> None:
    facts: dict[str, Any] = {"alarm_key": 1, "episode": 1, "rule_id": "road.ponding", "subject_kind": "device"}
    told = Alarm(**facts, device_id="R1", raised_ms=at_ms(61), recorded_ms=at_ms(61), severity=3)
    Record(same_clock=True, alarms=(told,)).save(run / "alarms.json")
    file = tmp_path / f"score.{ending}"
    assert score(run, "--picture", file)[0] == 0
    if ending == "svg":
        text = file.read_text(encoding="utf-8")
        assert "road.ponding" in text
        assert "道路积水" in text or "road flooding" in text
    else:
        assert file.read_bytes().startswith(b"\x89PNG")


def test_without_a_chinese_font_the_picture_speaks_english(
    run: Path, without_database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A character that no font has would be a warning, and a warning an error here."""
    monkeypatch.setattr("simulators.score.picture._chinese_font", lambda installed: None)
    kept = json.loads((run / "truth.json").read_text(encoding="utf-8"))
    (run / "truth.json").write_text(json.dumps(kept | {"network": "文峰区管网"}), encoding="utf-8")
    Record(same_clock=True, alarms=()).save(run / "alarms.json")
    assert score(run, "--picture", tmp_path / "score.png")[0] == 0
    assert score(run, "--picture", tmp_path / "score.svg")[0] == 0
    assert "road flooding (cm)" in (tmp_path / "score.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: (run / "truth.json").unlink(), "truth.json: there is no such file"),
        (lambda run: (run / "run.json").unlink(), "run.json: there is no such file"),
        (lambda run: (run / "run.json").write_text('{"speed": 0}'), "speed = 0; a number above 0"),
        (lambda run: (run / "truth.json").write_text("{}"), "scenario: Field required"),
        (lambda run: (run / "city" / "sites.json").unlink(), "sites.json: there is no such file"),
        (lambda run: None, "there are no alarms: no database is set"),
        (lambda run: (run / "alarms.json").write_text("[]"), "no alarms of a run"),
    ],
)
def test_what_is_wrong_with_a_run_is_said_in_a_line(run: Path, without_database: None, spoil: Any, said: str) -> None:
    spoil(run)
    code, _, err = score(run)
    assert code == 2
    assert said in err.replace("\n", " ")


def test_a_picture_that_cannot_be_is_said_before_the_work(run: Path, without_database: None) -> None:
    code, _, err = score(run, "--picture", "score.pdf")
    assert (code, "must end in .svg or .png" in err.replace("\n", " ")) == (2, True)
    assert not (run / "score.json").exists()


def test_a_score_without_a_picture_needs_no_matplotlib() -> None:
    asked = "import sys, simulators.score.cli; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def test_the_truth_of_the_folder_is_what_happened(run: Path) -> None:
    kinds = {hazard.kind for hazard in Truth.load(run / "truth.json").hazards}
    assert {"road_flooding", "overflow", "surcharge"} <= kinds
