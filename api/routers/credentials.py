"""Credentials of devices, gateways, vendors and services: for administrators. `underfoot credentials` does the same
without a key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.access import GuardedRoute
from api.callers import Caller
from api.cursors import issue as issue_cursor
from api.cursors import redeem
from api.dependencies import Pool, WhoCalls
from api.parameters import BigKey, Instant, Page, Paged, Text
from api.problems import Problem
from api.roles import V1, Role
from underfoot.identity import credentials
from underfoot.identity.accounts import Duty
from underfoot.identity.credentials import OVERLAP, CredentialError, Issued, UnknownAccountError
from underfoot.identity.names import Kind
from underfoot.storage.connect import Connection

router = APIRouter(prefix=f"{V1}/credentials", tags=["credentials"], route_class=GuardedRoute)

AccountName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Names = Annotated[
    list[AccountName],
    Field(
        min_length=1,
        max_length=500,
        description="Device_ids, gateway_ids or account names. All of them, or at an error none",
        examples=[["NB-00312"]],
    ),
]
GoodFor = Annotated[
    float | None,
    Field(
        gt=0,
        le=20 * 366 * 86_400,
        description="How long it is good (seconds); null: until it is revoked",
        examples=[7_776_000],
    ),
]


class CredentialShown(BaseModel):
    """A credential, without its secret."""

    credential_key: int = Field(examples=[4711])
    kind: Kind
    name: str = Field(examples=["NB-00312"])
    user_name: str = Field(examples=["410502/cover/NB-00312"])
    certificate: bool = Field(description="A client certificate, not a secret")
    good: bool = Field(description="It opens something now")
    issued_at: Instant
    issued_by: str = Field(examples=["desk"])
    expires_at: Instant | None
    revoked_at: Instant | None


class CredentialPage(Page):
    items: list[CredentialShown]


class NewCredential(BaseModel):
    credential_key: int = Field(examples=[4711])
    name: str = Field(examples=["NB-00312"])
    user_name: str = Field(examples=["410502/cover/NB-00312"])
    secret: str = Field(description="Shown this once", examples=["ufd_" + "x" * 43])
    expires_at: Instant | None
    old_until: Instant | None = Field(description="Until when the secret before it is good")


class NewCredentials(BaseModel):
    items: list[NewCredential]


class CredentialsWanted(BaseModel):
    """First secrets. With a vendor or a service, the account is made, too."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    names: Names
    vendor: Text | None = Field(
        None, description="Of a vendor's account: whose devices it speaks for, as in the ledger", examples=[None]
    )
    mappings: list[Text] = Field(
        [], max_length=50, description="Of a vendor's account: the mappings that it may use", examples=[[]]
    )
    duty: Duty | None = Field(None, description="Of a service's account: what it is for", examples=[None])
    good_for_s: GoodFor = None


