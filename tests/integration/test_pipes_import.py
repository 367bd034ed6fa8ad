"""Pipes into the ledger against a real database: what comes into being, what is refused, what is told."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from underfoot.ledger.columns import LedgerError
from underfoot.ledger.importer import import_ledger
from underfoot.ledger.pipe_importer import PipesSummary, import_pipes, remove_pipe
from underfoot.ledger.pipes import Version, ledger_version, load_pipes
from underfoot.ledger.staging import Count, LedgerFaultsError
from underfoot.storage.connect import Connection, connect

TITLES = ("管段编号", "起点部件", "终点部件", "管网类型", "管径(mm)", "长度(m)", "起点管底标高", "终点管底标高")


def code(serial: int) -> str:
    return f"4105020102{serial:06d}"


def row(upper: int, lower: int, **changes: str) -> dict[str, str]:
    """A pipe between two assets, one level lower with each serial."""
    return {
        "pipe_id": f"W{upper}-W{lower}",
        "from_asset": code(upper),
        "to_asset": code(lower),
        "kind": "foul",
        "diameter_mm": "300",
        "length_m": "50",
        "invert_up_m": f"{100 - upper * 0.25}",
        "invert_down_m": f"{100 - lower * 0.25}",
    } | changes


class Pipes:
    """A city with ten assets (the last a pump station), and files of pipes between them."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self.connection = connection
        self.folder = folder
        self.file = folder / "pipes.csv"
        assets = folder / "assets.csv"
        lines = ["asset_code,area_code,asset_name,lon,lat,地面标高"]
        lines += [
            f"{code(serial)},410502003,污水井{serial},{114 + serial * 0.00055:.6f},36.1,103" for serial in range(1, 10)
        ]
        lines += ["4105022115000010,410502003,洹滨泵站,114.0055,36.1,103"]
        assets.write_text("\n".join(lines), encoding="utf-8")
        import_ledger(connection, assets, actor="tester")

    def write(self, *rows: dict[str, str]) -> Path:
        with self.file.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(name for each in rows for name in each)))
            writer.writeheader()
            writer.writerows(rows)
        return self.file

    def load(self, *rows: dict[str, str], **options: Any) -> PipesSummary:
        return import_pipes(self.connection, self.write(*rows), actor="tester", **options)

    def refused(self, *rows: dict[str, str]) -> dict[tuple[int, str], str]:
        with pytest.raises(LedgerFaultsError) as refusal:
            self.load(*rows)
        return {(bad.row, fault.column): fault.allowed for bad in refusal.value.first for fault in bad.faults}

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        found = self.connection.execute(statement.encode()).fetchall()
        self.connection.commit()
        return found

    def version(self) -> Version:
        found = ledger_version(self.connection)
        self.connection.commit()
        return found

    def ids(self) -> list[str]:
        return [pipe_id for (pipe_id,) in self.query("SELECT pipe_id FROM pipes ORDER BY pipe_id")]


TO_STATION = row(3, 10, to_asset="4105022115000010", pipe_id="W3-B1", length_m="350")


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database, "test") as opened:
        yield opened


@pytest.fixture
def pipes(connection: Connection, tmp_path: Path) -> Pipes:
    return Pipes(connection, tmp_path)


def test_pipes_come_into_being_between_assets(pipes: Pipes) -> None:
    summary = pipes.load(row(1, 2, 管材="HDPE"), row(2, 3, kind="雨水", diameter_mm="DN600"), TO_STATION)
    assert (summary.rows, summary.bad_rows, summary.pipes) == (3, 0, Count(new=3))
    assert summary.kept_as_attributes == ["管材"]
    assert pipes.query(
        "SELECT pipe_id, u.asset_code, l.asset_code, p.kind, diameter_mm, length_m, invert_up_m, invert_down_m,"
        " roughness, p.attributes FROM pipes p JOIN assets u ON u.asset_key = from_asset"
        " JOIN assets l ON l.asset_key = to_asset"
        " WHERE pipe_id LIKE 'W%-W%' ORDER BY 1"
    ) == [
        ("W1-W2", code(1), code(2), "foul", 300.0, 50.0, 99.75, 99.5, None, {"管材": "HDPE"}),
        ("W2-W3", code(2), code(3), "storm", 600.0, 50.0, 99.5, 99.25, None, {}),
    ]
    warnings = {"mixed": 2, "narrowing": 1}  # foul runs into storm, and that into foul again
    assert summary.warnings == warnings
    [(actor, detail)] = pipes.query("SELECT actor, detail FROM audit WHERE action = 'pipes.import'")
    assert (actor, detail["pipes"], detail["warnings"]) == (
        "tester",
        {"new": 3, "changed": 0, "unchanged": 0},
        warnings,
    )
    known, nodes = load_pipes(pipes.connection)
    assert [pipe.pipe_id for pipe in known] == ["W1-W2", "W2-W3", "W3-B1"]
    assert {node.asset_code: node.rim_m for node in nodes}[code(1)] == 103


