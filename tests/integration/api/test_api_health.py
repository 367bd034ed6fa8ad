"""Alive, ready, and the figures for Prometheus."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from alerts.health import figures as health
from api.exposition import DatabaseFigures
from api.readiness import Readiness, ask_broker
from api.roles import Role
from tests.conftest import OwnStack
from tests.integration.api.served import Served, nobody_there, problem, served
from underfoot.metrics import METRICS


def test_alive_whatever_is_missing(api: Served) -> None:
    assert api.ok("/healthz", None) == {"status": "alive"}


def test_ready_when_all_is_there(database: str, broker: str) -> None:
    with served(database, broker) as url:
        assert httpx.get(f"{url}/readyz").json() == {
            "status": "ready",
            "warnings": {"shards": "main: no ingest holds it"},
        }


def test_not_ready_without_a_broker(api: Served) -> None:
    answer = api.get("/readyz", None)
    document = problem(answer, 503, "unavailable")
    assert document["missing"] == {"broker": "does not answer"}
    assert answer.headers["retry-after"] == "2"


def test_not_ready_without_a_database_and_no_secret_is_told(broker: str) -> None:
    with served(f"postgresql://someone:hidden@127.0.0.1:{nobody_there()}/none", broker) as url:
        answer = httpx.get(f"{url}/readyz", timeout=10)
    document = problem(answer, 503, "unavailable")
    assert document["missing"] == {"database": "does not answer"}
    for secret in ("someone", "hidden", "none", "127.0.0.1"):
        assert secret not in str(document["missing"]) + document["detail"]


def test_not_ready_while_migrations_wait(database: str, broker: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DELETE FROM migrations WHERE name = '0001_path.sql'")
    with served(database, broker) as url:
        document = problem(httpx.get(f"{url}/readyz"), 503, "unavailable")
    assert document["missing"] == {"migrations": "1 to be applied: run `underfoot db migrate`"}


def test_readiness_follows_the_servers(own_stack: OwnStack) -> None:
    with served(own_stack.database_url, own_stack.mqtt_url) as url:

        def missing() -> set[str]:
            time.sleep(Readiness.KEPT_S)
            answer = httpx.get(f"{url}/readyz", timeout=20)
            return set() if answer.status_code == 200 else set(answer.json()["missing"])

        assert missing() == set()
        own_stack.stop("mosquitto")
        assert missing() == {"broker"}
        own_stack.stop("postgres")
        assert missing() == {"broker", "database"}
        own_stack.start("mosquitto")
        own_stack.start("postgres")
        deadline = time.monotonic() + 30
        while missing():
            assert time.monotonic() < deadline


def test_a_red_delivery_that_waits_is_a_warning(city: Served, broker: str) -> None:
    with served(city.database, broker) as url:
        answer = httpx.get(f"{url}/readyz")
    assert answer.status_code == 200
    assert answer.json()["warnings"]["deliveries"].startswith("a red delivery has waited ")


@contextmanager
def _at_work(city: Served) -> Iterator[None]:
    """A worker holds `main`, which is behind; nobody holds `north`; of another worker only the row is left."""
    city.run("INSERT INTO shards (shard, filters) VALUES ('north', '{}')")
    city.run("INSERT INTO workers (worker_key, name) OVERRIDING SYSTEM VALUE VALUES (71, 'a:1'), (72, 'b:1')")
    with psycopg.connect(city.database, autocommit=True) as session:
        for name in ("underfoot.shard.main", "underfoot.worker.71"):
            session.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
        yield


def test_shards_that_nobody_holds_or_that_are_far_behind_are_a_warning(city: Served, broker: str) -> None:
    city.run("UPDATE shards SET caught_up_to = now() - interval '90 s'")
    with _at_work(city), served(city.database, broker) as url:
        answer = httpx.get(f"{url}/readyz")
    assert answer.status_code == 200
    assert answer.json()["warnings"]["shards"] in (
        f"north: no ingest holds it; main: {seconds} s behind" for seconds in (90, 91, 92, 93)
    )


def test_workers_and_the_shards_they_hold_are_among_the_figures(city: Served) -> None:
    with _at_work(city):
        figures = _figures(city)
    assert figures["underfoot_shard_held", ("main",)] == 1
    assert figures["underfoot_shard_held", ("north",)] == 0
    assert figures["underfoot_workers", ()] == 1


@contextmanager
def _answering(reply: bytes) -> Iterator[str]:
    """A server that answers every connection with `reply`; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(reply)
                connection.settimeout(5)
                while connection.recv(1024):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"mqtt://someone:secret@127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (b"\x20\x02\x00\x00", None),
        (b"\x20\x02\x00\x05", "refuses us: Not authorized"),
        (b"", "accepts connections, but does not speak"),
    ],
)
def test_what_a_broker_answers(reply: bytes, told: str | None) -> None:
    with _answering(reply) as url:
        assert ask_broker(url) == told


def test_asking_a_broker_that_is_there(broker: str) -> None:
    assert ask_broker(broker) is None


