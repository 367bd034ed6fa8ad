"""Areas, assets and devices: found by what an operator knows of them."""

from __future__ import annotations

from typing import Any

from tests.integration.api.served import Served, problem


def _pages(city: Served, path: str, **query: Any) -> list[Any]:
    """Every item of a list, page by page."""
    items: list[Any] = []
    while True:
        page = city.ok(path, **query)
        items += page["items"]
        if page["next"] is None:
            return items
        assert page["items"]
        query["cursor"] = page["next"]


def _ids(items: list[Any], key: str) -> list[Any]:
    return [item[key] for item in items]


def test_areas_are_listed_by_code_and_filtered(city: Served) -> None:
    everything = ["410500", "410502", "410502001", "410502001001", "410503"]
    assert _ids(_pages(city, "/api/v1/areas", limit=2), "code") == everything
    assert _ids(_pages(city, "/api/v1/areas", level="district"), "code") == ["410502", "410503"]
    assert _ids(_pages(city, "/api/v1/areas", parent="410502"), "code") == ["410502001"]


def test_the_tree_is_nested_as_deep_as_asked(city: Served) -> None:
    [root] = city.ok("/api/v1/areas/tree")["roots"]
    assert (root["code"], root["name"], root["level"]) == ("410500", "安阳市", "city")
    assert _ids(root["children"], "code") == ["410502", "410503"]
    assert root["children"][0]["children"][0]["children"][0]["code"] == "410502001001"
    [district] = city.ok("/api/v1/areas/tree", area="410502", depth=1)["roots"]
    assert _ids(district["children"], "code") == ["410502001"]
    assert district["children"][0]["children"] == []
    [alone] = city.ok("/api/v1/areas/tree", area="410502", depth=0)["roots"]
    assert alone["children"] == []


def test_an_area_knows_its_line_and_what_is_in_it(city: Served) -> None:
    area = city.ok("/api/v1/areas/410502")
    assert _ids(area["line"], "code") == ["410500", "410502"]
    assert (area["assets"], area["devices"], area["open_alarms"], area["worst_severity"]) == (2, 2, 2, 4)
    whole = city.ok("/api/v1/areas/410500")
    assert (whole["assets"], whole["devices"], whole["open_alarms"]) == (4, 4, 3)
    quiet = city.ok("/api/v1/areas/410503")
    assert (quiet["open_alarms"], quiet["worst_severity"]) == (1, 1)


def test_assets_are_filtered(city: Served) -> None:
    def keys(**query: Any) -> list[int]:
        return _ids(_pages(city, "/api/v1/assets", limit=1, **query), "asset_key")

    assert keys() == [1, 2, 3, 4]
    assert keys(area="410500") == [1, 2, 3, 4]
    assert keys(area="410502") == [1, 2]
    assert keys(area="4105") == [1, 2, 3, 4]
    assert keys(kind="01") == [1, 3, 4]
    assert keys(kind="0103") == [1, 3]
    assert keys(asset_code="4105030103000099") == [3]
    assert keys(maintenance_unit="文峰养护所") == [1, 2]
    assert keys(object_state="破损") == [3]
    city.run("UPDATE alarms SET device_key = NULL WHERE device_key = 4")
    city.run("DELETE FROM devices WHERE device_key = 4")
    assert keys(with_device="true") == [1, 2, 3]
    assert keys(with_device="false") == [4]


def test_one_asset(city: Served) -> None:
    asset = city.ok("/api/v1/assets/1")
    assert asset["name"] == "雨水井0312"
    assert asset["area"] == {"code": "410502001001", "name": "东关社区"}
    assert (asset["lon"], asset["lat"]) == (114.372615, 36.098779)
    assert asset["fixed_devices"] == [{"device_id": "cover-0312", "family": "cover", "status": "in_service"}]


def test_devices_are_filtered(city: Served) -> None:
    def ids(**query: Any) -> list[str]:
        return _ids(_pages(city, "/api/v1/devices", limit=1, **query), "device_id")

    assert ids() == ["cover-0312", "road-0001", "cover-0099", "lamp-0007"]
    assert ids(family="cover") == ["cover-0312", "cover-0099"]
    assert ids(area="410502") == ["cover-0312", "road-0001"]
    assert ids(area="410503", family="lamp") == ["lamp-0007"]
    assert ids(status="maintenance") == ["cover-0099"]
    assert ids(vendor="甲厂") == ["cover-0312", "cover-0099"]
    assert ids(asset=2) == ["road-0001"]
    assert ids(shard="main", family="road") == ["road-0001"]
    assert ids(shard="other") == []


def test_a_device_shows_its_latest_values_with_unit_and_label(city: Served) -> None:
    device = city.ok("/api/v1/devices/cover-0312")
    assert device["family_label"] == "智慧井盖"
    assert device["asset"]["address"] == "人民大道文峰路口东北角"
    assert device["baseline"] == {"tilt_deg": 3.5}
    latest = device["latest"]
    assert (latest["ts"], latest["received_at"], latest["seq"]) == ("2026-07-01T13:38:05Z", "2026-07-01T13:38:07Z", 118)
    assert latest["quality"] == ["late"]
    assert latest["readings"] == [
        {"field": "tilt_deg", "label": "倾角", "unit": "°", "value": 78.2, "choice": None},
        {"field": "open", "label": "井盖打开", "unit": "", "value": True, "choice": None},
    ]
    underpass = city.ok("/api/v1/devices/road-0001")["latest"]["readings"]
    assert underpass[1] == {"field": "place", "label": "位置类型", "unit": "", "value": 1, "choice": "underpass"}
    assert city.ok("/api/v1/devices/lamp-0007")["latest"] is None


def test_a_list_neither_repeats_nor_hides_when_rows_come_in_between_pages(city: Served) -> None:
    first = city.ok("/api/v1/devices", limit=2)
    city.run(
        "INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)"
        " SELECT 'a-' || n, 'cover', '410502', 1, 60 FROM generate_series(1, 5) n"
    )
    rest = _pages(city, "/api/v1/devices", limit=2, cursor=first["next"])
    assert _ids(first["items"] + rest, "device_id") == [
        "cover-0312", "road-0001", "cover-0099", "lamp-0007", "a-1", "a-2", "a-3", "a-4", "a-5",
    ]  # fmt: skip


def test_a_cursor_belongs_to_its_query(city: Served) -> None:
    cursor = city.ok("/api/v1/devices", limit=1)["next"]
    assert city.get("/api/v1/devices", limit=3, cursor=cursor).status_code == 200
    for path, query in [("/api/v1/devices", {"family": "cover"}), ("/api/v1/assets", {}), ("/api/v1/areas", {})]:
        [error] = problem(city.get(path, cursor=cursor, **query), 422, "invalid")["errors"]
        assert "belongs to another query" in error["message"]