def test_importing_again_changes_nothing_and_then_only_what_changed(pipes: Pipes) -> None:
    rows = [row(1, 2, roughness="0.01"), row(2, 3, roughness=""), TO_STATION]
    pipes.load(*rows)
    before = pipes.version()
    assert pipes.load(*rows).pipes == Count(unchanged=3)
    assert pipes.version() == before
    del rows[0]["roughness"], rows[1]["roughness"]
    rows[1] |= {"diameter_mm": "400", "备注": "2024 换管"}
    assert pipes.load(*rows).pipes == Count(changed=1, unchanged=2)
    assert pipes.version() != before
    # A column that the file has not stays; what is not in the file stays too.
    assert pipes.query("SELECT pipe_id, roughness, attributes FROM pipes ORDER BY pipe_id") == [
        ("W1-W2", 0.01, {}),
        ("W2-W3", None, {"备注": "2024 换管"}),
        ("W3-B1", None, {}),
    ]
    assert pipes.load(row(1, 2)).pipes == Count(unchanged=1)
    assert pipes.ids() == ["W1-W2", "W2-W3", "W3-B1"]


def test_a_workbook_in_chinese_is_read_as_a_csv_is(pipes: Pipes) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(["污水管段台账"])
    sheet.append(list(TITLES))
    sheet.append(["W1-W2", code(1), code(2), "污水", 300, 50, 99.75, 99.5])
    sheet.append(["Y2-Y3", code(2), code(3), "雨水", "DN600", "50m", "99.50", 99.25])
    path = pipes.folder / "管段.xlsx"
    book.save(path)
    book.close()
    assert import_pipes(pipes.connection, path, actor="tester").pipes == Count(new=2)
    assert pipes.query("SELECT pipe_id, kind, diameter_mm FROM pipes ORDER BY 1") == [
        ("W1-W2", "foul", 300.0),
        ("Y2-Y3", "storm", 600.0),
    ]


def test_every_fault_says_row_column_and_what_is_allowed(pipes: Pipes) -> None:
    faults = pipes.refused(
        row(1, 2),
        row(1, 2),
        row(2, 3, to_asset=code(77), pipe_id="a"),
        row(2, 3, to_asset=code(2), pipe_id="b"),
        row(2, 3, diameter_mm="30", pipe_id="c"),
        row(2, 3, length_m="0", pipe_id="d"),
        row(2, 3, kind="合流", pipe_id="e"),
        row(2, 3, pipe_id="W 2"),
        row(2, 3, diameter_mm="2000x1500", invert_up_m="", pipe_id="f"),
        row(2, 3, invert_up_m="abc", pipe_id="g"),
        row(2, 3, invert_down_m="40", pipe_id="h"),
        row(2, 3, roughness="1.3", pipe_id="i"),
    )
    assert {place: allowed.partition(" · ")[0] for place, allowed in faults.items()} == {
        (3, "pipe_id"): "同一管段只能有一行，第 2 行已有",
        (4, "to_asset"): "部件台账中没有该编码，请先用 underfoot devices import 导入",
        (5, "to_asset"): "起点与终点不能是同一部件",
        (6, "diameter_mm"): "100–5000 mm",
        (7, "length_m"): "0.1–10000 m",
        (8, "kind"): "应为下列之一",
        (9, "pipe_id"): "1–64 个字母、数字、下划线、点或连字符",
        (10, "diameter_mm"): "毫米数，如 300 或 DN300；方涵填等效直径",
        (11, "invert_up_m"): "米数，如 36.5",
        (12, "length_m"): "不小于两端高差 59.5 m",
        (13, "roughness"): "0.008–0.04",
    }
    assert pipes.ids() == []


