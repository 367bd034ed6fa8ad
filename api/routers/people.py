"""People with accounts: for administrators of the whole city. `underfoot people` does the same without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.access import GuardedRoute
from api.cursors import issue, redeem
from api.dependencies import Pool, WhoCalls
from api.parameters import PRINTABLE, AreaCode, Instant, Page, Paged, Text
from api.people import accounts
from api.people.accounts import Invitation, NoSuchPersonError, Person, PersonExistsError, RefusedError
from api.people.rights import RightsError
from api.problems import Problem, invalid, not_found
from api.roles import V1, Role
from api.routers.session import Ended
from api.rows import one_page

router = APIRouter(prefix=f"{V1}/people", tags=["people"], route_class=GuardedRoute)

LoginName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
NamePath = Annotated[LoginName, Path(description="The login name", examples=["wangjianguo"])]
DisplayName = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64, pattern=PRINTABLE)]
Areas = Annotated[list[AreaCode] | None, Field(min_length=1, max_length=1000)]
Units = Annotated[list[Text] | None, Field(min_length=1, max_length=1000)]


class PersonListed(Person):
    open_sessions: int = Field(examples=[1])
    last_at: Instant | None = Field(description="When a session of theirs was last begun or renewed")


class PersonPage(Page):
    items: list[PersonListed]


class PersonFilters(Paged):
    """People have no filters."""


class PersonWanted(BaseModel):
    """An account to be made. Its name is the actor in the audit log, for good: names are never used twice."""

    model_config = ConfigDict(extra="forbid")

    name: LoginName = Field(examples=["wangjianguo"])
    display_name: DisplayName = Field("", description="姓名", examples=["王建国"])
    role: Role
    areas: Areas = Field(None, description="Subtrees of areas; null: the whole city", examples=[["410502"]])
    units: Units = Field(None, description="养护单位; null: every one", examples=[None])


class RightsWanted(BaseModel):
    """What is to be changed; what is left out stays. Null areas or units are all."""

    model_config = ConfigDict(extra="forbid")

    display_name: DisplayName | None = Field(None, description="姓名", examples=["王建国"])
    role: Role | None = Field(None, examples=["operator"])
    areas: Areas = Field(None, description="Subtrees of areas; null: the whole city", examples=[["410502"]])
    units: Units = Field(None, description="养护单位; null: every one", examples=[None])


class NewPerson(BaseModel):
    person: Person
    invitation: Invitation


@router.get("", summary="List people")
def list_people(pool: Pool, filters: Annotated[PersonFilters, Query()]) -> PersonPage:
    """By name, disabled ones among them."""
    after = redeem(filters, "people", filters.cursor, (str,))[0] if filters.cursor else ""
    with pool.connection() as connection:
        rows = accounts.listed(connection, after, filters.limit + 1)
    rows, following = one_page(rows, filters.limit, lambda row: issue(filters, "people", (row["name"],)))
    items = [PersonListed.model_validate(row | {"provider": row["issuer"] is not None}) for row in rows]
    return PersonPage(items=items, next=following)


@router.get("/{name}", summary="One person")
def get_person(pool: Pool, name: NamePath) -> Person:
    """An account, disabled or not."""
    with _refusals(), pool.connection() as connection:
        return Person.of(accounts.find(connection, name))


@router.post("", summary="Make an account", status_code=201)
def add_person(pool: Pool, caller: WhoCalls, wanted: PersonWanted) -> NewPerson:
    """Nothing opens it until its person has set a password by the one-time secret, which is shown this once."""
    with _refusals(), pool.connection() as connection:
        row = accounts.add(
            connection,
            wanted.name,
            wanted.role,
            caller.name,
            display_name=wanted.display_name,
            areas=wanted.areas,
            units=wanted.units,
        )
        invitation, _ = accounts.invite(connection, row["name"], caller.name)
    return NewPerson(person=Person.of(row), invitation=invitation)


@router.patch("/{name}", summary="Change what a person may, and where")
def change_person(pool: Pool, caller: WhoCalls, request: Request, name: NamePath, wanted: RightsWanted) -> Person:
    """Their sessions go on with the new rights, after 5 seconds at most. Again is the same as once."""
    given = wanted.model_dump(exclude_unset=True)
    for field in ("role", "display_name"):
        if field in given and given[field] is None:
            raise invalid(field, None, "cannot be null; leave it out to keep it as it is", place="body")
    with _refusals(), pool.connection() as connection:
        now = accounts.find(connection, name)
        wished = {part: now[part] for part in ("role", "areas", "units", "display_name")} | given
        row = accounts.change(
            connection,
            name,
            caller.name,
            role=Role(wished["role"]),
            areas=wished["areas"],
            units=wished["units"],
            display_name=wished["display_name"],
        )
    request.app.state.ring.forget_person(row["name"])
    return Person.of(row)


@router.post("/{name}/disable", summary="Disable an account")
def disable_person(pool: Pool, caller: WhoCalls, request: Request, name: NamePath) -> Person:
    """It opens nothing, and its sessions are over, after 5 seconds at most. Again is the same as once."""
    with _refusals(), pool.connection() as connection:
        row = accounts.disable(connection, name, caller.name)
    request.app.state.ring.forget_person(row["name"])
    return Person.of(row)


@router.post("/{name}/enable", summary="Enable an account again")
def enable_person(pool: Pool, caller: WhoCalls, name: NamePath) -> Person:
    """With the password and the rights that it had. Again is the same as once."""
    with _refusals(), pool.connection() as connection:
        return Person.of(accounts.enable(connection, name, caller.name))


@router.post("/{name}/reset", summary="Let a person set a new password", status_code=201)
def reset_person(pool: Pool, caller: WhoCalls, request: Request, name: NamePath) -> Invitation:
    """The password opens nothing any more, and sessions are over. The one-time secret is shown this once."""
    with _refusals(), pool.connection() as connection:
        invitation = accounts.reset(connection, name, caller.name)
        row = accounts.find(connection, name)
    request.app.state.ring.forget_person(row["name"])
    return invitation


@router.post("/{name}/log-out", summary="End all sessions of a person")
def log_person_out(pool: Pool, caller: WhoCalls, request: Request, name: NamePath) -> Ended:
    """After 5 seconds at most; they may log in again."""
    with _refusals(), pool.connection() as connection:
        ended = accounts.log_out(connection, name, caller.name)
        row = accounts.find(connection, name)
    request.app.state.ring.forget_person(row["name"])
    return Ended(ended=ended)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except NoSuchPersonError:
        raise not_found("such person") from None
    except RightsError as error:
        raise invalid(error.name, error.value, error.message, place="body") from None
    except (PersonExistsError, RefusedError) as error:
        raise Problem("conflict", f"{error}.") from None
