"""HTTP push: a vendor's platform hands its reports over, as bytes; the shard's holder reads them by the mapping.

Nothing is judged here but who pushes and under which mapping: the answer comes after the commit that put the message
into the inbox, and waits for nobody else.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, Field

from api.access import GuardedRoute
from api.dependencies import Pool
from api.problems import Problem, not_found
from api.roles import V1
from api.rows import fetch_one
from underfoot.clock import CLOCK
from underfoot.identity import Account
from underfoot.inbox import Message, post_messages
from underfoot.reports import microseconds

router = APIRouter(prefix=f"{V1}/push", tags=["push"], route_class=GuardedRoute)

_MAPPING = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
_EXAMPLE = {
    "upPacketSN": -1,
    "upDataSN": -1,
    "topic": "v1/up/ad19prof",
    "timestamp": 1782878400000,
    "tenantId": "10001",
    "productId": "15001",
    "deviceId": "NB-00312",
    "IMEI": "860000000000312",
    "protocol": "lwm2m",
    "messageType": "dataReport",
    "payload": {"serviceId": 1, "serviceData": {"RSRP": 12, "Battery_Level": 87, "Alarm_Status": 1}},
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Whatever the mapping reads: one report or several, JSON or not; kept as it came.",
        "content": {
            "application/json": {"schema": {}, "example": _EXAMPLE},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}, "example": "7E7E01…"},
        },
    }
}


class Taken(BaseModel):
    """The message is committed and will be read. The same push again is answered the same, and stored once."""

    code: int = Field(0, description="0: taken", examples=[0])
    message: str = Field("ok", examples=["ok"])


async def _body(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise Problem("bad-request", f"Content-Encoding = {encoding!r}: send the body as it is, not compressed.")
    body = await request.body()
    if not body:
        raise Problem("bad-request", "The body is empty: there is nothing to take.")
    return body


def _account(request: Request) -> Account:
    account: Account = request.state.account
    return account


@router.post("/{mapping}", summary="Hand over a message of a vendor's platform", openapi_extra=_BODY)
def push(
    pool: Pool,
    mapping: Annotated[str, Path(description="Name of the mapping that reads it", examples=["ctwing-cover"])],
    account: Annotated[Account, Depends(_account)],
    body: Annotated[bytes, Depends(_body)],
) -> Taken:
    """One push is one message, however many reports it holds. Without a 2xx answer it was not taken: send it again."""
    received_us = microseconds(CLOCK.now())
    with pool.connection() as connection:
        found = _MAPPING.fullmatch(mapping) and fetch_one(connection, "inbox.pushed_mapping", {"name": mapping})
        if not found:
            raise not_found(f"mapping {mapping[:64]!r} in force that may be pushed")
        if mapping not in account.mappings:
            raise Problem("role-too-low", f"The account {account.name!r} may not use the mapping {mapping!r}.")
        message = Message(
            shard=found["shard"],
            topic=f"http/{mapping}",
            body=body,
            received_us=received_us,
            source="http",
            key=_key(mapping, account, body, timed=found["timed"]),
            vendor=account.vendor,
        )
        post_messages(connection, [message])
    return Taken()


def _key(mapping: str, account: Account, body: bytes, *, timed: bool) -> str:
    """What makes a push the same as another: its bytes, in this account's name (nobody may take another's place).

    Where a report has no time of its own, nobody can tell the same state again from the same push again: then each push
    is a message by itself. Stored twice is allowed, dropped never.
    """
    again = hashlib.sha256(body).hexdigest() if timed else uuid.uuid4().hex
    return f"http/{mapping}:{account.name}:{again}"
