"""A network nobody has seen before becomes a city, a storm crosses it at high speed, and the books balance."""

from __future__ import annotations

import json
import time

import psycopg

from tests.system.city import until
from tests.system.installation import Installation

SCENARIO = """
name: sudden-storm
title: 骤雨 · Sudden storm
about: An hour's storm over a small town; covers are lifted, a gateway is cut off, somebody is malicious.
hours: 1
daylight: night
rain: {rain: chicago, period_years: 20, minutes: 45, peak_at: 0.4, begins: "00:05"}
equipment: {cover_sensors: 0.8, pipe_gauges: 1.0, through_gateways: 0.4, speeches: {json: 3, cbor: 1}}
faults:
  - {fault: open_cover, at: "00:10", pick: {family: cover, count: 2}}
  - {fault: failed_lamp, at: "00:05", pick: {family: lamp, count: 1}}
  - {fault: duplicate, pick: {share: 0.2}, share: 0.2, within_s: 30}
  - {fault: corrupt_payload, pick: {share: 0.1}, share: 0.2}
  - {fault: gateway_outage, at: "00:20", until: "00:30", keeps: true}
  - {fault: reconnect_storm, at: "00:25", within_s: 120}
  - {fault: malicious_publisher, at: "00:30", until: "00:40", rate: 0.5}
"""


def test_a_storm_over_a_network_that_became_a_city(running_stack: Installation) -> None:
    running_stack.environment["UNDERFOOT_PROBE_INTERVAL_S"] = "0.2"
    scenario = running_stack.folder / "sudden-storm.yaml"
    scenario.write_text(SCENARIO, encoding="utf-8")
    network, run = running_stack.folder / "town.inp", running_stack.folder / "run"
    running_stack.run("simulate", "network", str(network), "--style", "demo", "--nodes", "40", "--seed", "3")

    storm = ("simulate", "storm", "--network", str(network), "--scenario", str(scenario), "--run", str(run))
    refused = running_stack.run(*storm, succeeds=False)
    assert "no `underfoot ingest` has been at work" in refused.stderr

    ingest, alerts = running_stack.launch("ingest"), running_stack.launch("alerts")
    database_url = running_stack.status()["database_url"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        until(lambda: connection.execute("SELECT caught_up_to FROM shards").fetchone() != (None,), "ingest")
        began = time.time()
        done = running_stack.run(*storm, "--speed", "600", "--json")
        assert "the books balance" in done.stderr
        summary = json.loads(done.stdout)
        books = summary["books"]
        assert books["balance"]
        assert (books["faults"], books["differences"]) == ([], [])
        assert summary["sent"] == books["stored"] + books["distinct_quarantined"]
        assert min(summary["to_store"], summary["to_quarantine"], summary["repeats"], summary["reconnects"]) > 0

        # As anybody may count it again.
        stored = sum(
            connection.execute(f"SELECT count(*) FROM report_{family}").fetchall()[0][0]
            for family in ("cover", "road", "pipe", "pump", "rain", "lamp")
        )
        assert stored == summary["to_store"]
        [(distinct,)] = connection.execute("SELECT count(DISTINCT digest) FROM quarantine").fetchall()
        assert distinct == summary["to_quarantine"]
        [(newest,)] = connection.execute("SELECT extract(epoch FROM max(ts))::float8 FROM device_latest").fetchall()
        assert began - 60 < newest < time.time() + 1, "event time has ended at the present"

        # The city is on the map and in the pipe graph, and what really happened there was noticed.
        [(assets, pipes)] = connection.execute(
            "SELECT (SELECT count(*) FROM assets), (SELECT count(*) FROM pipes)"
        ).fetchall()
        assert assets > 40
        assert pipes > 20
        truth = json.loads((run / "truth.json").read_text(encoding="utf-8"))
        opened = {hazard["device_id"] for hazard in truth["hazards"] if hazard["kind"] == "cover_open"}
        assert len(opened) == 2
        query = (
            "SELECT DISTINCT device_id FROM episodes JOIN alarms USING (alarm_key) JOIN devices USING (device_key)"
            " WHERE rule_id = 'cover.open'"
        )
        assert {device_id for (device_id,) in connection.execute(query)} >= opened
    again = running_stack.run(*storm, "--speed", "600", succeeds=False)
    assert "these devices have reported until" in again.stderr
    assert ingest.poll() is None
    assert alerts.poll() is None
