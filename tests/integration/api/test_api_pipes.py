"""Pipes by the API: lists, maps, what one does, what is above and below."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.api.served import Served, problem

# 1 → 2 → 4 foul and 3 → 4 storm; 3 has no coordinates
PIPES = """
INSERT INTO pipes
    (pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m, roughness, attributes)
VALUES
    ('W1-W2', 1, 2, 'foul', 300, 60, 71.5, 71.2, NULL, '{"管材": "混凝土"}'),
    ('W2-W4', 2, 4, 'foul', 400, 50, 71.2, 71.2, NULL, '{}'),
    ('Y3-W4', 3, 4, 'storm', 600, 40, 72, 71.8, 0.01, '{}');
INSERT INTO alarms (subject_kind, subject_key, rule_id, episode)
VALUES ('pipe', 1, 'drainage.blockage', 2), ('pipe', 1, 'pipe.other', 1);
INSERT INTO episodes
    (alarm_key, episode, rule_version, title, condition, severity, worst_severity, raised_at, raised_received_at,
     cleared_at, proof)
SELECT alarm_key, no, 1, 't', 'active', severity, severity, now(), now(), cleared, '{}'
FROM alarms JOIN (VALUES
    ('drainage.blockage', 1, 4, now()), ('drainage.blockage', 2, 3, NULL), ('pipe.other', 1, 2, NULL)
) AS given (rule_id, no, severity, cleared) USING (rule_id);
"""

RULE = {
    "rule_id": "drainage.blockage",
    "kind": "blockage",
    "title": "疑似堵管",
    "source": "s",
    "severity": "orange",
    "on_delay_s": 600,
    "params": {"roughness": 0.014, "slowest_foul_m_s": 0.5},
}


@pytest.fixture
def network(city: Served) -> Served:
    city.run(PIPES)
    return city


def ids(network: Served, **query: Any) -> list[str]:
    return [item["pipe_id"] for item in network.ok("/api/v1/pipes", **query)["items"]]


def test_pipes_are_filtered_and_paged(network: Served) -> None:
    assert ids(network) == ["W1-W2", "W2-W4", "Y3-W4"]
    assert ids(network, kind="storm") == ["Y3-W4"]
    assert ids(network, area="410502") == ["W1-W2", "W2-W4"]
    assert ids(network, area="410503") == ["Y3-W4"]
    assert ids(network, asset=2) == ["W1-W2", "W2-W4"]
    first = network.ok("/api/v1/pipes", limit=2)
    assert [item["pipe_id"] for item in network.ok("/api/v1/pipes", limit=2, cursor=first["next"])["items"]] == [
        "Y3-W4"
    ]
    [error] = problem(network.get("/api/v1/pipes", kind="gas"), 422, "invalid")["errors"]
    assert (error["field"], error["value"]) == ("kind", "'gas'")


def test_a_pipe_tells_its_ends_and_what_it_does(network: Served) -> None:
    pipe = network.ok("/api/v1/pipes/W1-W2")
    assert (pipe["upper"]["name"], pipe["lower"]["asset_key"], pipe["area"]["name"]) == ("雨水井0312", 2, "东关社区")
    assert pipe["attributes"] == {"管材": "混凝土"}
    assert pipe["alarm_severity"] == 3  # the worst that is open; the red one is over
    assert pipe["slope"] == pytest.approx(0.005)
    # DN300 at 5 ‰, n = 0.013: 0.967 m/s, 0.0684 m³/s, 62 s for 60 m, 0.3 m of friction and 0.5 V²/2g
    assert pipe["hydraulics"] == {
        "roughness": 0.013,
        "velocity_full_m_s": pytest.approx(0.967, abs=0.001),
        "capacity_m3_s": pytest.approx(0.0684, abs=0.0001),
        "travel_time_s": pytest.approx(62.0, abs=0.1),
        "head_difference_full_m": pytest.approx(0.3238, abs=0.0005),
    }
    assert network.ok("/api/v1/pipes/Y3-W4")["hydraulics"]["roughness"] == pytest.approx(0.01)
    level = network.ok("/api/v1/pipes/W2-W4")
    assert level["alarm_severity"] is None
    assert level["hydraulics"]["capacity_m3_s"] is level["hydraulics"]["head_difference_full_m"] is None
    assert level["hydraulics"]["travel_time_s"] == pytest.approx(50 / 0.6)
    problem(network.get("/api/v1/pipes/W9"), 404, "not-found")


def test_the_numbers_are_those_of_the_rule_in_force(network: Served) -> None:
    network.run(
        "INSERT INTO rules (rule_id, version, body, created_by) VALUES ('drainage.blockage', 900, %s, 'li')",
        [json.dumps(RULE)],
    )
    assert network.ok("/api/v1/pipes/W1-W2")["hydraulics"]["roughness"] == 0.014
    assert network.ok("/api/v1/pipes/W2-W4")["hydraulics"]["travel_time_s"] == pytest.approx(100)


def test_a_map_has_lines_by_area_or_rectangle(network: Served) -> None:
    answer = network.get("/api/v1/pipes.geojson", area="410502")
    assert answer.headers["content-type"] == "application/geo+json"
    layer = answer.json()
    assert (layer["type"], layer["next"]) == ("FeatureCollection", None)
    first = layer["features"][0]
    assert first["id"] == "W1-W2"
    assert first["geometry"] == {
        "type": "LineString",
        "coordinates": [[114.372615, 36.098779], [114.360001, 36.100002]],
    }
    assert (first["properties"]["alarm_severity"], first["properties"]["kind"]) == (3, "foul")

    def inside(bbox: str, **query: Any) -> list[tuple[str, bool]]:
        features = network.ok("/api/v1/pipes.geojson", bbox=bbox, **query)["features"]
        return [(feature["id"], feature["geometry"] is not None) for feature in features]

    assert inside("114.37,36.09,114.38,36.10") == [("W1-W2", True)]
    assert inside("114.34,36.11,114.36,36.13") == [("W2-W4", True), ("Y3-W4", False)]
    assert inside("114.34,36.11,114.36,36.13", kind="storm") == [("Y3-W4", False)]
    assert inside("114.34,36.11,114.36,36.13", area="410502") == [("W2-W4", True)]
    assert inside("113,35,113.1,35.1") == []


def test_a_rectangle_is_paged_too(network: Served) -> None:
    wide = {"bbox": "114,36,115,37", "limit": 1}
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = network.ok("/api/v1/pipes.geojson", **wide, **cursor)
        found += [feature["id"] for feature in page["features"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert found == ["W1-W2", "W2-W4", "Y3-W4"]
    assert [each["id"] for each in network.ok("/api/v1/pipes.geojson", **wide, kind="storm")["features"]] == ["Y3-W4"]


@pytest.mark.parametrize(
    "bbox", ["1,2,3", "a,b,c,d", "115,36,114,37", "114,36,114,37", "nan,36,115,37", "114,36,115,97"]
)
def test_what_is_no_rectangle_is_refused_by_name(network: Served, bbox: str) -> None:
    [error] = problem(network.get("/api/v1/pipes.geojson", bbox=bbox), 422, "invalid")["errors"]
    assert (error["field"], error["value"]) == ("bbox", repr(bbox))


def test_a_map_of_everything_is_not_served(network: Served) -> None:
    [error] = problem(network.get("/api/v1/pipes.geojson"), 422, "invalid")["errors"]
    assert error["field"] == "bbox"


def test_what_is_above_and_below_with_the_time_that_water_takes(network: Served) -> None:
    below = network.ok("/api/v1/pipes/graph/downstream", asset=1)
    times = [(asset["asset_key"], asset["travel_time_s"]) for asset in below["assets"]]
    assert times == [(1, 0), (2, pytest.approx(62.0, abs=0.1)), (4, pytest.approx(62.0 + 50 / 0.6, abs=0.1))]
    assert [pipe["pipe_id"] for pipe in below["pipes"]] == ["W1-W2", "W2-W4"]
    above = network.ok("/api/v1/pipes/graph/upstream", asset=4)
    assert {asset["asset_key"] for asset in above["assets"]} == {1, 2, 3, 4}
    assert (above["direction"], above["truncated"]) == ("upstream", False)
    near = network.ok("/api/v1/pipes/graph/upstream", asset=4, within_s=90)
    assert {asset["asset_key"] for asset in near["assets"]} == {2, 3, 4}
    assert [pipe["pipe_id"] for pipe in near["pipes"]] == ["W2-W4", "Y3-W4"]
    few = network.ok("/api/v1/pipes/graph/upstream", asset=4, limit=1)
    assert (len(few["pipes"]), few["truncated"]) == (1, True)
    alone = network.ok("/api/v1/pipes/graph/upstream", asset=1)
    assert [asset["asset_key"] for asset in alone["assets"]] == [1]
    [error] = problem(network.get("/api/v1/pipes/graph/upstream", asset=99), 422, "invalid")["errors"]
    assert (error["field"], error["value"]) == ("asset", "99")
    problem(network.get("/api/v1/pipes/graph/sideways", asset=1), 422, "invalid")


def test_a_circle_in_the_ledger_is_no_endless_way(network: Served) -> None:
    network.run(
        "INSERT INTO pipes (pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m)"
        " VALUES ('back', 4, 1, 'foul', 300, 60, 71, 70)"
    )
    assert len(network.ok("/api/v1/pipes/graph/downstream", asset=1)["pipes"]) == 3