def test_bad_rows_are_set_aside_with_their_reason_and_the_good_ones_imported(pipes: Pipes) -> None:
    bad = pipes.folder / "bad.csv"
    summary = pipes.load(row(1, 2), row(2, 77), row(2, 3), bad_rows_to=bad)
    assert (summary.pipes, summary.bad_rows, summary.bad_rows_file) == (Count(new=2), 1, str(bad))
    with bad.open(encoding="utf-8-sig") as file:
        [set_aside] = csv.DictReader(file)
    assert (set_aside["pipe_id"], set_aside["原行号"]) == ("W2-W77", "3")
    assert f"to_asset = '{code(77)}'" in set_aside["原因"]
    bad.write_text(bad.read_text(encoding="utf-8-sig").replace(code(77), code(4)), encoding="utf-8")
    assert import_pipes(pipes.connection, bad, actor="tester").pipes == Count(new=1)


def test_a_dry_run_tells_all_and_changes_nothing(pipes: Pipes) -> None:
    summary = pipes.load(row(1, 2), row(2, 3, invert_down_m="99.6"), dry_run=True)
    assert (summary.pipes, summary.committed) == (Count(new=2), False)
    assert set(summary.warnings) == {"no_fall", "no_outfall"}
    assert pipes.ids() == []
    assert pipes.query("SELECT count(*) FROM audit WHERE action = 'pipes.import'") == [(0,)]


def test_water_in_a_circle_is_refused_with_its_nodes(pipes: Pipes) -> None:
    faults = pipes.refused(row(1, 2), row(2, 3), row(3, 1), row(3, 4))
    assert set(faults) == {(2, "to_asset"), (3, "to_asset"), (4, "to_asset")}
    for allowed in faults.values():
        assert all(code(serial) in allowed for serial in (1, 2, 3))
    # What is known counts too; and of the file only the pipes that are part of it are wrong.
    pipes.load(row(1, 2), row(2, 3))
    assert set(pipes.refused(row(3, 1), row(3, 4))) == {(2, "to_asset")}
    assert pipes.load(row(3, 1), row(3, 4), bad_rows_to=pipes.folder / "bad.csv").pipes == Count(new=1)
    # Turned round as a whole it is no circle.
    turned = [row(2, 1, pipe_id="W1-W2"), row(3, 2, pipe_id="W2-W3"), row(4, 3, pipe_id="W3-W4")]
    assert pipes.load(*turned).pipes == Count(changed=3)


def test_rows_set_aside_leave_no_circle_behind(pipes: Pipes) -> None:
    """One of two pipes that the file turns round is bad for another reason: turned alone, the other makes a circle."""
    pipes.load(row(1, 2), row(2, 3))
    summary = pipes.load(
        row(2, 1, pipe_id="W1-W2", diameter_mm="1"),
        row(3, 2, pipe_id="W2-W3"),
        row(1, 3, pipe_id="new"),
        bad_rows_to=pipes.folder / "bad.csv",
    )
    # new 1 → 3, W2-W3 turned to 3 → 2 and W1-W2 still 1 → 2: no circle
    assert (summary.bad_rows, summary.pipes) == (1, Count(new=1, changed=1))
    summary = pipes.load(
        row(2, 1, pipe_id="W1-W2"),
        row(3, 1, pipe_id="new"),
        row(2, 3, pipe_id="W2-W3", diameter_mm="1"),
        row(1, 3, pipe_id="more"),
        bad_rows_to=pipes.folder / "bad.csv",
    )
    known, _ = load_pipes(pipes.connection)
    upstream = {(pipe.from_asset, pipe.to_asset) for pipe in known}
    assert not any((lower, upper) in upstream for upper, lower in upstream)


