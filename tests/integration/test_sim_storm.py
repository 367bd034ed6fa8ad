"""A small city in the rain, from its network to the books: what `underfoot simulate storm` does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingest.workforce import work
from simulators.network.generate import generate_network
from simulators.scenario.load import read_scenario
from simulators.truth import Truth
from simulators.world.beside import LoadBeside, register_load
from simulators.world.books import Behind, Books, BooksError, check_at_work
from simulators.world.folder import RunFolder
from simulators.world.load_job import LoadJob
from simulators.world.prepare import World, prepare
from simulators.world.register import register_city
from simulators.world.run import Ended, Watch, Ways, expected, run_world
from simulators.world.span import Span
from simulators.world.written import Written, write_messages
from tests.integration.test_sim_publish import subscriber
from underfoot.settings import Settings
from underfoot.storage.connect import connect

SPEED = 900.0
ENDS_MS = 1_795_000_000_000
SCENARIO = """
name: shower
title: 阵雨 · A shower
about: A short shower over a small town, with a bit of everything on the way.
hours: 0.5
daylight: night
rain: {rain: chicago, period_years: 5, minutes: 20, peak_at: 0.4, begins: "00:05"}
equipment: {cover_sensors: 1.0, pipe_gauges: 1.0, through_gateways: 0.5, speeches: {json: 3, cbor: 1}}
faults:
  - {fault: open_cover, at: "00:10", until: "00:20", pick: {family: cover, count: 1}}
  - {fault: duplicate, pick: {share: 0.3}, share: 0.3, within_s: 20}
  - {fault: corrupt_payload, pick: {share: 0.2}, share: 0.3}
  - {fault: gateway_outage, at: "00:08", until: "00:14", keeps: true}
  - {fault: reconnect_storm, at: "00:12", within_s: 300}
  - {fault: malicious_publisher, at: "00:15", until: "00:18", rate: 0.5}
