"""Rights that somebody is given: a role, and a scope whose areas and units must be there."""

from __future__ import annotations

from collections.abc import Sequence

from api.roles import Role
from api.rows import fetch_all
from underfoot.storage.connect import Connection


class RightsError(ValueError):
    """Rights that cannot be given: says which field, its value, and what is allowed."""

    def __init__(self, name: str, value: object, message: str) -> None:
        super().__init__(f"{name} = {value!r}: {message}")
        self.name = name
        self.value = value
        self.message = message


PERSONS_ROLES = tuple(role for role in Role if role is not Role.broker)


def settled(values: Sequence[str] | None) -> list[str] | None:
    """In one order, nothing twice; none at all means all."""
    return sorted(set(values)) if values else None


def check(connection: Connection, role: Role, areas: Sequence[str] | None, units: Sequence[str] | None) -> None:
    """Refuse areas and units that are not there: a scope misspelt would be empty, or another's."""
    if role is Role.broker and (areas or units):
        raise RightsError("role", role.value, "a broker asks about the whole city: it has neither areas nor units")
    for row in fetch_all(connection, "people.areas_missing", {"areas": list(areas or ())}):
        raise RightsError("areas", row["area"], "there is no such area; see /api/v1/areas/tree")
    for row in fetch_all(connection, "people.units_missing", {"units": list(units or ())}):
        raise RightsError("units", row["unit"], "no asset in the ledger has this 养护单位")
