"""The dashboard as Grafana takes it, and as an operations centre reads it."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from deploy.derived import derived, protocol
from deploy.grafana import fields
from deploy.grafana.city_map import DEFAULT_VIEW
from deploy.grafana.overview import overview
from deploy.grafana.provision import Folder, Reader, datasource, export, folder, reader_in_force, shipped_dashboard
from deploy.grafana.push import PushError, push
from ingest.reasons import Rejection
from underfoot.families import FAMILIES
from underfoot.settings import load
from underfoot.storage.migrate import migrations
from underfoot.storage.statements import names, statement

CHECKOUT = Path(__file__).parents[2]
SCHEMAS = Path(os.environ.get("GRAFANA_SCHEMAS", CHECKOUT.parent / "shared" / "grafana"))
"""Grafana's published schemas are not ours to ship: without them only our own checks are made."""

DASHBOARD = overview("http://underfoot.example:58080/", DEFAULT_VIEW)
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}

panels = pytest.mark.parametrize("panel", PANELS.values(), ids=list(PANELS))


def schema(name: str) -> dict[str, Any]:
    path = SCHEMAS / f"{name}.jsonschema.json"
    if not path.exists():
        pytest.skip(f"no {path.name} of Grafana here (GRAFANA_SCHEMAS)")
    found: dict[str, Any] = _mended(json.loads(path.read_text(encoding="utf-8")))
    return found


def _mended(node: Any) -> Any:
    """The schemas write "anything" as an object, a map's coordinates as integers, and alternatives that overlap as
    exclusive; all else in them is taken as strictly as it stands."""
    if isinstance(node, list):
        return [_mended(child) for child in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") == "object" and node.get("additionalProperties") == {} and "properties" not in node:
        return {}
    mended = {name: _mended(child) for name, child in node.items()}
    if "MapViewConfig" in mended:
        for name in ("lat", "lon"):
            mended["MapViewConfig"]["properties"][name]["type"] = "number"
    if "TableCellOptions" in mended:
        mended["TableCellOptions"]["anyOf"] = mended["TableCellOptions"].pop("oneOf")
    return mended


def complaints(definition: str, of: dict[str, Any], what: Any) -> list[str]:
    validator = Draft7Validator({**of, "$ref": f"#/definitions/{definition}"})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(what)]


# against Grafana's own schemas ----------------------------------------------------------------------------------------


def test_the_dashboard_is_what_grafana_takes() -> None:
    assert complaints("Dashboard", schema("dashboard"), DASHBOARD) == []


@panels
def test_a_panels_options_are_what_its_plugin_takes(panel: dict[str, Any]) -> None:
    assert complaints("Options", schema(panel["type"]), panel["options"]) == []


@panels
def test_a_panels_field_config_is_what_its_plugin_takes(panel: dict[str, Any]) -> None:
    general, own = schema("dashboard"), schema(panel["type"])
    config = panel["fieldConfig"]
    custom = config["defaults"].get("custom", {})
    if custom:
        assert complaints("FieldConfig", own, custom) == []
    for override in config["overrides"]:
        for each in override["properties"]:
            name, value = each["id"], each["value"]
            if name.startswith("custom."):
                assert complaints("FieldConfig", own, {**custom, name.removeprefix("custom."): value}) == []
            elif name != "links":  # a data link has none of the fields the schema asks of a dashboard's link
                assert complaints("FieldConfig", general, {name: value}) == []


def test_grafanas_schemas_are_strict() -> None:
    assert complaints("Dashboard", schema("dashboard"), {**DASHBOARD, "refrehs": "30s"})
    assert complaints("Options", schema("geomap"), {**PANELS["地图"]["options"], "zoom": 3})


# our own checks -------------------------------------------------------------------------------------------------------


def test_people_read_chinese_in_their_own_time_and_week() -> None:
    assert DASHBOARD["timezone"] == "Asia/Shanghai"
    assert DASHBOARD["weekStart"] == "monday"
    for panel in PANELS.values():
        assert re.search(r"[\u4e00-\u9fff]", panel["title"])
        assert re.search(r"[\u4e00-\u9fff]", panel["description"]), panel["title"]
    assert [each["label"] for each in DASHBOARD["templating"]["list"] if "label" in each] == ["区", "设备类别", "设备"]


