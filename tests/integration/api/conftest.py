"""What the API's tests may ask for: the API served, empty or with a small city."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.api.served import Served, keyed


@pytest.fixture
def api(database: str) -> Iterator[Served]:
    """The API on an empty database."""
    with keyed(database) as running:
        yield running


@pytest.fixture
def city(api: Served) -> Served:
    """The API on the small city of city.sql."""
    api.run((Path(__file__).parent / "city.sql").read_text(encoding="utf-8"))
    return api