"""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network, its mapping, and a scenario for it."""
    folder = tmp_path_factory.mktemp("town")
    generate_network(folder / "town.inp", style="demo", nodes=30, seed=1)
    (folder / "shower.yaml").write_text(SCENARIO, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def world(town: Path) -> World:
    """Prepared once; each test takes it with a span of its own."""
    return prepared(town, town / "run")


def prepared(town: Path, run: Path, *, seed: int = 1) -> World:
    chosen = read_scenario(town / "shower.yaml")
    span = Span(chosen.scenario.hours * 3600, SPEED, ENDS_MS)
    return prepare(chosen, town / "town.inp", town / "town.yaml", seed, span, RunFolder(run))


def at_present(world: World, folder: Path) -> World:
    """The same world once more, its messages not taken yet, to be played from now on."""
    span = Span.ending_at_the_present(world.span.seconds, SPEED, time.time_ns() // 1_000_000)
    return World(
        world.scenario,
        world.network,
        world.city,
        world.struck,
        world.hydrographs,
        world.seed,
        span,
        RunFolder(folder),
    )


def play(world: World, ways: Ways, books: Books | None = None, load: LoadBeside | None = None) -> Ended:
    return run_world(world, ways, books, Watch(threading.Event(), lambda _: None, lambda *_: None), 20, load)


@contextmanager
def ingest(database: str, mqtt_url: str) -> Iterator[None]:
    """At work on the database, its session at the broker."""
    stop = threading.Event()
    settings = Settings(database_url=database, mqtt_url=mqtt_url, probe_interval_s=0.2)
    thread = threading.Thread(target=work, args=(settings, stop))
    thread.start()
    try:
        with psycopg.connect(database, autocommit=True) as connection:
            until(lambda: connection.execute("SELECT caught_up_to FROM shards").fetchone() != (None,))
        yield
    finally:
        stop.set()
        thread.join(20)
    assert not thread.is_alive()


def until(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# the same again -----------------------------------------------------------------------------------------------------
def written(world: World, file: Path) -> Written:
    return write_messages(world.messages(), file)


def test_the_same_seed_gives_the_same_messages_byte_for_byte(town: Path, world: World, tmp_path: Path) -> None:
    first = written(prepared(town, tmp_path / "one"), tmp_path / "one.jsonl")
    assert first.messages > 500
    # Another process, in which sets and dicts of text are in another order, and another folder.
    command = [sys.executable, "-c", "from underfoot.cli import main; main()", "simulate", "storm", "--json"]
    command += ["--network", str(town / "town.inp"), "--scenario", str(town / "shower.yaml"), "--speed", f"{SPEED:g}"]
    command += ["--ends", "2026-11-18T19:06:40+08:00", "--run", str(tmp_path / "two")]
    command += ["--dry-run", str(tmp_path / "two.jsonl")]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONHASHSEED": "77"}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {**first._asdict(), "run": str(tmp_path / "two")}
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    assert written(prepared(town, tmp_path / "one", seed=2), tmp_path / "other.jsonl").digest != first.digest


def test_a_run_repeated_in_its_folder_takes_its_water_from_there(town: Path, tmp_path: Path) -> None:
    said: list[str] = []
    chosen = read_scenario(town / "shower.yaml")
    span = Span(1800, SPEED, ENDS_MS)
    inputs = (chosen, town / "town.inp", town / "town.yaml")
    first = prepare(*inputs, 1, span, RunFolder(tmp_path), said.append)
    again = prepare(*inputs, 1, replace(span, ends_ms=ENDS_MS + 60_000), RunFolder(tmp_path), said.append)
    assert [any(word in line for line in said) for word in ("computing the water", "is computed already")] == [True] * 2
    assert (first.hydrographs.depth_m == again.hydrographs.depth_m).all()
    said.clear()
    blocked = chosen.text + "  - {fault: failed_pump, pick: {count: 1}}\n"
    (tmp_path / "worse.yaml").write_text(blocked, encoding="utf-8")
    prepare(read_scenario(tmp_path / "worse.yaml"), *inputs[1:], 1, span, RunFolder(tmp_path), said.append)
    assert any("computing the water" in line for line in said), "another fault is other water"


def test_a_run_leaves_what_it_takes_to_repeat_and_to_score_it(world: World) -> None:
    folder = world.folder
    names = {path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_file()}
    assert {"scenario.yaml", "network.inp", "hydrographs.npz", "city/assets.csv", "city/sites.json"} <= names
    assert read_scenario(folder.scenario).scenario == world.scenario
    truth = world.truth()
    truth.save(folder.truth)
    assert Truth.load(folder.truth) == truth
    assert (truth.begins_ms, truth.ends_ms) == (world.span.begins_ms, world.span.ends_ms)
    assert any(hazard.kind == "cover_open" for hazard in truth.hazards)
    description = world.description()
    assert (description["scenario"], description["seed"], description["devices"]) == (
        "shower",
        1,
        len(world.city.sites),
    )
    assert "pyswmm" in description["versions"]


# on the wire --------------------------------------------------------------------------------------------------------
def test_what_is_counted_as_sent_is_what_a_subscriber_gets(world: World, broker: str, tmp_path: Path) -> None:
    with subscriber(broker) as counting:
        ended = play(at_present(world, tmp_path), Ways(broker, connections=3))
        summary = ended.summary
        got = counting.wait_for(ended.played.account.messages - summary["repeats"])
    assert ended.well
    assert summary["finished"]
    assert summary["connections"] == 4, "three, and one of who is malicious"
    assert summary["reconnects"] == 4
    assert summary["books"] is None
    assert summary["sent"] == summary["to_store"] + summary["to_quarantine"] == sum(summary["by_kind"].values())
    assert summary["malicious"]
    assert got.total() >= summary["messages"]
    assert got.total() - summary["messages"] <= summary["redelivered_messages"]
    made = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert made["summary"]["sent"] == summary["sent"]
    assert made["ends_ms"] - made["begins_ms"] == 1_800_000
    assert abs(made["ends_ms"] / 1000 - time.time()) < 30, "it has ended at the present"


def test_each_device_may_have_a_connection_of_its_own(world: World, broker: str, tmp_path: Path) -> None:
    ended = play(at_present(world, tmp_path), Ways(broker, own_connections=True))
    through = {site.gateway_id for site in world.city.sites if site.speech == "gateway"}
    alone = [site for site in world.city.sites if site.speech != "gateway"]
    assert through
    assert ended.well
    assert ended.summary["connections"] == len(alone) + len(through) + 1, "and one of who is malicious"
    assert ended.summary["reconnects"] == ended.summary["connections"]


def test_ctrl_c_ends_it_with_its_account(town: Path, world: World, broker: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from underfoot.cli import main; main()", "simulate", "storm", "--mqtt", broker]
    command += ["--network", str(town / "town.inp"), "--scenario", str(town / "shower.yaml"), "--speed", "20"]
    command += ["--run", str(world.folder.path), "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UNDERFOOT_")}
    environment["UNDERFOOT_HOME"] = str(tmp_path)
    with subscriber(broker) as counting:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until(lambda: counting.got.total() > 20, 60)
        process.send_signal(signal.SIGINT)
        said, told = process.communicate(timeout=30)
    assert process.returncode == 0, told
    summary = json.loads(said)
    assert not summary["finished"]
    assert summary["sent"] > 0
    assert summary["unacknowledged_messages"] == 0
    assert "提前结束" in told
    assert "未核对账目" in told


# in the books -------------------------------------------------------------------------------------------------------
def test_a_run_is_held_against_the_books(world: World, broker: str, database: str, tmp_path: Path) -> None:
    devices = [site.device.device_id for site in world.city.sites]
    with connect(database, "test") as connection:
        assets, pipes = register_city(connection, world.city, world.folder, "test")
        assert (assets.devices.new, pipes.pipes.new) == (len(devices), len(world.city.pipes))
    with pytest.raises(BooksError, match="no `underfoot ingest`"):
        check_at_work(database)
    with ingest(database, broker), closing(Books(database, devices)) as books:
        check_at_work(database)
        now = at_present(world, tmp_path)
        books.check_room(now.span.begins_ms)
        ended = play(now, Ways(broker), books)
        comparison = ended.comparison
        assert comparison is not None
        assert (comparison.balance, comparison.faults, comparison.devices_that_differ) == (True, [], 0)
        assert comparison.sent == comparison.stored + comparison.distinct_quarantined == ended.summary["sent"]
        assert comparison.duplicate >= ended.summary["repeats"] > 0
        assert comparison.distinct_quarantined == ended.summary["to_quarantine"] > 0
        assert ended.well

        # What is not there any more is missed, device by device.
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("DELETE FROM report_lamp WHERE ctid IN (SELECT ctid FROM report_lamp LIMIT 3)")
        less = books.compare(expected(ended.played.account), caught_up=True)
        assert not less.balance
        assert sum(each.to_store - each.stored for each in less.differences) == 3

        # The same devices' time cannot go back.
        with pytest.raises(BooksError, match="these devices have reported until"):
            books.check_room(now.span.begins_ms)


def test_a_load_beside_the_fleet_is_counted_in_the_same_books(
    world: World, broker: str, database: str, tmp_path: Path
) -> None:
    devices = [site.device.device_id for site in world.city.sites]
    job = LoadJob(
        mqtt_url=broker,
        authority=None,
        registry=200,
        without=frozenset(site.device.district for site in world.city.sites),
        seed=1,
        rate=400,
        seconds=world.span.real_s,
    )
    with closing(LoadBeside(job)) as load, connect(database, "test") as connection:
        register_city(connection, world.city, world.folder, "test")
        assert register_load(connection, job, tmp_path / "load.csv", "test") == 200
        assert connection.execute("SELECT count(*) FROM devices").fetchone() == (200 + len(devices),)
        with ingest(database, broker), closing(Books(database, devices)) as books:
            load.wait_ready()
            ended = play(at_present(world, tmp_path), Ways(broker), books, load)
    assert ended.well
    assert ended.comparison is not None
    assert ended.summary["load"]["sent"] == ended.comparison.stored_of_others == round(400 * world.span.real_s)
    assert ended.comparison.sent == ended.comparison.stored + ended.comparison.distinct_quarantined


def test_an_ingest_that_has_stopped_is_not_waited_for_for_ever(
    world: World, broker: str, database: str, tmp_path: Path
) -> None:
    with connect(database, "test") as connection:
        register_city(connection, world.city, world.folder, "test")
    with ingest(database, broker):
        pass
    looks: list[Behind] = []
    with closing(Books(database, [world.city.sites[0].device.device_id])) as books:
        assert not books.wait(0.5, threading.Event(), lambda behind, _: looks.append(behind))
    assert looks
    assert not looks[-1].caught_up


def test_devices_that_nobody_registered_are_named(world: World, database: str) -> None:
    with pytest.raises(BooksError, match=r"1 of 1 devices are not in the registry, like nobody"):
        Books(database, ["nobody"])
