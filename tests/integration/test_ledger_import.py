"""The ledger's import against a real database: what comes into being, what changes, what is refused."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import psycopg
import pytest

from underfoot.ledger.baseline import set_baseline
from underfoot.ledger.columns import LedgerError
from underfoot.ledger.importer import ImportSummary, import_ledger
from underfoot.ledger.staging import Count, LedgerFaultsError
from underfoot.storage.connect import Connection, connect

_DEVICE = {"vendor": "", "model": "", "expected_interval_s": ""}


def row(device_id: str = "", serial: int = 312, **changes: str) -> dict[str, str]:
    return (
        {
            "device_id": device_id,
            "family": "cover" if device_id else "",
            "area_code": "410502003",
            "asset_code": f"4105020103{serial:06d}",
            "asset_name": f"雨水井{serial:04d}",
            "address": "人民大道文峰路口东北角",
            "lon": "114.3528123",
            "lat": "36.1023456",
            "owner_unit": "市水务局",
            "maintenance_unit": "文峰养护所",
        }
        | _DEVICE
        | changes
    )


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database, "test") as opened:
        yield opened


class Ledger:
    """Writes rows to a file and imports it."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self.connection = connection
        self.file = folder / "ledger.csv"

    def write(self, *rows: dict[str, str], without: tuple[str, ...] = ()) -> Path:
        names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in without]
        with self.file.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        return self.file

    def load(self, *rows: dict[str, str], without: tuple[str, ...] = (), **options: Any) -> ImportSummary:
        return import_ledger(self.connection, self.write(*rows, without=without), actor="tester", **options)

    def refused(self, *rows: dict[str, str]) -> dict[tuple[int, str], str]:
        with pytest.raises(LedgerFaultsError) as refusal:
            self.load(*rows)
        return {(bad.row, fault.column): fault.allowed for bad in refusal.value.first for fault in bad.faults}

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        found = self.connection.execute(statement).fetchall()
        self.connection.commit()
        return found


@pytest.fixture
def ledger(connection: Connection, tmp_path: Path) -> Ledger:
    return Ledger(connection, tmp_path)


def test_areas_assets_and_devices_come_into_being(ledger: Ledger) -> None:
    summary = ledger.load(
        row("WF-1", 1, area_name="安阳市/文峰区/光华路街道"),
        row("WF-2", 1, area_name="光华路街道"),
        row("", 2, area_code="410503"),
    )
    assert (summary.areas, summary.assets, summary.devices) == (Count(new=5), Count(new=2), Count(new=2))
    assert ledger.query("SELECT code, name, parent_code, level FROM areas ORDER BY code") == [
        ("41", "河南省", None, "province"),
        ("4105", "安阳市", "41", "city"),
        ("410502", "文峰区", "4105", "district"),
        ("410502003", "光华路街道", "410502", "street"),
        ("410503", "410503", "4105", "district"),
    ]
    assert ledger.query(
        "SELECT asset_code, code_scheme, kind, name, area_code, lon, lat, maintenance_unit FROM assets ORDER BY 1"
    )[0] == (
        "4105020103000001",
        "GB/T 30428.2-2013",
        "0103",
        "雨水井0001",
        "410502003",
        114.3528123,
        36.1023456,
        "文峰养护所",
    )
    assert ledger.query(
        "SELECT device_id, family, district, shard, asset_code, expected_interval_s"
        " FROM devices JOIN assets USING (asset_key) ORDER BY 1"
    ) == [
        ("WF-1", "cover", "410502", "main", "4105020103000001", 86_400),
        ("WF-2", "cover", "410502", "main", "4105020103000001", 86_400),
    ]


def test_importing_again_changes_nothing_and_then_only_what_changed(ledger: Ledger) -> None:
    rows = [row("WF-1", 1), row("WF-2", 2), row("", 3)]
    ledger.load(*rows)
    before = ledger.query("SELECT device_id, updated_at FROM devices ORDER BY 1")
    again = ledger.load(*rows)
    assert (again.areas, again.assets, again.devices) == (Count(unchanged=4), Count(unchanged=3), Count(unchanged=2))
    assert ledger.query("SELECT device_id, updated_at FROM devices ORDER BY 1") == before

    rows[0] |= {"vendor": "厂商甲"}
    rows[2] |= {"lat": "36.1023457"}
    changed = ledger.load(*rows, row("WF-4", 4))
    assert (changed.areas, changed.assets, changed.devices) == (
        Count(unchanged=4),
        Count(new=1, changed=1, unchanged=2),
        Count(new=1, changed=1, unchanged=1),
    )


