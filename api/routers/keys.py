"""API keys: for administrators. `underfoot keys` does the same without one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from api import keys
from api.access import GuardedRoute
from api.cursors import issue, redeem
from api.dependencies import Pool, WhoCalls
from api.keys import ApiKey, KeyExistsError, NewApiKey, UnknownKeyError
from api.parameters import AreaCode, Instant, KeyName, Page, Paged, Text
from api.people.rights import RightsError
from api.problems import Problem, invalid, not_found
from api.roles import V1, Role

router = APIRouter(prefix=f"{V1}/keys", tags=["keys"], route_class=GuardedRoute)


class KeyFilters(Paged):
    """Keys have no filters."""


class KeyPage(Page):
    items: list[ApiKey]


class KeyWanted(BaseModel):
    """The key to be made. Its name is the actor in the audit log, for good: names are never used twice."""

    model_config = ConfigDict(extra="forbid")

    name: KeyName = Field(examples=["control-room"])
    role: Role
    areas: list[AreaCode] | None = Field(
        None, min_length=1, max_length=1000, description="Subtrees of areas; null: the whole city", examples=[None]
    )
    units: list[Text] | None = Field(
        None, min_length=1, max_length=1000, description="养护单位; null: every one", examples=[None]
    )
    expires_at: Instant | None = Field(
        None, description="Since then it opens nothing; null: until it is revoked", examples=[None]
    )


@router.get("", summary="List keys")
def list_keys(pool: Pool, filters: Annotated[KeyFilters, Query()]) -> KeyPage:
    """Every key by its name, revoked ones among them; never a secret."""
    after = redeem(filters, "keys", filters.cursor, (str,))[0] if filters.cursor else ""
    with pool.connection() as connection:
        found = keys.listed(connection, after, filters.limit + 1)
    following = None
    if len(found) > filters.limit:
        found.pop()
        following = issue(filters, "keys", (found[-1].name,))
    return KeyPage(items=found, next=following)


@router.post("", summary="Create a key", status_code=201)
def create_key(pool: Pool, caller: WhoCalls, wanted: KeyWanted) -> NewApiKey:
    """The answer shows the secret once; only its hash is kept."""
    try:
        with pool.connection() as connection:
            return keys.create(
                connection,
                wanted.name,
                wanted.role,
                caller.name,
                areas=wanted.areas,
                units=wanted.units,
                expires_at=wanted.expires_at,
            )
    except RightsError as error:
        raise invalid(error.name, error.value, error.message, place="body") from None
    except KeyExistsError as error:
        raise Problem("conflict", f"{error}.") from None


@router.delete("/{name}", summary="Revoke a key")
def revoke_key(
    pool: Pool,
    caller: WhoCalls,
    name: Annotated[KeyName, Path(description="The key's name", examples=["control-room"])],
) -> ApiKey:
    """It opens nothing any more after 5 seconds at most. Again is the same as once."""
    try:
        with pool.connection() as connection:
            return keys.revoke(connection, name, caller.name)
    except UnknownKeyError:
        raise not_found(f"key named {name!r}") from None
