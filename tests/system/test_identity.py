"""A city whose devices have names: `up --secure`, `ingest`, `broker keep`, and devices over TLS, as they are typed."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.system.city import DISTRICT, City, signal_and_wait, until, write_ledger
from tests.system.fleet import now_ms
from tests.system.installation import Installation, ports_to_keep

PROMISED_S = 10


class Device:
    """A device's own connection, which is not made again when it ends."""

    def __init__(self, port: int, ca: str, *, login: tuple[str, str] | None = None, certificate: Path | None = None):
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        key = certificate.with_suffix(".key") if certificate is not None else None
        self._client.tls_set(ca, str(certificate) if certificate else None, str(key) if key else None)
        if login is not None:
            self._client.username_pw_set(*login)
        self._answered, self.ended = threading.Event(), threading.Event()
        self.accepted = False
        self._client.on_connect = self._connected
        self._client.on_disconnect = lambda *_: self.ended.set()
        self._client.connect("localhost", port)
        self._client.loop_start()
        until(lambda: self._answered.is_set() or self.ended.is_set(), "answer of the broker")

    def _connected(self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        self.accepted = not code.is_failure
        self._answered.set()

    def says(self, device_id: str, area: str = DISTRICT, family: str = "cover") -> None:
        body = json.dumps({"ts": now_ms(), "values": {"battery_pct": 80}})
        self._client.publish(f"underfoot/v1/{area}/{family}/{device_id}/report", body, qos=1).wait_for_publish(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        del self._client  # it closes its sockets only when nobody has it any more


class Secure:
    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.record: dict[str, Any] = json.loads((installation.home / "stack.json").read_text(encoding="utf-8"))
        self.doors: dict[str, Any] = self.record["mosquitto"]["secure"]
        self._made: list[Device] = []

    def typed(self, *arguments: str) -> Any:
        return json.loads(self.installation.run("credentials", *arguments, "--json").stdout)

    def device(self, issued: dict[str, str] | None = None, certificate: Path | None = None) -> Device:
        port = self.doors["devices" if certificate is None else "certificates"]
        login = (issued["user_name"], issued["secret"]) if issued is not None else None
        made = Device(port, self.doors["ca"], login=login, certificate=certificate)
        self._made.append(made)
        return made

    def stored(self) -> list[str]:
        with psycopg.connect(self.record["database_url"]) as connection:
            return [
                row[0]
                for row in connection.execute(
                    "SELECT device_id FROM report_cover JOIN devices USING (device_key) ORDER BY received_at"
                )
            ]

    def quarantined(self) -> int:
        with psycopg.connect(self.record["database_url"]) as connection:
            row = connection.execute("SELECT count(*) FROM quarantine").fetchone()
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        for made in self._made:
            made.close()


@contextmanager
def _closing(secure: Secure) -> Iterator[Secure]:
    try:
        yield secure
    finally:
        secure.close()


@pytest.fixture
def secure(installation: Installation) -> Iterator[Secure]:
    installation.environment |= ports_to_keep() | {"UNDERFOOT_PROBE_INTERVAL_S": "0.5"}
    installation.run("up", "--secure")
    ledger = installation.folder / "ledger.csv"
    write_ledger(ledger)
    installation.run("devices", "import", str(ledger))
    with _closing(Secure(installation)) as made:
        yield made


def test_devices_with_names(secure: Secure) -> None:
    installation = secure.installation
    with closing(City(installation, secure.record["database_url"], secure.record["mqtt_url"])) as city:
        ingest = city.start_ingest()  # the broker drops what comes before its session is there
    installation.launch("broker", "keep", log="keep.log")
    one, two = secure.typed("issue", "device", "cover-001", "cover-002")
    installation.run("broker", "certificate", "device", "cover-003", "--out", str(installation.folder / "three"))

    def comes_in() -> bool:
        return secure.device(two).accepted

    until(comes_in, "the broker to know the new devices", PROMISED_S)
    first, second = secure.device(one), secure.device(two)
    third = secure.device(certificate=installation.folder / "three" / "cover-003.crt")
    assert first.accepted
    assert third.accepted
    assert not secure.device(None).accepted, "nobody is anonymous"
    first.says("cover-002")  # refused by the broker, and PUBACKed all the same
    first.says("cover-001", area="410503")
    first.says("cover-001", family="road")
    first.says("cover-001")
    third.says("cover-003")
    second.says("cover-002")
    until(lambda: sorted(secure.stored()) == ["cover-001", "cover-002", "cover-003"], "three reports")

    # While ingest is away an account changes, and reports wait.
    assert signal_and_wait(ingest, signal.SIGTERM) == 0
    second.says("cover-002")
    installation.run("credentials", "revoke", "device", "cover-001")
    assert first.ended.wait(PROMISED_S), "who is revoked is cut off"
    assert not secure.device(one).accepted
    second.says("cover-002")
    installation.run("credentials", "revoke", "device", "cover-003")
    assert third.ended.wait(PROMISED_S), "with a certificate, too"
    installation.launch("ingest")
    until(lambda: secure.stored().count("cover-002") == 3, "what waited for ingest", 30)
    assert len(secure.stored()) == 5
    assert secure.quarantined() == 0, "what the broker refused never came in"


def test_a_secure_stack_comes_back_as_it_was(secure: Secure) -> None:
    installation = secure.installation
    [one] = secure.typed("issue", "device", "cover-001")
    ca = Path(secure.doors["ca"]).read_bytes()
    installation.run("down")
    installation.run("up", "--secure")
    again = Secure(installation)
    with _closing(again):
        assert again.doors == secure.doors
        assert Path(again.doors["ca"]).read_bytes() == ca
        assert again.record["mqtt_url"] == secure.record["mqtt_url"]
        assert again.device(one).accepted
    installation.run("down")
    installation.run("up")
    record = json.loads((installation.home / "stack.json").read_text(encoding="utf-8"))
    assert record["mosquitto"]["secure"] is None
    assert "@" not in record["mqtt_url"]
    told = installation.run("up", "--secure", succeeds=False)
    assert "already runs, open to all" in " ".join(told.stderr.split())
