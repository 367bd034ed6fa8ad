"""Scenario files: the shipped ones are sound and explained, and whatever is wrong in one is said with line, field and
value."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from simulators.faults.picked import picked
from simulators.scenario.explain import explain
from simulators.scenario.load import (
    ScenarioError,
    faults_by_name,
    load_scenario,
    parse_scenario,
    rains_by_name,
    read_scenario,
    shipped,
)
from simulators.scenario.model import Scenario
from simulators.scenario.words import FAULTS
from simulators.speech import SPEECHES, speaks
from tests.unit.small_city import SmallCity, scenario, site, street, trunk

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs/scenarios.md").read_text(encoding="utf-8")
SHIPPED = {
    "blocked-main",
    "calm-day",
    "cloudburst-0720",
    "evening-storm",
    "million",
    "night-of-open-covers",
    "power-cut",
    "pump-failure",
    "sensor-rot",
    "vendor-zoo",
}


def told(text: str) -> str:
    with pytest.raises(ScenarioError) as error:
        parse_scenario(text.encode(), "mine.yaml")
    return str(error.value)


HEAD = "name: mine\ntitle: 我的\nabout: a try\nhours: 4\n"
DRY = HEAD + "rain: {rain: none}\n"


def told_of(fault: str) -> str:
    return told(f"{DRY}faults:\n  - {fault}\n")


# what ships -----------------------------------------------------------------------------------------------------------
def test_what_ships() -> None:
    assert set(shipped()) == SHIPPED
    assert shipped() == sorted(shipped())


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_scenario_is_its_file_and_says_what_a_tester_should_know(name: str) -> None:
    found = read_scenario(name)
    assert found.scenario == load_scenario(found.folder / f"{name}.yaml")
    assert found.scenario.name == name
    assert found.text.startswith("# "), "its head says why it is run"
    assert len(found.scenario.about.split()) > 20
    assert re.search("[\u4e00-\u9fff]", found.scenario.title)


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_scenario_finds_its_victims_in_an_ordinary_city(name: str) -> None:
    chosen = load_scenario(name)
    covers = street(covers=60)
    speeches = sorted(speech for speech in chosen.equipment.speeches if speaks(speech, "cover"))
    spoken = [
        site("cover", number, speech=speeches[number % len(speeches)], node="J3") for number, _ in enumerate(covers, 1)
    ]
    gateway = [site("lamp", number, speech="gateway", gateway_id="GW-1") for number in range(100, 110)]
    others = street(lamps=80, pipes=8, roads=8, rains=2, pumps=1)
    city = SmallCity((*spoken, *others, *gateway))
    struck = picked(chosen, city, trunk(), 7)
    everything = [
        *struck.blockages,
        *struck.pump_failures,
        *struck.forced,
        *struck.sensors,
        *struck.on_the_way,
        *struck.connections,
    ]
    assert bool(everything) == bool(chosen.faults)


def test_the_shipped_set_shows_every_fault_and_every_way_to_speak() -> None:
    chosen = [load_scenario(name) for name in shipped()]
    assert {fault.fault for each in chosen for fault in each.faults} == faults_by_name().keys()
    assert {name for each in chosen for name in each.equipment.speeches} | {"gateway"} == SPEECHES.keys()
    assert {each.rain[0].rain for each in chosen} >= {"none", "uniform", "chicago", "record"}
    million = load_scenario("million").load
    assert million is not None
    assert (million.registry, million.rate) == (1_000_000, 20_000)


# what is read ---------------------------------------------------------------------------------------------------------
def test_times_are_hours_and_minutes_of_the_scenario() -> None:
    one = parse_scenario(
        f"{DRY}faults:\n  - {{fault: dead_sensor, at: 01:20, until: '02:00:30', pick: {{}}}}\n".encode(), "mine.yaml"
    ).faults[0]
    assert (one.at, one.until) == (4800, 7230)


def test_a_single_rain_stands_without_a_list_and_several_in_one() -> None:
    assert len(scenario().rain) == 1
    two = scenario(rain="[{rain: uniform, mm_h: 5, minutes: 30}, {rain: chicago, period_years: 5, minutes: 60}]")
    assert [rain.rain for rain in two.rain] == ["uniform", "chicago"]


def test_a_scenario_of_one_s_own_stands_beside_its_rain(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"{HEAD}rain: {{rain: csv, file: rain.csv}}\n", encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"mine.yaml: rain.0.file = 'rain.csv': no such file in "):
        load_scenario(path)
    (tmp_path / "rain.csv").write_text("minute,mm_h\n0,12\n60,0\n", encoding="utf-8")
    found = read_scenario(str(path))
    assert found.folder == tmp_path
    assert "12.0 mm in all" in shown(found.scenario, tmp_path)
    assert "as rain.csv says" in shown(found.scenario)


# what is refused ------------------------------------------------------------------------------------------------------
def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ScenarioError, match=r"evening: no such file, and no shipped scenario: blocked-main, calm-day,"):
        load_scenario("evening")
    with pytest.raises(ScenarioError, match="no such file"):
        load_scenario(Path(__file__) / "x.yaml")
    with pytest.raises(ScenarioError, match="directory"):
        load_scenario(CHECKOUT / "docs")


def test_a_file_that_is_no_scenario() -> None:
    assert told("{a: [").startswith("mine.yaml: not YAML: ")
    assert "'a' stands there twice" in told("a: 1\na: 2\n")
    assert told("- a\n") == "mine.yaml: ['a']: a scenario is fields: name, title, about, hours, …"
    assert "at most 262144 are read" in told("a: 1 #" + "x" * 300_000)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEAD, "mine.yaml line 1: rain: is missing"),
        (DRY.replace("hours: 4", "hours: 0"), "mine.yaml line 4: hours = 0: Input should be greater than 0"),
        (DRY.replace("name: mine", "name: Mine!"), "mine.yaml line 1: name = 'Mine!': String should match"),
        (DRY + "wheather: dry\n", "mine.yaml line 6: wheather: no such field; "),
        (
            DRY + "radio: {los: 3}\n",
            "mine.yaml line 6: radio.los: no such field; loss is meant? there are loss, loss_flo",
        ),
        (DRY + "radio: {loss: 3}\n", "mine.yaml line 6: radio.loss = 3: Input should be less than or equal to 1"),
        (
            DRY + "load: {registry: 5, rat: 3}\n",
            "mine.yaml line 6: load.rat: no such field; rate is meant? there are reg",
        ),
        (DRY + "daylight: dusk\n", "mine.yaml line 6: daylight = 'dusk': Input should be 'clock', 'night' or 'day'"),
        (HEAD + "rain: []\n", "rain: say none where there is none"),
        (
            HEAD + "rain: {rain: drizzle}\n",
            "rain.rain = 'drizzle': there are chicago, uniform, csv, record, cell, none",
        ),
        (HEAD + "rain: {mm_h: 3}\n", "mine.yaml line 5: rain.rain: is missing; there are chicago, "),
        (HEAD + "rain: {rain: chicago, period_years: 5, minutes: 2}\n", "line 5: rain.minutes = 2: Input should be g"),
        (HEAD + "rain: {rain: chicago, minutes: 60}\n", "mine.yaml line 5: rain.period_years: is missing"),
        (
            HEAD + "rain: {rain: chicago, site: atlantis, period_years: 2, minutes: 60}\n",
            "mine.yaml line 5: rain.site = 'atlantis': there are anyang, ",
        ),
        (HEAD + "rain:\n  - {rain: none}\n  - {rain: uniform, mm_h: 3, minutes: 5}\n", "rain.0: none, and 1 more"),
        (
            HEAD + "rain:\n  - {rain: uniform, mm_h: -3, minutes: 5}\n",
            "mine.yaml line 6: rain.0.mm_h = -3: Input should be greater than or equal to 0",
        ),
        (
            HEAD + "rain: {rain: uniform, mm_h: 3, minutes: 5, begins: 04:00}\n",
            "rain.0: uniform begins after the scenario's 4 h",
        ),
        (DRY + "equipment: {speeches: {jso: 1}}\n", "equipment.speeches: jso: there are json, cbor, mqtt-well-status"),
        (DRY + "equipment: {speeches: {gateway: 1}}\n", "gateway: through_gateways says how many speak through one"),
        (DRY + "equipment: {speeches: {}}\n", "equipment.speeches: at least one of json, "),
    ],
)
def test_a_wrong_field_is_told_with_its_line_and_what_is_allowed(text: str, line: str) -> None:
    assert line in told(text)


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (
            "{fault: opn_cover, pick: {}}",
            "line 7: faults.0.fault = 'opn_cover': open_cover is meant? there are open_cover, ",
        ),
        ("{at: 00:10}", "mine.yaml line 7: faults.0.fault: is missing; there are open_cover, tilted_cover, "),
        ("hello", "mine.yaml line 7: faults.0 = 'hello': "),
        ("{fault: open_cover}", "mine.yaml line 7: faults.0.pick: is missing"),
        (
            "{fault: open_cover, pick: {famly: cover}}",
            "faults.0.pick.famly: no such field; family is meant? there are fa",
        ),
        ("{fault: open_cover, pick: {family: bollard}}", "faults.0.pick.family = 'bollard': Input should be 'cover', "),
        ("{fault: open_cover, pick: {family: lamp}}", "faults.0: pick.family lamp: it befalls cover only"),
        ("{fault: open_cover, at: 80, pick: {}}", "faults.0.at = 80: write hours and minutes, like 01:20 or 01:20:30"),
        ("{fault: open_cover, at: 1:75, pick: {}}", "faults.0.at = '1:75': write hours and minutes"),
        ("{fault: open_cover, at: 02:00, until: 01:00, pick: {}}", "faults.0: until 3600 s is not after at 7200 s"),
        ("{fault: open_cover, at: 04:00, pick: {}}", "faults.0: open_cover begins after the scenario's 4 h"),
        ("{fault: open_cover, until: 05:00, pick: {}}", "faults.0: open_cover ends after the scenario's 4 h; without"),
        ("{fault: open_cover, tilt: 3, pick: {}}", "faults.0.tilt: no such field; "),
        ("{fault: open_cover, tilt_deg: 200, pick: {}}", "faults.0.tilt_deg = 200: Input should be less than or equal"),
        ("{fault: loss, share: 2, pick: {}}", "faults.0.share = 2: Input should be less than or equal to 1"),
        (
            "{fault: loss, share: 0.1, pick: {count: 2, share: 0.5}}",
            "faults.0.pick: count 2 and share 0.5: say one of th",
        ),
        ("{fault: loss, share: 0.1, pick: {devices: [A], count: 1}}", "devices are named: count and share say nothing"),
        ("{fault: loss, share: 0.1, pick: {devices: [12]}}", "pick.devices.0 = 12: a name of digits: put it in quotes"),
        (
            "{fault: failed_lamp, pick: {count: 0}}",
            "faults.0.pick.count = 0: Input should be greater than or equal to 1",
        ),
        (
            "{fault: drifting_sensor, pick: {family: road}, field: level_m, per_hour: 1}",
            "faults.0: field level_m: road measures battery_v, battery_pct, rsrp_dbm, temperature_c, depth_cm",
        ),
        (
            "{fault: spiking_sensor, pick: {family: cover}, field: open, size: 1}",
            "faults.0: field open: cover measures battery_v, ",
        ),
        ("{fault: drifting_sensor, pick: {}, field: level_m, per_hour: 0}", "faults.0.per_hour = 0: 0 is no drift"),
        ("{fault: stuck_sensor, pick: {family: rain}, fields: [x]}", "faults.0: fields x: rain has battery_v, "),
        ("{fault: wrong_clock, pick: {}}", "faults.0: by_s 0, since_1970 False: say one of them"),
        ("{fault: wrong_clock, pick: {}, by_s: 5, since_1970: true}", "by_s 5, since_1970 True: say one of them"),
        ("{fault: wrong_clock, pick: {}, by_s: 1e12}", "faults.0.by_s = 1000000000000.0: Input should be less than"),
        (
            "{fault: blocked_pipe, pick: {water: clean}}",
            "faults.0.pick.water = 'clean': Input should be 'foul' or 'storm'",
        ),
        ("{fault: malicious_publisher, rate: 0}", "faults.0.rate = 0: Input should be greater than 0"),
    ],
)
def test_a_wrong_fault_is_told_with_its_number_and_what_is_allowed(fault: str, line: str) -> None:
    assert line in told_of(fault)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    lines = told(f"{HEAD}rain: {{rain: rainy}}\nfaults:\n  - {{fault: x}}\n  - {{fault: dead_sensor}}\n").splitlines()
    assert [line.split(":")[0] for line in lines] == ["mine.yaml line 5", "mine.yaml line 7", "mine.yaml line 8"]


# what is explained ----------------------------------------------------------------------------------------------------
def shown(chosen: Scenario, folder: Path | None = None) -> str:
    console = Console(width=400, record=True, file=io.StringIO())
    console.print(explain(chosen, folder))
    return console.export_text()


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_shipped_scenario_is_explained_fault_by_fault(name: str) -> None:
    chosen = load_scenario(name)
    text = shown(chosen)
    assert chosen.title in text
    for fault in chosen.faults:
        words = FAULTS[fault.fault]
        assert words.says(fault) in text
        assert words.look in text


def test_an_explanation_has_rain_times_victims_and_what_to_look_for() -> None:
    text = shown(load_scenario("evening-storm"))
    assert "design storm of 120 min by anyang's formula, once in 20 years, strongest about 01:18" in text
    assert re.search(r"\d+\.\d mm in all, \d+\.\d mm in the strongest hour \(from 00:\d\d\), at most \d+ mm/h", text)
    assert "█" in text
    assert re.search(r"01:25 – 04:00 +hazard +2 × cover +cover open, at 78° +cover\.open 红", text)
    assert "and 15 % of all devices through a gateway" in text
    assert "20,000 plain reports a second of 1,000,000 devices" in shown(load_scenario("million"))


def test_every_pick_and_every_rain_has_words() -> None:
    chosen = scenario(
        """
        {fault: loss, share: 0.1, pick: {}}
        {fault: loss, share: 0.1, pick: {family: road, place: underpass, near: 东风路, count: 2}}
        {fault: loss, share: 0.1, pick: {devices: [A-1, A-2]}}
        {fault: blocked_pipe, pick: {water: foul, count: 3}, open_share: 0}
        {fault: blocked_pipe, pick: {pipes: [GD-1]}}
        {fault: failed_pump, pick: {pumps: [P1]}, tells: false}
        {fault: gateway_outage, gateways: [GW-1], keeps: false}
        {fault: wrong_clock, pick: {count: 1}, by_s: -90}
        {fault: open_cover, at: 00:00:30, pick: {count: 1}, tilt_deg: 0}
        """,
        rain="[{rain: cell, mm_h: 60, width_m: 800, speed_m_s: 4, over_middle: 01:00},"
        " {rain: uniform, mm_h: 1, minutes: 30}]",
    )
    text = shown(chosen)
    for words in (
        "a cell of 800 m, at most 60 mm/h, comes from 270° at 4 m/s and is over the city's middle at 01:00",
        "from 00:00: 1 mm/h for 30 min, everywhere alike",
        "every device ",
        "2 × road at underpass near 东风路",
        "A-1, A-2",
        "3 × foul pipe",
        "pipe shut",
        "GD-1",
        "its controller says nothing",
        "what it heard is lost",
        "times off by -90 s",
        "00:00:30 – end",
        "cover open, lying beside its hole",
    ):
        assert words in text


# what is written down -------------------------------------------------------------------------------------------------
def test_every_fault_has_words() -> None:
    assert FAULTS.keys() == faults_by_name().keys()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        (name, set(model.model_fields) - {"fault", "rain", "at", "until"})
        for name, model in (*faults_by_name().items(), *rains_by_name().items())
    ],
)
def test_the_page_has_every_fault_and_rain_with_its_fields(name: str, fields: set[str]) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    for field in fields:
        assert f"`{field}" in row, field


def test_the_page_has_every_shipped_scenario_and_every_speech() -> None:
    for name in (*shipped(), *SPEECHES):
        assert f"| `{name}` |" in PAGE, name


# whatever stands there ------------------------------------------------------------------------------------------------
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 99_999)
    | st.floats(-9, 9)
    | st.sampled_from(["", "x", "01:20", "none"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["fault", "rain", "pick", "family", "at", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
WHOLE: dict[str, Any] = {
    "name": "mine",
    "title": "t",
    "about": "a",
    "hours": 4,
    "rain": [{"rain": "uniform", "mm_h": 3, "minutes": 20}, {"rain": "chicago", "period_years": 2, "minutes": 60}],
    "radio": {"loss": 0.1},
    "equipment": {"speeches": {"json": 1}},
    "faults": [
        {"fault": "open_cover", "at": "01:00", "pick": {"family": "cover", "count": 1}},
        {"fault": "blocked_pipe", "pick": {"pipes": ["C1"]}},
    ],
    "load": {"registry": 5, "rate": 2},
}


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, each in inner for found in paths_of(each, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(paths_of(WHOLE)), ANYTHING)
def test_whatever_stands_anywhere_it_is_a_scenario_or_told(path: tuple[Any, ...], anything: Any) -> None:
    text = json.dumps(put(WHOLE, path, anything)).encode()
    try:
        parse_scenario(text, "mine.yaml")
    except ScenarioError as error:
        assert str(error).startswith("mine.yaml")  # noqa: PT017 - it may or may not be one
