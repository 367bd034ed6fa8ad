"""What an MQTT broker asks: may this client come in, may it do that? In the words of EMQX 5's HTTP authenticator and
authorizer (docs/identity.md shows its settings).

Every question gets an answer: to EMQX an error means to ask somebody else. What cannot be an account is denied.
"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.access import GuardedRoute
from api.dependencies import Pool
from api.roles import V1
from underfoot.identity.questions import may_come_in, may_do

router = APIRouter(prefix=f"{V1}/broker", tags=["broker"], route_class=GuardedRoute)

# Where a client has none of it, EMQX leaves a placeholder empty, says null, or says this.
_ABSENT = ("", "undefined")


class Client(BaseModel):
    """A client that wants to come in."""

    model_config = ConfigDict(extra="ignore")

    username: str | None = Field(None, examples=["410502/cover/NB-00312"])
    password: str | None = Field(None, examples=["ufd_" + "x" * 43])
    clientid: str | None = Field(None, examples=["NB-00312"])
    cert_common_name: str | None = Field(
        None, description="Of the client certificate that the broker has verified", examples=[""]
    )


class Wish(BaseModel):
    """What a client that came in wants to do."""

    model_config = ConfigDict(extra="ignore")

    username: str | None = Field(None, examples=["410502/cover/NB-00312"])
    topic: str = Field(
        description="The topic, or the filter of a subscription", examples=["underfoot/v1/410502/cover/NB-00312/report"]
    )
    action: Literal["publish", "subscribe"] = Field(examples=["publish"])


class Admission(BaseModel):
    """Nobody is a superuser: that would be somebody whom nothing is asked about."""

    result: Literal["allow", "deny"]
    is_superuser: Literal[False] = False


class Permission(BaseModel):
    result: Literal["allow", "deny"]


@router.post("/authenticate", summary="May this client come in?")
def authenticate_client(pool: Pool, client: Client) -> Admission:
    """Asks the database each time: what was revoked opens nothing from then on. A wrong secret locks nobody out."""
    username, password, client_id, common_name = (
        "" if said is None or said in _ABSENT or "\0" in said else said
        for said in (client.username, client.password, client.clientid, client.cert_common_name)
    )
    with pool.connection() as connection:
        account = may_come_in(connection, username, password, client_id=client_id, common_name=common_name)
    return Admission(result="deny" if account is None else "allow")


@router.post("/authorize", summary="May this client publish or subscribe there?")
def authorize_client(pool: Pool, wish: Wish) -> Permission:
    """Asks the database each time. A wildcard subscription is allowed only where all that it takes in is."""
    with pool.connection() as connection:
        allowed = may_do(connection, wish.username or "", wish.action, wish.topic)
    return Permission(result="allow" if allowed else "deny")