def test_a_column_that_the_file_has_not_stays_and_an_empty_cell_empties(ledger: Ledger) -> None:
    full = row("WF-1", 1, vendor="厂商甲", expected_interval_s="900", safety_net_on="2024-06-30", 材质="球墨铸铁")
    ledger.load(full)
    columns = ("vendor", "expected_interval_s", "safety_net_on", "lon", "lat", "asset_name", "材质")
    kept = ledger.load(full, without=columns)
    assert (kept.assets, kept.devices) == (Count(unchanged=1), Count(unchanged=1))
    emptied = ledger.load(full | dict.fromkeys(columns, ""))
    assert (emptied.assets, emptied.devices) == (Count(changed=1), Count(changed=1))
    assert ledger.query("SELECT vendor, expected_interval_s FROM devices") == [("", 86_400)]
    assert ledger.query("SELECT name, lon, safety_net_on, attributes FROM assets") == [
        ("雨水井盖", None, None, {"材质": "球墨铸铁"})
    ]


def test_what_the_asset_answers_for_its_device_is_kept_with_it(ledger: Ledger) -> None:
    ledger.load(row("W-1", 1, family="road", place="下穿"), row("P-1", 2, family="pipe", network="雨水"))
    assert ledger.query("SELECT attributes FROM assets ORDER BY asset_code") == [
        ({"place": "underpass"},),
        ({"network": "storm"},),
    ]


def test_a_changed_asset_makes_its_devices_reread(ledger: Ledger) -> None:
    ledger.load(row("WF-1", 1), row("WF-2", 2))
    before = dict(ledger.query("SELECT device_id, updated_at FROM devices"))
    ledger.load(row("WF-1", 1), row("WF-2", 2, address="文峰路"))
    after = dict(ledger.query("SELECT device_id, updated_at FROM devices"))
    assert after["WF-1"] == before["WF-1"]
    assert after["WF-2"] > before["WF-2"]


def test_one_bad_cell_and_nothing_is_imported(ledger: Ledger) -> None:
    faults = ledger.refused(
        row("WF-1", 1),
        row("WF 2", 2, lon="36.1", lat="114.3"),
        row("WF-3", 3, lon="36.1", lat="114.3"),
        row("WF-4", 4, asset_code="3.20582E+15", expected_interval_s="soon"),
    )
    assert faults.keys() == {(3, "device_id"), (4, "lon"), (5, "asset_code"), (5, "expected_interval_s")}
    assert "swapped" in faults[4, "lon"]
    assert "lost digits" in faults[5, "asset_code"]
    for table in ("areas", "assets", "devices", "audit"):
        assert ledger.query(f"SELECT count(*) FROM {table}") == [(0,)]


def test_the_first_50_bad_rows_are_told_and_all_are_counted(ledger: Ledger) -> None:
    with pytest.raises(LedgerFaultsError) as refusal:
        ledger.load(*(row(f"WF-{number}", number, lat="0") for number in range(1, 121)))
    assert (len(refusal.value.first), refusal.value.bad_rows, refusal.value.rows) == (50, 120, 120)
    assert [bad.row for bad in refusal.value.first] == list(range(2, 52))


def test_rows_that_contradict_each_other_are_refused(ledger: Ledger) -> None:
    faults = ledger.refused(
        row("WF-1", 1, area_name="光华路街道"),
        row("WF-1", 2),
        row("WF-3", 1, address="别处", lat="36.2"),
        row("WF-4", 4, area_name="甜水井街道"),
    )
    assert "row 2" in faults[3, "device_id"]
    assert faults[4, "address"].endswith("'人民大道文峰路口东北角'")
    assert "row 2" in faults[4, "lat"]
    assert "光华路街道" in faults[5, "area_name"]
    assert len(faults) == 4


def test_a_family_is_for_life(ledger: Ledger) -> None:
    ledger.load(row("WF-1", 1))
    faults = ledger.refused(row("WF-1", 1, family="lamp"))
    assert "registered as cover" in faults[2, "family"]
    assert ledger.query("SELECT family FROM devices") == [("cover",)]


def test_a_device_that_moved_is_told(ledger: Ledger) -> None:
    ledger.load(row("WF-1", 1), row("WF-2", 2))
    summary = ledger.load(row("WF-1", 7, area_code="410503"), row("WF-2", 2))
    (move,) = summary.moved
    assert (move.device_id, move.asset_code_before, move.asset_code) == ("WF-1", "4105020103000001", "4105020103000007")
    assert (move.district_before, move.district) == ("410502", "410503")
    assert summary.devices == Count(changed=1, unchanged=1)
    assert ledger.query("SELECT district FROM devices ORDER BY device_id") == [("410503",), ("410502",)]