def test_nothing_refreshes_faster_than_every_30_seconds() -> None:
    for interval in (DASHBOARD["refresh"], *DASHBOARD["timepicker"]["refresh_intervals"]):
        count, unit = int(interval[:-1]), interval[-1]
        assert count * {"s": 1, "m": 60, "h": 3600}[unit] >= 30


def test_panels_have_their_own_ids_and_places() -> None:
    ids = [panel["id"] for panel in PANELS.values()]
    assert len(ids) == len(set(ids)) == len(DASHBOARD["panels"])
    places = [panel["gridPos"] for panel in PANELS.values()]
    for place in places:
        assert 0 <= place["x"] <= place["x"] + place["w"] <= 24
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_everything_asks_our_datasource() -> None:
    uid, kind = datasource(Reader("h:1", "d", "u", "", "disable"))["uid"], "grafana-postgresql-datasource"
    asked = re.findall(r'"datasource": (\{[^}]*\})', json.dumps(DASHBOARD))
    assert len(asked) > len(PANELS)
    assert all(json.loads(each) == {"type": kind, "uid": uid} for each in asked)


def test_every_statement_is_used_once_or_more_and_reads_the_views_only() -> None:
    held = json.dumps(DASHBOARD, ensure_ascii=False)
    for name in names("grafana_overview"):
        text = statement(name)
        assert json.dumps(text, ensure_ascii=False) in held, name
        tables = set(re.findall(r"(?<!epoch )\b(?:FROM|JOIN)\s+([a-z_.]+)", text))
        own = set(re.findall(r"([a-z_]+) AS (?:MATERIALIZED )?\(", text)) | {"generate_series"}
        assert all(table.startswith("dashboard.") for table in tables - own), (name, tables)


def test_several_values_are_written_as_sql_strings() -> None:
    used = re.findall(r"\$\{(\w+)(:\w+)?\}", " ".join(sql for sql in strings(DASHBOARD) if "SELECT" in sql))
    assert {name for name, _ in used} == {"district", "family", "device"}
    assert {form for _, form in used} == {":sqlstring"}


def test_the_map_asks_nobody_outside_and_stays_where_it_is() -> None:
    options = PANELS["地图"]["options"]
    assert (options["view"]["id"], options["view"]["lat"], options["view"]["lon"]) == ("coords", 36.103, 114.337)
    assert options["basemap"]["config"]["url"].startswith("data:image/")
    addresses = [text for text in strings(DASHBOARD) if "://" in text]
    assert set(addresses) == {"http://underfoot.example:58080"}


def test_every_layer_of_the_map_has_a_query_of_its_own() -> None:
    panel = PANELS["地图"]
    layers = [layer["filterData"] for layer in panel["options"]["layers"]]
    assert layers == [{"id": "byRefId", "options": target["refId"]} for target in panel["targets"]]


def test_links_lead_to_the_alarm_and_to_the_device() -> None:
    links = {
        override["matcher"]["options"]: each["value"][0]["url"]
        for override in PANELS["告警"]["fieldConfig"]["overrides"]
        for each in override["properties"]
        if each["id"] == "links"
    }
    assert links == {
        "title": "${api}/api/v1/alarms/${__data.fields.episode_key}",
        "device_id": "/d/underfoot-overview?var-device=${__data.fields.device_id}&${__url_time_range}",
    }


def test_a_quantity_is_shown_as_it_is_declared() -> None:
    assert fields.named("road", "depth_cm", low=0, high=60) == {
        "displayName": "积水深度",
        "unit": "suffix:cm",
        "decimals": 1,
        "min": 0,
        "max": 60,
    }
    assert fields.scale("pipe", "level_m") == {"unit": "suffix:m", "decimals": 3}
    assert fields.scale("pipe", "fill_ratio") == {"unit": "none", "decimals": 2}
    with pytest.raises(ValueError, match=r"road\.depth_cm: max = 2000 is outside what is possible, -5 to 1000"):
        fields.scale("road", "depth_cm", high=2000)


def test_every_family_field_and_reason_has_its_text() -> None:
    (texts,) = fields.every_field()
    assert texts["options"].keys() == {name for family in FAMILIES.values() for name in family.fields}
    assert texts["options"]["depth_cm"]["text"] == "积水深度（cm）"
    assert fields.REJECTIONS.keys() == set(Rejection)
    (choice,) = (each for each in DASHBOARD["templating"]["list"] if each["name"] == "family")
    assert {each["value"]: each["text"] for each in choice["options"]} == {
        family.name: family.label for family in FAMILIES.values()
    }


