"""Newcomers: who is listed, who is approved into the ledger with all it has said, and who stays out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from ingest.arrival import Origin
from ingest.decode import Rejected
from ingest.newcomers import note_newcomers
from ingest.reasons import Rejection
from tests.integration.rejecting import LEDGER, Quarantine
from underfoot.ledger import newcomers_cli
from underfoot.ledger.importer import import_ledger
from underfoot.ledger.newcomers import (
    NewcomerError,
    Placement,
    UnknownNewcomerError,
    approve,
    approve_area,
    listed,
    refuse,
    refuse_area,
    switch,
    switch_of,
)
from underfoot.ledger.newcomers_cli import commands
from underfoot.storage.connect import connect

ASSET = "4105020103000312"


class Newcomers(Quarantine):
    """Unknown devices report, and the holder keeps their reports and notes them."""

    def __init__(self, database: str) -> None:
        super().__init__(database)
        self.run(LEDGER)

    def on(self, code: str = "4105") -> None:
        switch(self.connection, code, True, actor="li")

    def hear(self, *rejected: Rejected, most: int = 1000) -> None:
        with self.connection.transaction():
            note_newcomers(self.connection, self.keep(*rejected).added, most)

    def listed(self, state: Any = "waiting", **more: Any) -> list[dict[str, Any]]:
        return listed(self.connection, state=state, limit=1000, **more)

    def ids(self, state: Any = "waiting", **more: Any) -> list[str]:
        return [row["device_id"] for row in self.listed(state, **more)]

    def devices(self) -> list[dict[str, Any]]:
        return self.rows(
            "SELECT device_id, family, d.district, d.vendor, expected_interval_s, code_scheme, asset_code, kind, name,"
            " area_code, gateway_id FROM devices d JOIN assets USING (asset_key) LEFT JOIN gateways USING (gateway_key)"
            " ORDER BY device_id"
        )

    def audit(self) -> list[tuple[str, str, str]]:
        rows = self.rows("SELECT actor, action, subject FROM audit WHERE action LIKE 'newcomer%%' ORDER BY audit_key")
        return [(row["actor"], row["action"], row["subject"]) for row in rows]


@pytest.fixture
def new(database: str) -> Iterator[Newcomers]:
    made = Newcomers(database)
    yield made
    made.close()


def topic(device_id: str, district: str = "410502", family: str = "cover") -> str:
    return f"underfoot/v1/{district}/{family}/{device_id}/report"


# who is listed ------------------------------------------------------------------------------------------------------


def test_nobody_is_listed_where_nobody_said_so(new: Newcomers) -> None:
    new.hear(new.reject("X-1"))
    assert new.ids() == []


def test_the_nearest_area_that_says_anything_decides(new: Newcomers) -> None:
    switch(new.connection, "41", True, actor="li")
    switch(new.connection, "410502", False, actor="li")
    new.hear(new.reject("X-1"), new.reject("X-2", topic=topic("X-2", "410503")))
    assert new.ids() == ["X-2"], "a district that no ledger has named yet is below its province all the same"
    switch(new.connection, "410502", None, actor="li")
    switch(new.connection, "4105", False, actor="li")
    new.hear(new.reject("X-1"), new.reject("X-3", topic=topic("X-3", "410503")))
    assert new.ids() == ["X-2"]
    new.on("410502")
    new.hear(new.reject("X-1"))
    assert new.ids() == ["X-1", "X-2"]
    assert [
        (each.auto_register, each.in_force)
        for each in (switch_of(new.connection, code) for code in ("41", "4105", "410502", "410503", "42"))
    ] == [(True, True), (False, False), (True, True), (None, False), (None, False)]


def test_a_newcomer_is_listed_as_its_reports_say(new: Newcomers) -> None:
    new.on()
    push = Origin(1, "http", "甲厂")
    new.hear(
        new.reject("X-1", at_s=5),
        new.reject("X-1", at_s=3),
        new.reject("X-2", topic=topic("X-2", family="road")),
        new.reject(
            "X-3", topic="underfoot/v1/410502/gateway/G-1/batch", family="pump", area="410502", gateway_id="G-1"
        ),
        new.reject("X-4", topic="http/ctwing", family="cover", area="410502", origin=push),
    )
    rows = {row["device_id"]: row for row in new.listed()}
    assert [rows["X-1"][name] for name in ("family", "district", "vendor", "source", "reports", "state")] == [
        "cover", "410502", "", "mqtt", 2, "waiting",
    ]  # fmt: skip
    assert (rows["X-1"]["last_seen"] - rows["X-1"]["first_seen"]).total_seconds() == 2
    assert rows["X-2"]["family"] == "road"
    assert (rows["X-3"]["family"], rows["X-3"]["gateway_id"]) == ("pump", "G-1")
    assert (rows["X-4"]["vendor"], rows["X-4"]["source"]) == ("甲厂", "http")
    new.hear(new.reject("X-1", at_s=9, topic=topic("X-1", "410503", "road")))
    (row,) = new.listed(area="410503")
    assert (row["family"], row["reports"]) == ("road", 3), "it has corrected what it says of itself"
    assert (row["last_seen"] - row["first_seen"]).total_seconds() == 6


def test_who_says_no_district_is_below_the_root_of_all_areas(new: Newcomers) -> None:
    new.on("4105")
    push = Origin(1, "http", "甲厂")
    new.hear(new.reject("X-1", topic="http/ctwing", family="cover", origin=push))
    assert new.ids() == []
    new.on("41")
    new.hear(new.reject("X-1", topic="http/ctwing", family="cover", origin=push))
    (row,) = new.listed()
    assert (row["district"], row["vendor"]) == ("", "甲厂")


def test_what_can_be_no_newcomer(new: Newcomers) -> None:
    new.on()
    new.run(
        "INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)"
        " SELECT 'C-1', 'cover', '410502', asset_key, 60 FROM assets"
    )
    new.hear(
        new.reject("C-1"),
        new.reject("X-1", Rejection.values_missing),
        new.reject(None, topic="x"),
        new.reject("a b", topic="http/x", family="cover", area="410502"),
        new.reject("x" * 65, topic="http/x", family="cover", area="410502"),
        new.reject("X-2", topic=topic("X-2", family="toaster")),
        new.reject("X-3", topic="http/x", family="cover", area="41050"),
        new.reject("X-4", topic="http/x", area="410502"),
    )
    assert new.ids() == []


def test_a_flood_of_invented_ids_fills_the_list_and_no_more(new: Newcomers) -> None:
    new.on()
    new.hear(new.reject("first"))
    for start in range(0, 400, 100):
        new.hear(*[new.reject(f"flood-{start + number}") for number in range(100)], most=150)
    assert len(new.ids()) == 150
    new.hear(new.reject("first"), new.reject("late"), new.reject("X-9", topic=topic("X-9", "410503")), most=150)
    assert {row["device_id"]: row["reports"] for row in new.listed()}["first"] == 2, "who is listed goes on being heard"
    assert new.ids(area="410503") == ["X-9"], "another district has room of its own"
    assert "late" not in new.ids()
    refuse_area(new.connection, "410502", actor="li")
    new.hear(new.reject("late"), most=150)
    assert new.ids(area="410502") == ["late"]


def test_two_holders_may_note_the_same_newcomer(new: Newcomers) -> None:
    new.on()
    with connect(new.database, "other") as other:
        note_newcomers(other, [new.reject("X-1")], 10)
        new.run("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            note_newcomers(new.connection, [new.reject("X-1")], 10)
        other.commit()
    note_newcomers(new.connection, [new.reject("X-1")], 10)
    assert [row["reports"] for row in new.listed()] == [2]


# who is approved ----------------------------------------------------------------------------------------------------


def test_an_approved_newcomer_is_in_the_ledger_and_all_it_said_is_replayed(new: Newcomers) -> None:
    new.on()
    new.hear(new.reject("X-1", payload=b"two", at_s=2), new.reject("X-1", payload=b"one", at_s=1), new.reject("X-2"))
    with connect(new.database, "listener", autocommit=True) as listener:
        listener.execute("LISTEN underfoot_registry")
        listener.execute("LISTEN underfoot_inbox")
        done = approve(new.connection, "X-1", Placement(ASSET, interval="15min"), actor="li")
        heard = {notify.channel for notify in listener.notifies(timeout=5, stop_after=2)}
    assert (done.device_ids, done.replayed) == (["X-1"], 2)
    assert heard == {"underfoot_registry", "underfoot_inbox"}
    assert new.devices() == [
        {
            "device_id": "X-1", "family": "cover", "district": "410502", "vendor": "", "expected_interval_s": 900,
            "code_scheme": "GB/T 30428.2-2013", "asset_code": ASSET, "kind": "0103", "name": "雨水井0312",
            "area_code": "410502", "gateway_id": None,
        }
    ]  # fmt: skip
    assert [bytes(row["body"]) for row in new.inbox()] == [b"one", b"two"]
    assert new.ids() == ["X-2"]
    (row,) = new.listed("approved")
    assert (row["decided_by"], row["decided_at"] is None) == ("li", False)
    assert new.audit() == [("li", "newcomer.approve", "device:X-1")]


def test_a_newcomer_may_get_an_asset_of_its_own(new: Newcomers) -> None:
    new.on("41")
    new.run("INSERT INTO gateways (gateway_id, district) VALUES ('G-1', '410503')")
    new.hear(
        new.reject("X-1", topic="x", family="lamp", area="410503", gateway_id="G-1"),
        new.reject("X-2", topic="http/c", family="rain", origin=Origin(1, "http", "甲厂")),
    )
    approve(new.connection, "X-1", Placement(kind="路灯"), actor="li")
    approve(new.connection, "X-2", Placement(kind="9999", area_code="410502003"), actor="li")
    own = {"code_scheme": "device", "vendor": ""}
    assert new.devices() == [
        own | {
            "device_id": "X-1", "family": "lamp", "district": "410503", "expected_interval_s": 900,
            "asset_code": "X-1", "kind": "0118", "name": "路灯", "area_code": "410503", "gateway_id": "G-1",
        },
        own | {
            "device_id": "X-2", "family": "rain", "district": "410502", "expected_interval_s": 300, "vendor": "甲厂",
            "asset_code": "X-2", "kind": "9999", "name": "X-2", "area_code": "410502003", "gateway_id": None,
        },
    ]  # fmt: skip
    assert new.rows("SELECT code, name, parent_code, level FROM areas WHERE length(code) > 4 ORDER BY code") == [
        {"code": "410502", "name": "文峰区", "parent_code": "4105", "level": "district"},
        {"code": "410502003", "name": "410502003", "parent_code": "410502", "level": "street"},
        {"code": "410503", "name": "410503", "parent_code": "4105", "level": "district"},
    ]


def test_everyone_of_an_area_is_approved_together_or_nobody(new: Newcomers) -> None:
    new.on()
    for number in range(3):
        new.hear(new.reject(f"X-{number}"))
    new.hear(new.reject("R-1", topic=topic("R-1", family="road")), new.reject("Y-1", topic=topic("Y-1", "410503")))
    with pytest.raises(NewcomerError, match=r"kind = '井!'"):
        approve_area(new.connection, "4105", Placement(kind="井!"), actor="li")
    assert (new.devices(), new.inbox(), new.audit()) == ([], [], [])
    done = approve_area(new.connection, "410502", Placement(kind="0103"), family="cover", actor="li")
    assert (done.device_ids, done.replayed) == (["X-0", "X-1", "X-2"], 3)
    assert [row["device_id"] for row in new.devices()] == ["X-0", "X-1", "X-2"]
    assert new.ids() == ["R-1", "Y-1"]
    assert approve_area(new.connection, "410502", Placement(kind="0103"), family="lamp", actor="li").device_ids == []
    assert len(new.audit()) == 3


def test_what_came_into_the_ledger_by_import_waits_no_longer(new: Newcomers, tmp_path: Path) -> None:
    new.on()
    new.hear(new.reject("X-1"), new.reject("X-2"))
    refuse(new.connection, ["X-2"], actor="li")
    file = tmp_path / "ledger.csv"
    file.write_text(
        "device_id,family,area_code,asset_code\nX-1,cover,410502,4105020103000001\nX-2,cover,410502,4105020103000002\n"
    )
    import_ledger(new.connection, file, actor="wang")
    assert (new.ids(), new.ids("refused"), new.ids("approved")) == ([], [], ["X-1", "X-2"])
    assert {row["decided_by"] for row in new.listed("approved")} == {"ledger"}
    with pytest.raises(NewcomerError, match="it is in the ledger already"):
        approve(new.connection, "X-1", Placement(kind="0103"), actor="li")


def test_refused_stays_refused_until_somebody_approves_it_after_all(new: Newcomers) -> None:
    new.on()
    new.hear(new.reject("X-1"))
    refuse(new.connection, ["X-1"], actor="li")
    refuse(new.connection, ["X-1"], actor="wang")
    new.hear(new.reject("X-1", topic=topic("X-1", "410503")))
    assert new.ids() == []
    (row,) = new.listed("refused")
    assert (row["decided_by"], row["reports"], row["district"]) == ("li", 2, "410502")
    new.hear(new.reject("X-1"))
    assert [row["reports"] for row in new.listed("refused")] == [3]
    assert new.inbox() == []
    assert approve(new.connection, "X-1", Placement(ASSET), actor="wang").replayed == 3
    assert [row[:2] for row in new.audit()] == [("li", "newcomer.refuse"), ("wang", "newcomer.approve")]


@pytest.mark.parametrize(
    ("placement", "said"),
    [
        (Placement(), "asset_code = None: give either an asset_code or a kind"),
        (Placement(ASSET, kind="0103"), "give either an asset_code or a kind"),
        (Placement("4105020103009999"), "asset_code = '4105020103009999': the ledger has no such asset under GB/T"),
        (Placement(ASSET, code_scheme="x"), f"asset_code = '{ASSET}': the ledger has no such asset under x"),
        (Placement("4105030103000001"), "it stands in 410503, and X-1 reports from 410502"),
        (
            Placement(kind="0103", area_code="410503"),
            "area_code = '410503': it is elsewhere, and X-1 reports from 410502",
        ),
        (Placement(kind="0103", area_code="4105"), "area_code = '4105': 设备至少要有 6 位区县代码"),
        (Placement(kind="0103", area_code="999999"), "area_code = '999999': 前两位不是省级代码"),
        (Placement(kind="井!"), "kind = '井!': 如 0103 或 雨水井盖"),
        (Placement(kind=" "), "kind = '': 4 digits or a name"),
        (Placement(ASSET, interval="soon"), "expected_interval_s = 'soon': 1 秒到 366 天"),
    ],
)
def test_what_cannot_be_approved_is_told_and_changes_nothing(new: Newcomers, placement: Placement, said: str) -> None:
    new.on()
    new.run("INSERT INTO areas (code, name, level) VALUES ('410503', '北关区', 'district')")
    new.run("INSERT INTO assets (asset_code, kind, name, area_code) VALUES ('4105030103000001', '0103', 'x', '410503')")
    new.hear(new.reject("X-1"))
    with pytest.raises(NewcomerError) as refused:
        approve(new.connection, "X-1", placement, actor="li")
    assert said in str(refused.value)
    assert (new.devices(), new.inbox(), new.audit(), new.ids()) == ([], [], [], ["X-1"])


def test_who_says_no_district_needs_one_to_be_approved(new: Newcomers) -> None:
    new.on("41")
    new.hear(new.reject("X-1", topic="http/c", family="cover", origin=Origin(1, "http", "甲厂")))
    with pytest.raises(NewcomerError, match="area_code = None: X-1 says no district"):
        approve(new.connection, "X-1", Placement(kind="0103"), actor="li")
    assert approve(new.connection, "X-1", Placement(ASSET), actor="li").replayed == 1
    assert new.devices()[0]["district"] == "410502"


def test_who_is_not_on_the_list_is_neither_approved_nor_refused(new: Newcomers) -> None:
    for decide in (
        lambda: approve(new.connection, "nobody", Placement(ASSET), actor="li"),
        lambda: refuse(new.connection, ["nobody"], actor="li"),
    ):
        with pytest.raises(UnknownNewcomerError, match="device_id = 'nobody': no such device"):
            decide()
    with pytest.raises(NewcomerError, match="one asset cannot carry everybody"):
        approve_area(new.connection, "4105", Placement(ASSET), actor="li")


@pytest.mark.parametrize("code", ["410502003", "4", "x", "99", "", "４１"])
def test_only_a_province_a_city_or_a_district_has_a_switch(new: Newcomers, code: str) -> None:
    with pytest.raises(NewcomerError, match="2 digits"):
        switch(new.connection, code, True, actor="li")


# the commands -------------------------------------------------------------------------------------------------------


class Command:
    def __call__(self, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(commands, [*arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return " ".join(result.output.replace("│", " ").split())

    def json(self, *arguments: str) -> Any:
        result = CliRunner().invoke(commands, [*arguments, "--json"])
        assert result.exit_code == 0, (result.output, result.exception)
        return json.loads(result.stdout)


@pytest.fixture
def command(database: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", database)
    monkeypatch.setattr(newcomers_cli, "out", Console(width=300))
    return Command()


def test_the_commands_switch_list_approve_and_refuse(new: Newcomers, command: Command) -> None:
    assert command.json("areas", "auto-register", "4105") == {"code": "4105", "auto_register": None, "in_force": False}
    assert "unknown devices may wait" in command("areas", "auto-register", "4105", "on")
    assert command.json("areas", "auto-register", "410502")["in_force"] is True
    new.hear(*[new.reject(f"X-{number}") for number in range(4)], new.reject("R-1", topic=topic("R-1", family="road")))
    assert [row["device_id"] for row in command.json("newcomers", "list", "--family", "road")] == ["R-1"]
    shown = command("newcomers", "list", "--limit", "2")
    assert "智慧井盖" in shown
    assert "--after 410502/X-0" in shown
    after = command.json("newcomers", "list", "--after", "410502/X-0", "--area", "410502")
    assert [row["device_id"] for row in after] == ["X-1", "X-2", "X-3"]
    assert command.json("newcomers", "approve", "X-0", "--asset", ASSET) == {"approved": ["X-0"], "replayed": 1}
    assert command.json("newcomers", "refuse", "X-1") == {"refused": ["X-1"]}
    approved = command.json("newcomers", "approve", "--all-of-area", "41", "--kind", "0103", "--family", "cover")
    assert approved == {"approved": ["X-2", "X-3"], "replayed": 2}
    assert command.json("newcomers", "refuse", "--all-of-area", "4105") == {"refused": ["R-1"]}
    assert command.json("newcomers", "list") == []
    assert "拒绝" in command("newcomers", "refuse", "R-1")
    assert all(actor.startswith("cli:") for actor, _, _ in new.audit())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("areas", "auto-register", "410502003", "on"), "code = '410502003': 2 digits"),
        (("newcomers", "approve", "X-1"), "either --asset CODE or --kind KIND"),
        (("newcomers", "approve", "X-1", "--asset", "a", "--kind", "0103"), "either --asset CODE or --kind KIND"),
        (("newcomers", "approve", "--kind", "0103"), "a device's id, or --all-of-area CODE"),
        (("newcomers", "approve", "X-1", "--all-of-area", "41", "--kind", "0103"), "a device's id, or --all-of-area"),
        (("newcomers", "approve", "X-1", "--kind", "0103", "--family", "road"), "--family goes with --all-of-area"),
        (("newcomers", "approve", "--all-of-area", "文峰", "--kind", "0103"), "2, 4 or 6 digits are needed"),
        (("newcomers", "approve", "X-1", "--asset", "a", "--area", "410502"), "--area goes with one device and --kind"),
        (("newcomers", "approve", "nobody", "--kind", "0103"), "device_id = 'nobody': no such device"),
        (("newcomers", "refuse"), "a device's id, or --all-of-area CODE"),
        (("newcomers", "refuse", "nobody"), "device_id = 'nobody': no such device"),
        (("newcomers", "list", "--family", "toaster"), "'toaster': one of cover"),
    ],
)
def test_what_the_commands_refuse(new: Newcomers, command: Command, arguments: tuple[str, ...], said: str) -> None:
    assert said in command(*arguments, code=2)
    assert new.devices() == []