def test_a_device_without_an_asset_code_stands_for_its_asset_until_there_is_one(ledger: Ledger) -> None:
    ledger.load(row("R-1", 1, family="rain", asset_code="", asset_name="", kind="2122"))
    assert ledger.query("SELECT code_scheme, asset_code, kind, name, object_state FROM assets") == [
        ("device", "R-1", "2122", "R-1", "完好")
    ]
    summary = ledger.load(row("R-1", 1, family="rain"))
    assert [(move.asset_code_before, move.asset_code) for move in summary.moved] == [("R-1", "4105020103000001")]
    assert ledger.query("SELECT asset_code, object_state FROM assets ORDER BY asset_key") == [
        ("R-1", "废弃"),
        ("4105020103000001", "完好"),
    ]


def test_bad_rows_are_set_aside_with_their_reason(ledger: Ledger, tmp_path: Path) -> None:
    ledger.load(row("WF-9", 9))
    target = tmp_path / "bad.csv"
    summary = ledger.load(
        row("WF-1", 1),
        row("WF-2", 2, lat="x"),
        row("WF-1", 3),
        row("WF-9", 9, family="lamp"),
        row("WF-5", 5),
        bad_rows_to=target,
    )
    assert (summary.rows, summary.bad_rows, summary.devices) == (5, 3, Count(new=2))
    with target.open(encoding="utf-8-sig", newline="") as file:
        bad = list(csv.DictReader(file))
    assert [(line["原行号"], line["device_id"]) for line in bad] == [("3", "WF-2"), ("4", "WF-1"), ("5", "WF-9")]
    assert "lat = 'x'" in bad[0]["原因"]

    again = tmp_path / "again.csv"
    import_ledger(ledger.connection, target, actor="tester", bad_rows_to=again)
    assert (
        again.read_text(encoding="utf-8-sig").splitlines()[0] == target.read_text(encoding="utf-8-sig").splitlines()[0]
    )

    for line, good in zip(bad, (row("WF-2", 2), row("WF-3", 3), row("WF-9", 9)), strict=True):
        line |= good  # corrected in that very file, which then goes in as it is
    ledger.load(*bad)
    assert ledger.query("SELECT count(*) FROM devices") == [(5,)]
    assert ledger.query("SELECT count(*) FROM assets WHERE attributes <> '{}'") == [(0,)]


def test_a_dry_run_checks_and_changes_nothing(ledger: Ledger) -> None:
    summary = ledger.load(row("WF-1", 1), dry_run=True)
    assert (summary.committed, summary.devices) == (False, Count(new=1))
    assert ledger.query("SELECT count(*) FROM devices") == [(0,)]
    with pytest.raises(LedgerFaultsError):
        ledger.load(row("WF-1", 1, lat="0"), dry_run=True)


def test_who_imported_is_audited_and_the_registry_told_at_commit(ledger: Ledger, database: str) -> None:
    with connect(database, "listener", autocommit=True) as listener:
        listener.execute("LISTEN underfoot_registry")
        ledger.load(row("WF-1", 1))
        assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1
        ledger.load(row("WF-1", 1))
        assert list(listener.notifies(timeout=0.3)) == []
    audited = ledger.query("SELECT actor, action, subject, detail->'devices'->>'new' FROM audit ORDER BY audit_key")
    assert audited == [("tester", "ledger.import", "ledger.csv", "1"), ("tester", "ledger.import", "ledger.csv", "0")]


def test_what_contradicts_the_record_is_no_traceback(ledger: Ledger) -> None:
    ledger.load(row("", 1, defect_found_on="2024-06-30"))
    with pytest.raises(LedgerError, match="contradicts what is known"):
        ledger.load(row("", 1, defect_repaired_on="2024-06-01"))


