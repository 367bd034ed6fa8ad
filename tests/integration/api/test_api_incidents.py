"""Incidents by the API and the CLI: what an operator looks at in a storm, and what is filed afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from alerts.storm.cli import commands
from tests.integration.api.served import Served, problem
from tests.integration.storm_city import StormCity, storm_city
from underfoot.alarms import Severity

INCIDENTS = "/api/v1/incidents"


@pytest.fixture
def storm(api: Served) -> Iterator[StormCity]:
    """Twelve ponded roads in one street, five in another, an open cover; sinks; an hour's readings of the deepest."""
    with storm_city(api.database, empty=False) as city:
        city.sink("crew")
        first, second = city.devices(12), city.devices(5, "410502002")
        [cover] = city.devices(1, family="cover")
        city.raises(*first, *second)
        city.raises(cover, rule="cover.open", severity=Severity.red)
        city.tick(seconds=2)
        city.reading(first[3], 61.5)
        yield city


def key_of(storm: StormCity, nth: int = 0) -> int:
    return int(storm.incidents()[nth]["incident_key"])


def test_open_incidents_are_the_few_lines_an_operator_reads(api: Served, storm: StormCity) -> None:
    page = api.ok(INCIDENTS)
    assert [item["title"] for item in page["items"]] == ["文峰区东大街街道暴雨险情", "文峰区宝莲寺街道暴雨险情"]
    found = page["items"][1]
    assert (found["state"], found["severity"], found["severity_label"], found["human"]) == (
        "open", 4, "红", "unacknowledged",
    )  # fmt: skip
    assert found["area"] == {"code": "410502", "name": "文峰区"}
    assert found["told"]["by_severity"] == {"red": 1, "orange": 12, "yellow": 0, "blue": 0}
    assert api.ok(f"/api/v1/alarms/{found['episode_key']}")["rule_id"] == "storm.incident"
    assert api.ok(INCIDENTS, area="410503")["items"] == []
    assert api.ok(INCIDENTS, state="ended")["items"] == []
    assert api.ok(INCIDENTS, kind="cause", state="all")["items"] == []
    first = api.ok(INCIDENTS, limit=1)
    second = api.ok(INCIDENTS, limit=1, cursor=first["next"])
    assert [first["items"][0]["title"], second["items"][0]["title"]] == [item["title"] for item in page["items"]]
    assert second["next"] is None


def test_an_incident_says_where_and_how_bad_it_is_now(api: Served, storm: StormCity) -> None:
    found = api.ok(f"{INCIDENTS}/{key_of(storm)}")
    assert found["now"]["now"] == 13
    assert found["now"]["deepest"]["value"] == 61.5
    assert found["now"]["deepest"]["place"] == "东风路 点位4"
    assert sum(bucket["raised"] for bucket in found["now"]["timeline"]) == 13
    west, south, east, north = found["map"]["bbox"]
    points = [feature["geometry"]["coordinates"] for feature in found["map"]["features"]]
    assert len(points) == 13
    assert all(west <= lon <= east and south <= lat <= north for lon, lat in points)
    assert found["map"]["features"][0]["properties"]["severity"] == 4, "the worst first"


def test_every_member_is_there_page_by_page(api: Served, storm: StormCity) -> None:
    path = f"{INCIDENTS}/{key_of(storm)}/members"
    seen, cursor = [], None
    while True:
        page = api.ok(path, limit=5, **({"cursor": cursor} if cursor else {}))
        seen += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    assert len({item["alarm_key"] for item in seen}) == len(seen) == 13
    [alone] = [item for item in seen if item["alone"]]
    assert (alone["rule_id"], alone["suppressed"], alone["severity_label"]) == ("cover.open", [], "红")
    assert all(item["suppressed"] == ["by_design"] for item in seen if not item["alone"])
    storm.clears("road-1")
    storm.tick(seconds=2)
    [left] = api.ok(path, state="left")["items"]
    assert (left["device_id"], left["left_because"], left["left_label"], left["state"]) == (
        "road-1", "cleared", "已恢复", "cleared",
    )  # fmt: skip
    assert len(api.ok(path, state="now")["items"]) == 12


