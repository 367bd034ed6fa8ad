"""The ledger's columns `codec` and `gateway`: what a device sends, and who may speak for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ingest.codecs.mappings import add, shipped, withdraw
from tests.integration.test_ledger_import import Ledger, row
from underfoot.ledger.staging import Count
from underfoot.storage.connect import Connection, connect


@pytest.fixture
def ledger(database: str, tmp_path: Path) -> Any:
    with connect(database, "test") as opened:
        yield Ledger(opened, tmp_path)


def devices(ledger: Ledger) -> dict[str, list[Any]]:
    rows = ledger.query(
        "SELECT device_id, codec, gateway_id, gateways.district FROM devices LEFT JOIN gateways USING (gateway_key)"
    )
    return {name: rest for name, *rest in ((each[0], *each[1:]) for each in rows)}


def put_in_force(connection: Connection, name: str) -> None:
    add(connection, shipped()[name], actor="tester")
    connection.commit()


def test_a_device_has_a_codec_and_a_gateway_and_keeps_them_until_the_file_says_otherwise(ledger: Ledger) -> None:
    put_in_force(ledger.connection, "dtu-modbus-cover")
    ledger.load(
        row("A", 1, codec="cbor", gateway="GW-1"),
        row("B", 2, codec="dtu-modbus-cover", gateway="GW-1", area_code="410503"),
        row("C", 3, codec="", gateway=""),
    )
    assert devices(ledger) == {
        "A": ["cbor", "GW-1", "410502"],
        "B": ["dtu-modbus-cover", "GW-1", "410502"],
        "C": [None, None, None],
    }
    assert ledger.load(row("A", 1), row("C", 3), without=("codec", "gateway")).devices == Count(unchanged=2)
    summary = ledger.load(
        row("A", 1, codec="json", gateway="GW-2"), row("B", 2, area_code="410503", codec="", gateway="")
    )
    assert summary.devices == Count(changed=2)
    assert devices(ledger) == {
        "A": ["json", "GW-2", "410502"],
        "B": [None, None, None],
        "C": [None, None, None],
    }
    assert ledger.load(row("A", 1, codec="json", gateway="GW-2")).devices == Count(unchanged=1)


def test_a_codec_that_is_not_there_and_a_gateway_that_is_no_id_are_refused(ledger: Ledger) -> None:
    put_in_force(ledger.connection, "mqtt-well-status")
    faults = ledger.refused(
        row("A", 1, codec="dtu-modbus-cover"),
        row("B", 2, codec="Ctwing 推送"),
        row("C", 3, gateway="网关一"),
        row("D", 4, codec="mqtt-well-status"),
    )
    assert faults.keys() == {(2, "codec"), (3, "codec"), (4, "gateway")}
    assert "mqtt-well-status" in faults[2, "codec"]
    withdraw(ledger.connection, "mqtt-well-status", actor="tester")
    ledger.connection.commit()
    assert (2, "codec") in ledger.refused(row("D", 4, codec="mqtt-well-status"))


def test_whoever_keeps_devices_in_memory_is_told_of_a_changed_codec(ledger: Ledger, database: str) -> None:
    ledger.load(row("A", 1))
    before = ledger.query("SELECT updated_at FROM devices")
    with connect(database, "listener", autocommit=True) as listener:
        listener.execute("LISTEN underfoot_registry")
        ledger.load(row("A", 1, codec="cbor"))
        assert [heard.channel for heard in listener.notifies(timeout=10, stop_after=1)] == ["underfoot_registry"]
    assert ledger.query("SELECT updated_at FROM devices") > before
