"""What a system test may ask for: the product as its user has it, a command and its environment, nothing imported."""

from __future__ import annotations

import itertools
import json
from collections.abc import Generator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.system.city import DISTRICTS, PROBE_S, City, write_ledger
from tests.system.installation import Installation, installed, ports_to_keep

_numbers = itertools.count(1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the processes of the installation have said."""
    report = yield
    if report.when == "call" and report.failed:
        for value in getattr(item, "funcargs", {}).values():
            folder = value.installation.folder if isinstance(value, City) else getattr(value, "folder", None)
            for log in sorted(folder.glob("*.log")) if isinstance(folder, Path) else ():
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
                report.sections.append((f"the end of {log.name}", "\n".join(lines[-60:])))
    return report


@pytest.fixture
def installation() -> Iterator[Installation]:
    """An installation on which nothing has been done yet: `run("up")` comes first."""
    with installed() as created:
        yield created


@pytest.fixture
def running_stack(installation: Installation) -> Installation:
    """An installation whose database and broker are up."""
    installation.run("up")
    return installation


@pytest.fixture(scope="session")
def city_stack() -> Iterator[Installation]:
    """A stack whose database `underfoot` holds the small city's ledger, and from now on is only copied."""
    with installed() as created:
        created.environment |= ports_to_keep()
        created.run("up")
        ledger = created.folder / "ledger.csv"
        write_ledger(ledger)
        created.run("devices", "import", str(ledger))
        created.environment["UNDERFOOT_PROBE_INTERVAL_S"] = str(PROBE_S)
        with psycopg.connect(_maintenance(created), autocommit=True) as connection:
            # TimescaleDB's scheduler keeps a session in every database it finds; one with sessions can't be copied.
            connection.execute("ALTER DATABASE underfoot ALLOW_CONNECTIONS false")
            connection.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'underfoot'"
            )
        yield created


@pytest.fixture
def city(city_stack: Installation) -> Iterator[City]:
    """The small city on a fresh database; whatever the test stopped runs again afterwards."""
    name = f"city_{next(_numbers)}"
    maintenance = _maintenance(city_stack)
    record = json.loads((city_stack.home / "stack.json").read_text())
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE underfoot").format(sql.Identifier(name)))
    own = {
        "UNDERFOOT_DATABASE_URL": f"{maintenance.rpartition('/')[0]}/{name}",
        "UNDERFOOT_MQTT_URL": record["mqtt_url"],
    }
    before = dict(city_stack.environment)
    city_stack.environment |= own
    created = City(city_stack, own["UNDERFOOT_DATABASE_URL"], own["UNDERFOOT_MQTT_URL"])
    for log in city_stack.folder.glob("*.log"):
        log.unlink()
    try:
        created.forget_session()
        yield created
    finally:
        created.close()
        city_stack.end_processes()
        city_stack.environment.clear()
        city_stack.environment |= before
        for server in ("postgres", "mosquitto"):
            if not json.loads((city_stack.home / "stack.json").read_text())[server]["running"]:
                city_stack.start_server(server)
        with psycopg.connect(maintenance, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def spread_city(city: City) -> Iterator[City]:
    """The small city in five districts, whose workers take over from each other within seconds."""
    city.installation.environment["UNDERFOOT_TAKEOVER_AFTER_S"] = "3"
    city.do(
        "UPDATE devices SET district = (%s::text[])[1 + right(device_id, 3)::int %% %s]",
        list(DISTRICTS),
        len(DISTRICTS),
    )
    yield city
    city.installation.end_processes()
    for district in DISTRICTS:
        city.forget_session(district)


def _maintenance(installation: Installation) -> str:
    url: str = json.loads((installation.home / "stack.json").read_text())["database_url"]
    return f"{url.rpartition('/')[0]}/postgres"