def test_codes_that_two_schemes_have_need_the_scheme(pipes: Pipes) -> None:
    pipes.query(
        "INSERT INTO assets (code_scheme, asset_code, kind, name, area_code)"
        f" SELECT 'DB41/T 1', '{code(1)}', '0102', 'x', '410502003' RETURNING 1"
    )
    faults = pipes.refused(row(1, 2))
    assert "DB41/T 1, GB/T 30428.2-2013" in faults[(2, "from_asset")]
    assert pipes.load(row(1, 2, code_scheme="GB/T 30428.2-2013")).pipes == Count(new=1)
    assert "code_scheme" in pipes.refused(row(2, 3, code_scheme="DB41/T 1"))[(2, "from_asset")]


@pytest.mark.parametrize(
    ("titles", "said"),
    [
        ("pipe_id,from_asset,to_asset,kind,diameter_mm,length_m,invert_up_m", "invert_down_m（终点管底标高）"),
        ("管段编号,起点部件,终点部件,管网类型,管径(m),长度,起点管底标高,终点管底标高", "单位须为 mm"),
        ("编号,起点部件,终点部件", "pipe_id 管段编号"),
        ("管段编号,管段号,起点部件", "pipe_id"),
    ],
)
def test_a_header_that_cannot_be_meant_is_refused(pipes: Pipes, titles: str, said: str) -> None:
    pipes.file.write_text(f"{titles}\nW1,{code(1)},{code(2)},foul,300,50,1,0\n", encoding="utf-8")
    with pytest.raises(LedgerError, match=said.replace("(", r"\(")):
        import_pipes(pipes.connection, pipes.file, actor="tester")


def test_a_removed_pipe_stays_in_the_audit_log(pipes: Pipes) -> None:
    pipes.load(row(1, 2), row(2, 3))
    remove_pipe(pipes.connection, "W1-W2", reason="登记两次", actor="tester")
    assert pipes.ids() == ["W2-W3"]
    [(subject, detail)] = pipes.query("SELECT subject, detail FROM audit WHERE action = 'pipes.remove'")
    assert (subject, detail["reason"], detail["was"]["diameter_mm"]) == ("W1-W2", "登记两次", 300)
    with pytest.raises(LedgerError, match="no pipe 'W1-W2'"):
        remove_pipe(pipes.connection, "W1-W2", reason="x", actor="tester")


def test_a_pipe_with_an_open_alarm_is_not_removed(pipes: Pipes) -> None:
    pipes.load(row(1, 2))
    pipes.query(
        "WITH alarm AS (INSERT INTO alarms (subject_kind, subject_key, rule_id, episode)"
        " SELECT 'pipe', pipe_key, 'drainage.blockage', 1 FROM pipes RETURNING alarm_key)"
        " INSERT INTO episodes (alarm_key, episode, rule_version, title, condition, severity, worst_severity,"
        " raised_at, raised_received_at, proof) SELECT alarm_key, 1, 1, 't', 'active', 3, 3, now(), now(), '{}'"
        " FROM alarm RETURNING 1"
    )
    with pytest.raises(LedgerError, match="has an open alarm"):
        remove_pipe(pipes.connection, "W1-W2", reason="x", actor="tester")
    pipes.query("UPDATE episodes SET cleared_at = now() RETURNING 1")
    remove_pipe(pipes.connection, "W1-W2", reason="x", actor="tester")


def test_an_asset_that_changes_makes_its_pipes_to_be_read_again(pipes: Pipes) -> None:
    """The height of its rim is part of the graph."""
    pipes.load(row(1, 2), row(2, 3))
    before = pipes.version()
    assets = pipes.folder / "more.csv"
    assets.write_text(f"asset_code,area_code,地面标高\n{code(9)},410502003,99\n", encoding="utf-8")
    import_ledger(pipes.connection, assets, actor="tester")
    assert pipes.version() == before  # no pipe ends there
    assets.write_text(f"asset_code,area_code,地面标高\n{code(2)},410502003,102.5\n", encoding="utf-8")
    import_ledger(pipes.connection, assets, actor="tester")
    assert pipes.version() != before
    assert 102.5 in {node.rim_m for node in load_pipes(pipes.connection)[1]}
