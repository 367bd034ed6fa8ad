"""The demo city's ledger: the same for the same seed, plausible, and readable by the ledger's own rules."""

from __future__ import annotations

from collections import Counter

import pytest

from simulators.city import COLUMNS, City, CityError
from simulators.roster import roster_of
from simulators.streets import DISTRICTS, area_names
from underfoot.families import FAMILIES
from underfoot.ledger.row import parse

ISSUE_COLUMNS = (
    "device_id, family, area_code, asset_code, asset_name, address, lon, lat, owner_unit, maintenance_unit, vendor,"
    " model, expected_interval_s"
)


def test_the_columns_are_those_of_the_import() -> None:
    assert ", ".join(COLUMNS) == ISSUE_COLUMNS


def test_the_same_seed_gives_the_same_city_and_another_seed_another() -> None:
    first = list(City(devices=300, seed=5).rows())
    assert list(City(devices=300, seed=5).rows()) == first
    assert list(City(devices=300, seed=6).rows()) != first


def test_every_row_is_a_sound_row_of_a_ledger() -> None:
    for row in City(devices=400, seed=2).rows():
        understood, faults = parse(row._asdict(), {})
        assert understood is not None, faults
        assert understood.class_code == row.asset_code[6:10]
        assert len(row.lon.partition(".")[2]) >= 6
        assert len(row.lat.partition(".")[2]) >= 6
        assert 114.25 < float(row.lon) < 114.45
        assert 36.03 < float(row.lat) < 36.17
        assert row.area_code in area_names()
        assert row.asset_code[:6] == row.area_code[:6]


def test_codes_and_ids_are_used_once() -> None:
    rows = list(City(devices=2_000, seed=3).rows())
    assert len({row.asset_code for row in rows}) == len(rows)
    ids = [row.device_id for row in rows if row.device_id]
    assert len(ids) == len(set(ids)) == 2_000


def test_most_covers_have_no_sensor() -> None:
    rows = list(City(devices=600).rows())
    covers = [row for row in rows if row.family == "cover"]
    bare = [row for row in rows if not row.device_id]
    assert len(bare) == 2 * len(covers)
    assert {row.asset_code[6:8] for row in bare} == {"01"}


@pytest.mark.parametrize("devices", [60, 600, 3_000])
def test_a_city_has_what_a_storm_needs(devices: int) -> None:
    roster = roster_of(City(devices=devices).rows())
    assert len(roster) == devices
    places = Counter((device.family, device.place) for device in roster)
    assert {family for family, _ in places} == FAMILIES.keys()
    assert places["pump", "forebay"] == 2
    assert places["pump", "pump"] == 4
    assert places["road", "underpass"] >= 1
    assert min(places["pipe", "foul"], places["pipe", "storm"]) >= 3
    assert {device.district for device in roster} == {district.code for district in DISTRICTS}
    assert any(device.address == "东风路铁路桥下" and device.underpass for device in roster)


def test_road_corners_read_as_people_say_them() -> None:
    addresses = {row.address for row in City(devices=2_000).rows()}
    assert "人民大道文峰路口东北角" in addresses
    assert not any("大道路口" in address for address in addresses)


def test_pace_shortens_the_expected_intervals() -> None:
    slow = roster_of(City(devices=80).rows())
    fast = roster_of(City(devices=80, pace=60).rows())
    assert [max(1, round(device.interval_s / 60)) for device in slow] == [device.interval_s for device in fast]


def test_only_first_pumps_have_the_forebay_gauge() -> None:
    pumps = [device for device in roster_of(City(devices=60).rows()) if device.family == "pump"]
    assert [device.asset_name for device in pumps if device.forebay_gauge] == [
        "东风路雨水泵站1号泵",
        "洹滨雨水泵站1号泵",
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"devices": 0}, "devices: 0; 1 to 1000000"),
        ({"pace": 0.0}, "pace: 0.0; above 0, to 100000"),
        ({"bare_covers_per_cover": -1.0}, "bare covers per cover: -1.0; 0 to 20"),
    ],
)
def test_an_impossible_city_says_why(values: dict[str, float], said: str) -> None:
    with pytest.raises(CityError) as error:
        City(**values)  # type: ignore[arg-type]
    assert str(error.value) == said