def test_what_is_wrong_is_told(api: Served, storm: StormCity) -> None:
    for path in ("99", "99/members", "99/report"):
        assert "99" in problem(api.get(f"{INCIDENTS}/{path}"), 404, "not-found")["detail"]
    problem(api.get(INCIDENTS, state="shut"), 422, "invalid")
    problem(api.get(INCIDENTS, area="999999"), 422, "invalid")
    problem(api.get(f"{INCIDENTS}/{key_of(storm)}/members", cursor="x"), 422, "invalid")
    assert api.get(INCIDENTS, None).status_code == 401


def test_the_report_of_a_storm(api: Served, storm: StormCity) -> None:
    key = key_of(storm)
    storm.ask.execute(
        "INSERT INTO transitions (alarm_key, transition_no, episode, region, from_state, to_state, severity, reason,"
        " actor, event_at, received_at) SELECT alarm_key, 99, 1, 'human', 'unacknowledged', 'acknowledged', 4,"
        " 'acknowledged', 'wang', raised_at + interval '90 seconds', now() FROM episodes JOIN alarms USING (alarm_key)"
        " WHERE rule_id = 'cover.open'"
    )
    storm.ask.execute(
        "UPDATE outbox SET state = 'delivered', settled_at = now() FROM alarms"
        " WHERE alarms.alarm_key = outbox.alarm_key AND rule_id = 'cover.open'"
    )
    storm.clears(*[f"road-{number}" for number in range(1, 18)])
    storm.clears("cover-18", rule="cover.open")
    storm.tick(minutes=11)
    assert api.ok(f"{INCIDENTS}/{key}")["state"] == "ended"
    report = api.ok(f"{INCIDENTS}/{key}/report")
    assert (report["total"], report["still_open"], report["flood_peak"]) == (13, 0, 18)
    assert report["by_severity"] == {"red": 1, "orange": 12, "yellow": 0, "blue": 0}
    assert (report["deepest"]["place"], report["deepest"]["peak"]) == (
        "东风路 点位4", {"label": "积水深度", "value": 61.5, "unit": "cm"},
    )  # fmt: skip
    assert (report["acknowledged"]["known"], report["acknowledged"]["median_s"]) == (1, 90.0)
    assert report["delivered"]["known"] == 1
    assert report["cleared"]["known"] == 13
    assert [member["severity"] for member in report["members"]] == [4] + [3] * 12

    run = CliRunner()
    env = {"UNDERFOOT_DATABASE_URL": api.database}
    listed = json.loads(run.invoke(commands, ["incidents", "list", "--all", "--json"], env=env).stdout)
    assert [(row["incident_key"], row["total"], row["red"]) for row in listed] == [(key + 1, 5, 0), (key, 13, 1)]
    assert "No incident is open" in run.invoke(commands, ["incidents", "list"], env=env).stdout
    same = json.loads(run.invoke(commands, ["incidents", "report", str(key), "--json"], env=env).stdout)
    assert same == report
    on_paper = run.invoke(commands, ["incidents", "report", str(key), "--markdown"], env=env).stdout
    assert on_paper.startswith("# 文峰区宝莲寺街道暴雨险情总结报告\n")
    assert "最大积水：东风路 点位4，62cm" in on_paper
    assert "| 1 | 红 | 井盖打开 | 东风路 点位18 |" in on_paper
    table = run.invoke(commands, ["incidents", "report", str(key)], env=env | {"COLUMNS": "200"}).stdout
    assert "文峰区宝莲寺街道暴雨险情" in table
    missing = run.invoke(commands, ["incidents", "report", "99"], env=env)
    assert (missing.exit_code, missing.stderr.strip()) == (1, "incident_key = 99: there is no such incident")