class RotationWanted(BaseModel):
    """New secrets under the accounts' other user names."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind
    names: Names
    overlap_s: float = Field(
        OVERLAP.total_seconds(), ge=0, le=366 * 86_400, description="How long the old secret is good beside the new one"
    )
    good_for_s: GoodFor = None


class CredentialFilters(Paged):
    kind: Kind | None = Field(None, description="Only of these", examples=["device"])
    name: AccountName | None = Field(None, description="Only of this device, gateway or account", examples=["NB-00312"])


class RevokeQuestion(BaseModel):
    model_config = ConfigDict(extra="forbid")

    credential: BigKey | None = Field(
        None, description="Only this one; absent: all that the account has", examples=[4711]
    )


@router.get("", summary="List credentials")
def list_credentials(pool: Pool, caller: WhoCalls, filters: Annotated[CredentialFilters, Query()]) -> CredentialPage:
    """In the order of their issue, revoked and expired ones among them; never a secret."""
    if filters.kind is not None:
        _may(caller, filters.kind)
    after = redeem(filters, "credentials", filters.cursor, (int,))[0] if filters.cursor else 0
    with pool.connection() as connection:
        found = credentials.listed(
            connection, kind=filters.kind, name=filters.name, after=after, limit=filters.limit + 1
        )
    following = None
    if len(found) > filters.limit:
        found.pop()
        following = issue_cursor(filters, "credentials", (found[-1].credential_key,))
    return CredentialPage(items=[_shown(each) for each in found], next=following)


@router.post("", summary="Issue first secrets", status_code=201)
def issue_credentials(pool: Pool, caller: WhoCalls, wanted: CredentialsWanted) -> NewCredentials:
    """The answer shows the secrets once; only their hashes are kept."""
    _may(caller, wanted.kind)

    def work(connection: Connection) -> list[Issued]:
        if wanted.kind in ("vendor", "service"):
            for name in wanted.names:
                credentials.open_account(
                    connection,
                    wanted.kind,
                    name,
                    caller.name,
                    vendor=wanted.vendor,
                    mappings=wanted.mappings,
                    duty=wanted.duty,
                )
        return credentials.issue(
            connection, wanted.kind, wanted.names, caller.name, good_for=_duration(wanted.good_for_s)
        )

    return _new(pool, work)


@router.post("/rotate", summary="Issue new secrets beside the old ones", status_code=201)
def rotate_credentials(pool: Pool, caller: WhoCalls, wanted: RotationWanted) -> NewCredentials:
    """The new secret has the account's other user name; the old one is good for a while more."""
    _may(caller, wanted.kind)

    def work(connection: Connection) -> list[Issued]:
        return credentials.rotate(
            connection,
            wanted.kind,
            wanted.names,
            caller.name,
            overlap=timedelta(seconds=wanted.overlap_s),
            good_for=_duration(wanted.good_for_s),
        )

    return _new(pool, work)


@router.delete("/{kind}/{name}", summary="Revoke credentials")
def revoke_credentials(
    pool: Pool,
    caller: WhoCalls,
    kind: Annotated[Kind, Path(description="Whose", examples=["device"])],
    name: Annotated[AccountName, Path(description="Its device_id, gateway_id or name", examples=["NB-00312"])],
    question: Annotated[RevokeQuestion, Query()],
) -> list[CredentialShown]:
    """Brokers refuse them, and cut off who uses them, within 10 seconds. Again is the same as once."""
    _may(caller, kind)
    try:
        with pool.connection() as connection:
            revoked = credentials.revoke(connection, kind, name, caller.name, credential_key=question.credential)
    except UnknownAccountError as error:
        raise Problem("not-found", f"{error}.") from None
    return [_shown(each) for each in revoked]


def _may(caller: Caller, kind: Kind) -> None:
    """Services are ours: whoever integrates devices has nothing to do with them."""
    if caller.role is Role.integrator and kind == "service":
        raise Problem("role-too-low", "Accounts of services need the role administrator.")


def _new(pool: Pool, work: Callable[[Connection], list[Issued]]) -> NewCredentials:
    try:
        with pool.connection() as connection:
            issued = work(connection)
    except UnknownAccountError as error:
        raise Problem("not-found", f"{error}.") from None
    except CredentialError as error:
        raise Problem("conflict", f"{error}.") from None
    return NewCredentials(
        items=[
            NewCredential(
                credential_key=each.credential_key,
                name=each.account.name,
                user_name=each.user_name,
                secret=each.secret,
                expires_at=each.expires_at,
                old_until=each.old_until,
            )
            for each in issued
        ]
    )


def _shown(each: credentials.Credential) -> CredentialShown:
    return CredentialShown(
        credential_key=each.credential_key,
        kind=each.account.kind,
        name=each.account.name,
        user_name=each.user_name,
        certificate=each.certificate,
        good=each.good,
        issued_at=each.issued_at,
        issued_by=each.issued_by,
        expires_at=each.expires_at,
        revoked_at=each.revoked_at,
    )


def _duration(seconds: float | None) -> timedelta | None:
    return timedelta(seconds=seconds) if seconds is not None else None