def test_a_workbook_is_imported(ledger: Ledger, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(["窨井盖台账"])
    sheet.append(["设备编号", "设备类别", "区划代码", "部件编码", "部件名称", "经度", "纬度", "上报间隔(小时)"])
    sheet.append(["WF-1", "智慧井盖", 410502, 4105020103000312, "雨水井", 114.352812, 36.102345, 24])
    path = tmp_path / "a.xlsx"
    book.save(path)
    book.close()
    import_ledger(ledger.connection, path, actor="tester")
    assert ledger.query(
        "SELECT device_id, asset_code, lon, expected_interval_s FROM devices JOIN assets USING (asset_key)"
    ) == [("WF-1", "4105020103000312", 114.352812, 86_400)]


def test_a_baseline_is_of_the_family_and_survives_an_import(ledger: Ledger) -> None:
    ledger.load(row("WF-1", 1))
    assert set_baseline(ledger.connection, "WF-1", {"tilt_deg": "3.5"}, actor="tester") == {"tilt_deg": 3.5}
    ledger.load(row("WF-1", 1, vendor="厂商甲"))
    assert ledger.query("SELECT baseline FROM devices") == [({"tilt_deg": 3.5},)]
    for changes, message in (
        ({"depth_cm": "1"}, "no field 'depth_cm'"),
        ({"tilt_deg": "181"}, "0 to 180"),
        ({"tilt_deg": "nan"}, "0 to 180"),
        ({"open": "perhaps"}, "valid boolean"),
    ):
        with pytest.raises(LedgerError, match=message):
            set_baseline(ledger.connection, "WF-1", changes, actor="tester")
    with pytest.raises(LedgerError, match="no device 'WF-2'"):
        set_baseline(ledger.connection, "WF-2", {"tilt_deg": "1"}, actor="tester")
    assert set_baseline(ledger.connection, "WF-1", {"tilt_deg": ""}, actor="tester") == {}
    assert ledger.query("SELECT count(*) FROM audit WHERE action = 'device.baseline'") == [(2,)]


def test_100_000_rows_take_less_than_15_seconds_of_work(connection: Connection, tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, row())
        writer.writeheader()
        for number in range(100_000):
            writer.writerow(row(f"C{number:06d}" if number % 10 == 0 else "", number))
    began = time.process_time()
    summary = import_ledger(connection, path, actor="tester")
    ours = time.process_time() - began
    assert (summary.assets, summary.devices) == (Count(new=100_000), Count(new=10_000))
    assert ours < 15, "processor time of the importer alone, so that a busy machine does not decide"
    assert summary.seconds < 60


def test_two_imports_at_once_wait_for_each_other(ledger: Ledger, database: str) -> None:
    ledger.write(row("WF-1", 1))
    with connect(database, "other") as other:
        other.execute("SELECT pg_advisory_xact_lock(1970104932)")
        ledger.connection.execute("SET lock_timeout = '300ms'")
        ledger.connection.commit()
        with pytest.raises(psycopg.errors.LockNotAvailable):
            import_ledger(ledger.connection, ledger.file, actor="tester")


def tags(ledger: Ledger) -> dict[str, list[str]]:
    return dict(ledger.query("SELECT asset_code, tags FROM assets ORDER BY asset_key"))


def test_tags_are_words_of_an_asset(ledger: Ledger) -> None:
    ledger.load(row("C-1", 1, tags="学校门口、低洼; 低洼；"), row("C-2", 2, tags=""))
    assert tags(ledger) == {"4105020103000001": ["低洼", "学校门口"], "4105020103000002": []}
    before = ledger.query("SELECT updated_at FROM devices ORDER BY device_id")
    again = ledger.load(row("C-1", 1, tags="低洼、学校门口"), row("C-2", 2, tags="低洼"))
    assert again.assets == Count(0, 1, 1)
    assert tags(ledger) == {"4105020103000001": ["低洼", "学校门口"], "4105020103000002": ["低洼"]}
    after = ledger.query("SELECT updated_at FROM devices ORDER BY device_id")
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)  # whoever keeps it in memory reads it anew


def test_tags_stay_where_the_file_has_no_such_column_and_go_where_it_says_none(ledger: Ledger) -> None:
    ledger.load(row("C-1", 1, tags="低洼"))
    ledger.load(row("C-1", 1))
    assert tags(ledger) == {"4105020103000001": ["低洼"]}
    ledger.load(row("C-1", 1, tags=""))
    assert tags(ledger) == {"4105020103000001": []}


def test_tags_that_are_too_long_or_contradict_are_refused(ledger: Ledger) -> None:
    assert "64" in ledger.refused(row("C-1", 1, tags="低洼、" + "长" * 65))[2, "tags"]
    refused = ledger.refused(row("C-1", 1, tags="低洼"), row("C-2", 1, tags="学校"))
    assert list(refused) == [(3, "tags")]
    assert "低洼" in refused[3, "tags"]


def test_the_chinese_header_means_tags(ledger: Ledger) -> None:
    ledger.file.write_text("部件编码,区划代码,标签\n4105020103000001,410502,低洼\n", encoding="utf-8")
    import_ledger(ledger.connection, ledger.file, actor="tester")
    assert tags(ledger) == {"4105020103000001": ["低洼"]}
