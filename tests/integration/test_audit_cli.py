"""`underfoot audit …` as a person types it: looked at, proven, and taken to an inspector as a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.integration.audited import Log, five
from underfoot.audit import cli
from underfoot.audit.files import COLUMNS, AuditFileError, prove
from underfoot.audit.log import Acts, listed


@pytest.fixture
def log(module_database: str) -> Iterator[Log]:
    made = Log(module_database)
    yield made
    made.connection.close()


@pytest.fixture
def command(log: Log, monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", log.database)
    monkeypatch.setattr(cli, "out", Console(width=300))
    monkeypatch.setattr(cli, "err", Console(width=300, stderr=True))
    return log


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli.commands, ["audit", *arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_verify_says_what_is_broken_and_how_to_note_the_head(command: Log) -> None:
    keys = five(command)
    said = run("verify")
    assert "5 rows are as they were sealed; 0 wait" in said
    head = said.split()[-1]
    assert json.loads(run("verify", "--head", head, "--json"))["broken"] is None
    command.meddle(f"UPDATE audit SET subject = 'episode:9' WHERE audit_key = {keys[3]}")
    assert f"Row {keys[3]} (changed)" in run("verify", code=1)
    found = json.loads(run("verify", "--json", code=1))
    assert (found["sealed"], found["broken"]["audit_key"], found["broken"]["kind"]) == (3, keys[3], "changed")
    assert "a head looks like" in run("verify", "--head", "x", code=2)


def test_show_filters(command: Log) -> None:
    command.act(actor="wang")
    command.act(actor="li", subject="episode:2")
    assert [row["actor"] for row in json.loads(run("show", "--json"))] == ["li", "wang"]
    assert [row["actor"] for row in json.loads(run("show", "--json", "--subject", "episode:1"))] == ["wang"]
    assert [row["subject"] for row in json.loads(run("show", "--json", "--actor", "li"))] == ["episode:2"]
    assert json.loads(run("show", "--json", "--action", "x.y")) == []
    assert json.loads(run("show", "--json", "--to", "2026-01-01")) == []
    assert "已电话通知" in run("show")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_an_export_is_proven_without_the_database(command: Log, tmp_path: Path, kind: str) -> None:
    keys = [command.act(actor="wang" if number % 2 else "=1+1") for number in range(5)]
    command.seal()
    command.act()
    file, some = tmp_path / f"all.{kind}", tmp_path / f"some.{kind}"
    done = json.loads(run("export", str(file), "--json"))
    assert (done["title"]["rows"], done["title"]["sealed"]) == (6, 5)
    proof = prove(file)
    assert (proof.sealed, proof.unsealed, proof.broken) == (5, 1, None)
    assert done["title"]["head"] == str(command.verify().head)
    run("export", str(some), "--actor", "wang")
    assert prove(some).broken is None
    lines = file.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    assert "5 rows are as they were sealed" in run("verify", "--file", str(file))
    for change, expected in (
        (("=1+1", "=1+2"), (keys[0], "changed")),
        (("episode:1", "episode:2"), (keys[0], "changed")),
        (("第二行", "第三行"), (keys[0], "changed")),
    ):
        file.write_text("".join(lines).replace(*change), encoding="utf-8")
        broken = prove(file).broken
        assert broken is not None
        assert (broken.audit_key, broken.kind) == expected
        assert f"Row {keys[0]}" in run("verify", "--file", str(file), code=1)
    assert "File exists" in run("export", str(some), code=2)
    assert listed(command.connection, Acts(action="audit.export"), limit=9)[0]["subject"] == f"file:{some.name}"


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_an_export_that_lacks_a_row_shows_it(command: Log, tmp_path: Path, kind: str) -> None:
    command.connection.execute(
        "INSERT INTO audit (actor, action, subject) SELECT 'x', 'x.y', 'z' || n FROM generate_series(1, 5) n"
    )
    command.seal()
    keys, file = command.sealed(), tmp_path / f"all.{kind}"
    run("export", str(file))
    lines = file.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    first = 2 if kind == "csv" else 1
    for gone, expected in ((2, (keys[3], "cut")), (4, (keys[3], "missing")), (0, (keys[4], "missing"))):
        file.write_text("".join(lines[: first + gone] + lines[first + gone + 1 :]), encoding="utf-8")
        broken = prove(file).broken
        assert broken is not None
        assert (broken.audit_key, broken.kind) == expected
    file.write_text("".join([*lines[:first], lines[-1], *lines[first:-1]]), encoding="utf-8")
    broken = prove(file).broken
    assert broken is not None
    assert broken.kind in ("cut", "inserted")


def test_a_csv_is_what_an_inspector_opens(command: Log, tmp_path: Path) -> None:
    command.act()
    command.seal()
    file = tmp_path / "审计.csv"
    run("export", str(file))
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")
    with file.open(encoding="utf-8-sig", newline="") as opened:
        title, names, row = csv.reader(opened)
    assert title[0] == "审计记录"
    assert names == list(COLUMNS.values())
    assert dict(zip(COLUMNS, row, strict=True))["actor"] == "wang"
    assert "“井盖”" in row[5]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.txt", "", "ends with .csv or .jsonl"),
        ("a.csv", "x,y\n", "first two lines"),
        ("a.jsonl", "", "line 1"),
        ("a.jsonl", "[]\n", "line 1: a JSON object"),
        ("a.jsonl", '{"form": "other"}\n', "form underfoot-audit-1"),
        ("a.csv", b"\xff\xfe", "can't decode"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path: Path, name: str, text: str | bytes, says: str) -> None:
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(AuditFileError, match=says):
        prove(file)


@pytest.mark.parametrize("value", ["x", "\\ud800"])
def test_a_row_that_is_none_is_refused_with_its_line(command: Log, tmp_path: Path, value: str) -> None:
    command.act()
    command.seal()
    file = tmp_path / "a.jsonl"
    run("export", str(file))
    key = command.sealed()[0]
    old, new = (f'"{key}"', f'"{value}"') if value == "x" else ("wang", value)
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(AuditFileError, match="line 2"):
        prove(file)
