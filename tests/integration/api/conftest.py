"""What the API's tests may ask for: the API served, empty or with a small city."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.keys import create
from api.roles import Role
from tests.integration.api.served import Served, nobody_there, served
from underfoot.storage.connect import connect


@pytest.fixture
def api(database: str) -> Iterator[Served]:
    """The API on an empty database, its broker absent."""
    with connect(database, "test") as connection:
        secrets = {role: create(connection, f"the-{role.value}", role, "test").secret for role in Role}
    with served(database, f"mqtt://127.0.0.1:{nobody_there()}") as url:
        running = Served(url, database, secrets)
        with running.client:
            yield running


@pytest.fixture
def city(api: Served) -> Served:
    """The API on the small city of city.sql."""
    api.run((Path(__file__).parent / "city.sql").read_text(encoding="utf-8"))
    return api
