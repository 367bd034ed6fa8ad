"""Every door of a real mosquitto: who comes in, what each may say and hear, and how soon it ends.

A refused QoS 1 publish is PUBACKed all the same (MQTT 3.1.1): what counts here is what somebody else receives.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from deploy import stack
from deploy.errors import StackError
from deploy.keeping import KeptMosquitto, local
from deploy.secure import Identities, Listeners
from tests.conftest import OwnStack, _home
from tests.integration.mqtt import Client, clients
from underfoot.identity.accounts import Duty
from underfoot.identity.certify import certify
from underfoot.identity.credentials import Issued, issue, open_account, revoke, rotate
from underfoot.identity.files import write_all
from underfoot.identity.keep import Keeper
from underfoot.identity.names import Kind
from underfoot.settings import load
from underfoot.storage.connect import connect

PROMISED_S = 10
NOT_AUTHORIZED = 135  # as paho tells code 5 of MQTT 3.1.1
CITY = Path(__file__).parent / "identity_city.sql"


@dataclass
class Door:
    """A secure broker, its accounts, and a keeper that is started when asked."""

    home: Path
    database: str
    mqtt_url: str
    new: Callable[..., Client]

    @property
    def listeners(self) -> Listeners:
        found = Identities(self.home).listeners()
        assert found is not None
        return found

    @property
    def ca(self) -> Path:
        return Identities(self.home).ca

    @property
    def port(self) -> int:
        return urlsplit(self.mqtt_url).port or 0

    def run(self, sql: str, params: Any = None) -> None:
        with psycopg.connect(self.database) as connection:
            connection.execute(sql.encode(), params)

    def issue(self, kind: Kind, name: str, good_for: timedelta | None = None, **account: Any) -> Issued:
        with connect(self.database, "test") as connection:
            if account:
                open_account(connection, kind, name, "test", **account)
            [issued] = issue(connection, kind, [name], "test", good_for=good_for)
        return issued

    def rotate(self, kind: Kind, name: str, overlap: timedelta) -> Issued:
        with connect(self.database, "test") as connection:
            [issued] = rotate(connection, kind, [name], "test", overlap=overlap)
        return issued

    def revoke(self, kind: Kind, name: str) -> None:
        with connect(self.database, "test") as connection:
            revoke(connection, kind, name, "test")

    def service(self, duty: Duty) -> Client:
        issued = self.issue("service", f"the-{duty}", duty=duty)
        self.apply()
        return self.client(issued, self.listeners.services)

    def client(self, issued: Issued, port: int | None = None, **more: Any) -> Client:
        return self.new(port or self.listeners.devices, issued.user_name, issued.secret, ca=self.ca, **more)

    def ingest(self, **more: Any) -> Client:
        url = urlsplit(self.mqtt_url)
        return self.new(self.port, unquote(url.username or ""), unquote(url.password or ""), **more)

    def apply(self) -> None:
        """Write the files and make the broker read them, without a keeper."""
        with connect(self.database, "test") as connection:
            write_all(connection, Identities(self.home).folder, Identities(self.home).authority)
        self.kept().reload()
        time.sleep(0.2)

    def kept(self) -> KeptMosquitto:
        return KeptMosquitto(local(self.home), self.mqtt_url)

    @contextmanager
    def keeper(self) -> Iterator[Keeper]:
        identities = Identities(self.home)
        keeper = Keeper(self.database, identities.folder, self.kept(), identities.authority)
        thread = threading.Thread(target=keeper.run)
        thread.start()
        try:
            deadline = time.monotonic() + 10
            while not keeper.rounds:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield keeper
        finally:
            keeper.stop.set()
            thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def door(database: str) -> Iterator[Door]:
    with psycopg.connect(database) as connection:
        connection.execute(CITY.read_bytes())
    with _home() as home, clients() as new:
        started = stack.up(
            home,
            stack.Ports(mqtt=None),
            servers=("mosquitto",),
            accounts_in=database,
            ready_rootfs=load().rootfs,
        )
        yield Door(home, database, started["mqtt_url"], new)


REPORTS = ["underfoot/v1/+/+/+/report", "underfoot/v1/+/+/+/cbor", "underfoot/v1/+/gateway/+/batch"]
OWN = "underfoot/v1/410502/cover/NB-1"


# who comes in -------------------------------------------------------------------------------------------------------


def test_nobody_comes_in_without_a_good_credential(door: Door) -> None:
    device = door.issue("device", "NB-1")
    door.apply()
    devices, services = door.listeners.devices, door.listeners.services
    for port, ca in ((door.port, None), (devices, door.ca), (services, door.ca)):
        assert door.new(port, ca=ca).code == NOT_AUTHORIZED, "anonymous"
        assert door.new(port, device.user_name, ca=ca).code == NOT_AUTHORIZED, "no secret"
        assert door.new(port, device.user_name, device.secret[:-1], ca=ca).code == NOT_AUTHORIZED
        assert door.new(port, "410502/cover/NB-2", device.secret, ca=ca).code == NOT_AUTHORIZED
        assert door.new(port, "v1/410502/cover/NB-1", device.secret, ca=ca).code == NOT_AUTHORIZED
        assert door.new(port, device.user_name, device.secret, ca=ca).accepted
    strangers = ssl.create_default_context(cafile=_another_authority(door))
    with socket.create_connection(("127.0.0.1", devices)) as plain, pytest.raises(ssl.SSLCertVerificationError):
        strangers.wrap_socket(plain, server_hostname="localhost")


def test_a_device_cannot_take_over_the_session_of_ingest(door: Door) -> None:
    ingest = door.ingest(client_id="underfoot-main", clean=False)
    ingest.subscribe(*REPORTS)
    device = door.issue("device", "NB-1")
    door.apply()
    thief = door.client(device, client_id="underfoot-main", clean=False)
    assert thief.accepted, "but under its own name"
    thief.publish(f"{OWN}/report")
    ingest.waits_for(f"{OWN}/report")
    assert not ingest.cut.is_set()
    assert thief.received == []


# what each may say --------------------------------------------------------------------------------------------------


def test_each_says_only_what_is_its_own(door: Door) -> None:
    ingest = door.ingest(client_id="underfoot-main")
    assert ingest.subscribe(*REPORTS, "/city/+/well/status/+") == [1, 1, 1, 1]
    topics = [
        f"{OWN}/report",
        f"{OWN}/cbor",
        "underfoot/v1/410503/cover/NB-1/report",
        "underfoot/v1/410502/road/NB-1/report",
        "underfoot/v1/410502/cover/NB-2/report",
        "underfoot/v1/410502/road/R-1/report",
        "underfoot/v1/410502/road/R-2/report",
        "underfoot/v1/410503/rain/A-1/cbor",
        "underfoot/v1/410502/gateway/GW-1/batch",
        "underfoot/v1/410502/gateway/GW-1/report",
        "underfoot/v1/410502/gateway/GW-2/batch",
        "/city/410500/well/status/W-9",
    ]
    who = {
        door.issue("device", "NB-1"): topics[:2],
        door.issue("gateway", "GW-1"): [topics[5], topics[8]],
        door.issue("vendor", "acme", vendor="Acme", mappings=["acme-well"]): [topics[7], topics[11]],
        door.issue("vendor", "other", vendor="Other"): [topics[6]],
        door.issue("service", "wall", duty="reader"): [],
        door.issue("service", "desk", duty="commands"): [],
    }
    door.apply()
    for issued, allowed in who.items():
        client = door.client(issued)
        for topic in topics:
            client.publish(topic)
        ingest.waits_for(*allowed)
        assert not client.cut.is_set(), "who is refused one topic is not kept from the others"
        ingest.received.clear()


def test_each_hears_only_what_is_its_own(door: Door) -> None:
    commands = ["underfoot/v1/410502/cover/NB-1/command", "underfoot/v1/410502/cover/NB-2/command"]
    commands += ["underfoot/v1/410502/gateway/GW-1/command", "underfoot/v1/410502/road/R-1/command"]
    who = {
        door.issue("device", "NB-1"): commands[:1],
        door.issue("gateway", "GW-1"): commands[2:],
        door.issue("vendor", "acme", vendor="Acme", mappings=["acme-well"]): [],
    }
    desk = door.service("commands")
    listening = {door.client(issued): wanted for issued, wanted in who.items()}
    for client in listening:
        client.subscribe("#", "+/#", "underfoot/#", "underfoot/v1/+/+/+/+", *commands, *REPORTS)
    for topic in commands:
        desk.publish(topic)
    for client, wanted in listening.items():
        # A filter that takes in more brings what is one's own, once or, by several filters, more often.
        time.sleep(0.3)
        assert set(client.received) == set(wanted)


def test_reports_are_heard_by_ingest_and_readers_alone(door: Door) -> None:
    device, other = door.issue("device", "NB-1"), door.issue("device", "NB-2")
    reader = door.service("reader")
    assert reader.subscribe(*REPORTS) == [1, 1, 1]
    eavesdropper = door.client(other)
    eavesdropper.subscribe("#", *REPORTS, f"{OWN}/report")
    door.client(device).publish(f"{OWN}/report")
    reader.waits_for(f"{OWN}/report")
    assert eavesdropper.received == []


# how it ends --------------------------------------------------------------------------------------------------------


def test_what_is_revoked_is_cut_off_and_stays_out(door: Door) -> None:
    device, other = door.issue("device", "NB-1"), door.issue("device", "NB-2")
    with door.keeper():
        door.apply()
        client, neighbour = door.client(device), door.client(other)
        door.revoke("device", "NB-1")
        assert client.is_cut_within(PROMISED_S)
        assert door.client(device).code == NOT_AUTHORIZED
        neighbour.publish("underfoot/v1/410502/cover/NB-2/report")
        assert not neighbour.cut.is_set()


def test_what_expires_and_what_is_retired_is_cut_off(door: Door) -> None:
    short = door.issue("device", "NB-1", good_for=timedelta(seconds=3))
    retired = door.issue("device", "NB-2")
    door.apply()
    client, of_retired = door.client(short), door.client(retired)
    with door.keeper():
        door.run("UPDATE devices SET status = 'retired' WHERE device_id = 'NB-2'")
        assert of_retired.is_cut_within(PROMISED_S)
        assert client.is_cut_within(3 + PROMISED_S)
        assert door.client(short).code == NOT_AUTHORIZED


def test_both_secrets_open_while_one_is_rotated(door: Door) -> None:
    ingest = door.ingest()
    ingest.subscribe(*REPORTS)
    old = door.issue("device", "NB-1")
    with door.keeper():
        new = door.rotate("device", "NB-1", timedelta(seconds=5))
        assert (old.user_name, new.user_name) == ("410502/cover/NB-1", "v1/410502/cover/NB-1")
        deadline = time.monotonic() + PROMISED_S
        while not (second := door.client(new)).accepted:
            assert time.monotonic() < deadline
        first = door.client(old)
        for client in (first, second):
            client.publish(f"{OWN}/report")
            client.publish("underfoot/v1/410502/cover/NB-2/report")
        ingest.waits_for(f"{OWN}/report", f"{OWN}/report")
        assert first.is_cut_within(5 + PROMISED_S)
        assert door.client(old).code == NOT_AUTHORIZED
        second.subscribe("underfoot/v1/410502/cover/NB-1/command")
        assert not second.cut.is_set()


def test_a_device_given_to_another_gateway_is_no_longer_the_first_ones(door: Door) -> None:
    ingest = door.ingest()
    ingest.subscribe(*REPORTS)
    first, second = door.issue("gateway", "GW-1"), door.issue("gateway", "GW-2")
    topic = "underfoot/v1/410502/road/R-1/report"
    door.apply()
    one, two = door.client(first), door.client(second)
    with door.keeper():
        door.run(
            "UPDATE devices SET gateway_key = (SELECT gateway_key FROM gateways WHERE gateway_id = 'GW-2')"
            " WHERE device_id = 'R-1'"
        )
        deadline = time.monotonic() + PROMISED_S
        while not ingest.received:
            assert time.monotonic() < deadline
            two.publish(topic)
            time.sleep(0.2)
        time.sleep(0.3)
        ingest.received.clear()
        one.publish(topic)
        two.publish("underfoot/v1/410502/gateway/GW-2/batch")
        ingest.waits_for("underfoot/v1/410502/gateway/GW-2/batch")


def test_a_client_certificate_is_its_account(door: Door, tmp_path: Path) -> None:
    ingest = door.ingest()
    ingest.subscribe(*REPORTS)
    certificate = _certificate(door, tmp_path, "NB-1")
    bystander = _certificate(door, tmp_path, "NB-2")
    port = door.listeners.certificates
    with door.keeper():
        assert not _comes_in(door, port)
        client = door.new(port, "410502/cover/NB-2", "x", ca=door.ca, certificate=certificate)
        client.publish("underfoot/v1/410502/cover/NB-2/report")
        client.publish(f"{OWN}/report")
        ingest.waits_for(f"{OWN}/report")
        other = door.new(port, ca=door.ca, certificate=bystander)
        door.revoke("device", "NB-1")
        assert client.is_cut_within(PROMISED_S)
        assert not _comes_in(door, port, certificate)
        assert _comes_in(door, port, _certificate(door, tmp_path, "R-2"))
        other.publish("underfoot/v1/410502/cover/NB-2/report")
        assert not other.cut.is_set()


# what must not be lost meanwhile ------------------------------------------------------------------------------------


def test_a_reload_takes_nothing_from_an_absent_ingest(door: Door) -> None:
    device = door.issue("device", "NB-1")
    door.apply()
    ingest = door.ingest(client_id="underfoot-main", clean=False)
    ingest.subscribe(*REPORTS)
    ingest.close()
    client = door.client(device)
    for _ in range(3):
        client.publish(f"{OWN}/report")
        door.apply()
    back = door.ingest(client_id="underfoot-main", clean=False)
    assert back.present
    back.waits_for(*[f"{OWN}/report"] * 3)


def test_no_reload_while_a_restored_session_has_not_connected(door: Door) -> None:
    device = door.issue("device", "NB-1")
    door.apply()
    ingest = door.ingest(client_id="underfoot-main", clean=False)
    ingest.subscribe(*REPORTS)
    ingest.close()
    door.run("UPDATE shards SET session_known = true, caught_up_to = clock_timestamp()")
    time.sleep(2.1)
    stack.stop(door.home, "mosquitto")
    stack.start(door.home, "mosquitto", ready_rootfs=load().rootfs)
    with door.keeper() as keeper:
        client = door.client(device)
        door.issue("device", "NB-2")
        rounds = keeper.rounds
        while keeper.rounds < rounds + 2:
            time.sleep(0.05)
        client.publish(f"{OWN}/report")
        back = door.ingest(client_id="underfoot-main", clean=False)
        back.waits_for(f"{OWN}/report")
        door.run("UPDATE shards SET caught_up_to = clock_timestamp() + interval '5 s'")
        door.revoke("device", "NB-1")
        assert client.is_cut_within(PROMISED_S), "and once it is back, all is as promised"


def test_the_open_broker_is_still_open(own_stack: OwnStack) -> None:
    with clients() as new:
        port = urlsplit(own_stack.mqtt_url).port or 0
        client = new(port)
        assert client.accepted
        client.subscribe("#")
        client.publish("anything")
        client.waits_for("anything")
    assert own_stack.status()["mosquitto"]["secure"] is None


def test_a_running_open_broker_is_not_closed_under_its_clients(own_stack: OwnStack) -> None:
    with pytest.raises(StackError, match="already runs, open to all"):
        stack.up(own_stack.home, servers=("mosquitto",), accounts_in=own_stack.database_url)
    stack.stop(own_stack.home, "mosquitto")
    status = stack.up(own_stack.home, servers=("mosquitto",), accounts_in=own_stack.database_url)
    assert status["mosquitto"]["secure"]["ca"].endswith("ca.crt")
    assert "service%2Flocal:" in status["mqtt_url"]
    login = status["mqtt_url"]
    stack.stop(own_stack.home, "mosquitto")
    stack.start(own_stack.home, "mosquitto")
    assert own_stack.status()["mqtt_url"] == login, "a restart keeps the door as it is"
    stack.stop(own_stack.home, "mosquitto")
    assert _up_open(own_stack)["mosquitto"]["secure"] is None


def _up_open(own: OwnStack) -> dict[str, Any]:
    return stack.up(own.home, servers=("mosquitto",), ready_rootfs=load().rootfs)


def _certificate(door: Door, folder: Path, name: str) -> Path:
    with connect(door.database, "test") as connection:
        _, pair = certify(connection, Identities(door.home).authority, "device", name, "test")
    (folder / f"{name}.key").write_bytes(pair.key)
    (folder / f"{name}.crt").write_bytes(pair.certificate)
    return folder / f"{name}.crt"


def _comes_in(door: Door, port: int, certificate: Path | None = None) -> bool:
    """Whether the handshake and the broker let one in. TLS 1.3 refuses after the client thinks that it is in."""
    try:
        return bool(door.new(port, ca=door.ca, certificate=certificate).accepted)
    except OSError:
        return False


def _another_authority(door: Door) -> Path:
    other = Identities(door.home / "other").authority
    other.make()
    return other.certificate_file