def test_dependencies_are_asked_at_most_every_two_seconds(
    database: str, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("api.readiness.ask_broker", lambda url, _ca: asked.append(url))
    with served(database, broker) as url, httpx.Client() as client:
        monkeypatch.setattr(Readiness, "KEPT_S", 60.0)
        assert [client.get(f"{url}/readyz").status_code for _ in range(20)] == [200] * 20
        assert len(asked) == 1
        monkeypatch.setattr(Readiness, "KEPT_S", 0.0)
        client.get(f"{url}/readyz")
        assert len(asked) == 2


def _figures(api: Served) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample of /metrics by its name and label values."""
    answer = api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_every_metric_that_is_written_down_is_exported_and_no_other(city: Served) -> None:
    _fill(city)
    city.get("/api/v1/devices")
    text = city.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert set(families) == {metric.name.removesuffix("_total") for metric in METRICS}
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert (family.documentation, family.type) == (metric.help, metric.kind)
        assert family.samples
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)


def _fill(city: Served) -> None:
    city.run(
        "INSERT INTO books (shard, minute, received, redelivered, unpacked, stored, duplicate, quarantined, late)"
        " VALUES ('main', now(), 10, 1, 2, 9, 2, 1, 3)"
    )
    city.run(
        "INSERT INTO quarantine (shard, received_at, topic, payload, digest, packet_id, reason, detail)"
        " VALUES ('main', now(), 't', '', '', 1, 'undecodable', 'd')"
    )
    city.run("UPDATE shards SET caught_up_to = now() - interval '90 s', probe_delay_ms = 250")
    city.run(
        "INSERT INTO escalations (alarm_key, episode, waiting_since, level, severity, told_at, told, transition_no)"
        " SELECT alarm_key, episode, raised_at, 1, severity, now(), '[]', 1 FROM episodes LIMIT 1"
    )
    noted = '{"steps": {"weather": {"runs": 3, "failures": 1, "seconds": 0.5, "last_s": 0.1}}}'
    city.run("UPDATE engines SET state = %s::jsonb WHERE name = 'city'", [noted])
    with psycopg.connect(city.database) as connection:
        health.step(connection, datetime.now(UTC))


def test_the_figures_are_those_of_the_database(city: Served) -> None:
    _fill(city)
    figures = _figures(city)
    assert figures["underfoot_database_up", ()] == 1
    assert figures["underfoot_messages_received_total", ("main",)] == 10
    assert figures["underfoot_reports_stored_total", ("main",)] == 9
    assert figures["underfoot_quarantine_messages", ("undecodable",)] == 1
    opened = {
        severity: figures["underfoot_alarms_open", (severity,)] for severity in ("blue", "yellow", "orange", "red")
    }
    assert opened == {"blue": 1, "yellow": 1, "orange": 0, "red": 2}
    assert figures["underfoot_deliveries_owed", ("platform",)] == 1
    assert figures["underfoot_deliveries_dead", ("wenfeng",)] == 1
    assert figures["underfoot_delivery_oldest_owed_seconds", ("platform",)] > 86_400
    assert figures["underfoot_delivery_oldest_owed_seconds", ("wenfeng",)] == 0
    assert 90 <= figures["underfoot_shard_behind_seconds", ("main",)] < 120
    assert figures["underfoot_shard_probe_delay_seconds", ("main",)] == 0.25
    assert figures["underfoot_devices", ("cover", "in_service")] == 1
    assert figures["underfoot_devices", ("cover", "maintenance")] == 1


def test_requests_are_counted_by_route_and_not_by_path_or_method_invented(api: Served) -> None:
    for device in ("a", "b", "c"):
        api.get(f"/api/v1/devices/{device}")
    for method in ("BREW", "STEW"):
        api.call(method, "/nothing")
    figures = _figures(api)
    assert figures["underfoot_http_requests_total", ("GET", "/api/v1/devices/{device_id}", "404")] == 3
    assert figures["underfoot_http_requests_total", ("other", "(none)", "404")] == 2
    assert figures["underfoot_http_request_duration_seconds_count", ("GET", "/api/v1/devices/{device_id}")] == 3


def test_a_shard_that_never_caught_up_has_no_lag_rather_than_a_made_up_one(api: Served) -> None:
    assert not [name for name, _ in _figures(api) if name == "underfoot_shard_behind_seconds"]


def test_without_the_database_the_figures_say_so(city: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> Any:
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr("api.exposition._read", away)
    figures = _figures(city)
    assert figures["underfoot_database_up", ()] == 0
    assert not [name for name, _ in figures if name == "underfoot_devices"]


def test_the_database_is_asked_for_figures_at_most_every_few_seconds(
    city: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _figures(city)["underfoot_devices", ("lamp", "in_service")] == 1
    city.run("UPDATE devices SET status = 'retired' WHERE family = 'lamp'")
    assert _figures(city)["underfoot_devices", ("lamp", "in_service")] == 1
    monkeypatch.setattr(DatabaseFigures, "KEPT_S", 0.0)
    assert _figures(city)["underfoot_devices", ("lamp", "retired")] == 1


def test_metrics_need_a_key(api: Served) -> None:
    problem(api.get("/metrics", None), 401, "no-key")
    assert api.get("/metrics", Role.viewer).status_code == 200