def strings(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [text for child in children for text in strings(child)]


# files ----------------------------------------------------------------------------------------------------------------


def test_no_derived_file_is_stale() -> None:
    for path, text in derived().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `python -m deploy.derived`"


def test_the_protocol_page_must_have_its_sections() -> None:
    page = "<!-- derived: families -->\nold\n<!-- end -->\n"
    with pytest.raises(ValueError, match="needs each of"):
        protocol(page)


def test_the_shipped_dashboard_links_to_an_api_of_this_machine() -> None:
    (api,) = (each for each in shipped_dashboard()["templating"]["list"] if each["name"] == "api")
    assert api["query"] == load().api_url


def test_export_writes_what_file_provisioning_reads(tmp_path: Path) -> None:
    written = export(tmp_path, DASHBOARD)
    assert sorted(str(path.relative_to(tmp_path)) for path in written) == [
        "dashboards/overview.json",
        "provisioning/dashboards/underfoot.yaml",
        "provisioning/datasources/underfoot.yaml",
    ]
    assert json.loads((tmp_path / "dashboards/overview.json").read_text(encoding="utf-8")) == DASHBOARD
    provider = yaml.safe_load((tmp_path / "provisioning/dashboards/underfoot.yaml").read_text(encoding="utf-8"))
    assert provider["providers"][0]["allowUiUpdates"] is False
    assert folder() == Folder(uid="underfoot", title="脚底下的安全")


def test_the_datasource_is_the_files_with_its_variables_replaced() -> None:
    reader = Reader.of_url("postgresql://underfoot_dashboard:p%40$s: x@[::1]:6543/city?sslmode=require")
    assert reader == Reader("[::1]:6543", "city", "underfoot_dashboard", "p@$s: x", "require")
    sent = datasource(reader)
    assert sent["url"] == "[::1]:6543"
    assert sent["secureJsonData"] == {"password": "p@$s: x"}
    assert sent["jsonData"]["database"] == "city"
    assert sent["jsonData"]["timescaledb"] is True
    assert sent["jsonData"]["maxOpenConns"] <= 10
    assert "editable" not in sent


def test_without_a_password_grafana_keeps_the_one_it_has() -> None:
    reader = reader_in_force(load(database_url="postgresql://underfoot:secret@db/underfoot?sslmode=prefer"))
    assert reader == Reader("db:5432", "underfoot", "underfoot_dashboard", "", "disable")
    assert "secureJsonData" not in datasource(reader)
    assert "secret" not in json.dumps(datasource(reader))


def test_the_role_has_one_name() -> None:
    views = next(each.sql for each in migrations() if each.name == "0002_grafana_views.sql")
    assert set(re.findall(r"reader name DEFAULT '(\w+)'", views)) == {Reader.of_url("postgresql://h/d").user}


# the client -----------------------------------------------------------------------------------------------------------


def test_one_module_alone_names_the_client_and_what_it_brings() -> None:
    sources = [
        path
        for name in ("underfoot", "ingest", "alerts", "api", "simulators", "deploy")
        for path in (CHECKOUT / name).rglob("*.py")
    ]
    naming = {
        str(path.relative_to(CHECKOUT))
        for path in sources
        if re.search(
            r"(import|from|import_module\()\s*[\"']?(grafana_client|niquests|urllib3)", path.read_text(encoding="utf-8")
        )
    }
    assert naming == {"deploy/grafana/push.py"}


def test_our_commands_do_not_load_the_client() -> None:
    program = (
        "import sys, deploy.grafana_cli\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'grafana_client', 'niquests', 'urllib3', 'urllib3_future'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert done.stdout.strip() == "[]"


def test_the_client_loads_without_a_warning() -> None:
    pytest.importorskip("grafana_client", reason="the extra `grafana` is not installed")
    program = "import grafana_client, urllib3, requests.exceptions" if _has("requests") else "import grafana_client"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grafana_client", None)
    with pytest.raises(PushError, match=r"grafana-client is not installed: pip install 'underfoot\[grafana\]'"):
        push("http://127.0.0.1:9", "token", folder(), {}, {})


def _has(name: str) -> bool:
    return find_spec(name) is not None
