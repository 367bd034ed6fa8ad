"""A city platform's callbacks: what became of a case. No key opens this door; the signature of each request does.

Answered in the platforms' own envelope, `{"code", "message", "data"}`, also where it is refused.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from alerts.cases.callbacks import PlatformSink, RefusedError, Taken, Told, platform_sink, take
from alerts.channels.platform.verifiers.incoming import Incoming
from api.access import GuardedRoute
from api.deadlock import again_after_deadlock
from api.dependencies import Pool
from api.roles import V1
from underfoot.audit.log import enter
from underfoot.clock import CLOCK
from underfoot.reports import moment
from underfoot.storage.connect import Connection

log = logging.getLogger("underfoot.api")

AT_MOST = 1024 * 1024
"""Bytes: some platforms send pictures along, which we do not keep."""

_FORM = "application/x-www-form-urlencoded"
_EXAMPLE = {
    "event_id": "4711-1",
    "platform_no": "SJ20261122000312",
    "disposal_status": "processing",
    "disposal_result": "已派遣排水管理所",
    "disposal_operator": "值班员",
    "disposal_time": "2026-11-22 21:45:00",
}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The platform's own fields, as its configuration has them; or a list of such.",
        "content": {"application/json": {"schema": {"type": "object"}, "example": _EXAMPLE}},
    }
}


class Answered(BaseModel):
    """What platforms understand. HTTP's status says the same as the code of a refusal."""

    code: int = Field(
        description="0: taken (or what the configuration has for it); else 400, 401, 403, 404", examples=[0]
    )
    message: str = Field(examples=["success"])
    data: dict[str, Any] | None = Field(
        None,
        description="Our case and its state; of a list, `list` with such an answer to each",
        examples=[{"case": 312}],
    )


class _InTheirEnvelope(GuardedRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except HTTPException as error:
                return _answer(error.status_code, error.status_code, str(error.detail))

        return handled


router = APIRouter(prefix=f"{V1}/platforms", tags=["platforms"], route_class=_InTheirEnvelope)


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post(
    "/{sink}/callback",
    summary="Take what a city's platform says of a case",
    response_model=Answered,
    openapi_extra=_BODY,
)
def callback(
    pool: Pool,
    request: Request,
    sink: Annotated[str, Path(description="The sink's name", examples=["wuhu"])],
    body: Annotated[bytes, Depends(_body)],
) -> Response:
    """The same callback again is one step. An older one is recorded and moves nothing; closed is final."""
    try:
        incoming = _incoming(request, body)
        platform, told = again_after_deadlock(
            pool, f"callback of {sink[:64]}", lambda connection: _taken(connection, sink, incoming)
        )
    except RefusedError as refused:
        _enter(pool, sink, refused)
        return _answer(refused.status, refused.status, str(refused))
    if refusals := [one for one in told.each if isinstance(one, RefusedError)]:
        _enter(pool, sink, *refusals)
    repeated = all(isinstance(one, Taken) and one.repeated for one in told.each)
    said = [_said(one, platform.config.callbacks.success_code) for one in told.each]
    data = {"list": said} if told.listed else said[0]["data"]
    return _answer(200, platform.config.callbacks.success_code, "duplicate" if repeated else "success", data)


def _said(one: Taken | RefusedError, success_code: int) -> dict[str, Any]:
    if isinstance(one, RefusedError):
        return {"code": one.status, "message": str(one), "data": None}
    data = {"case": one.case_key, "state": one.state.value}
    return {"code": success_code, "message": "duplicate" if one.repeated else "success", "data": data}


def _taken(connection: Connection, sink: str, incoming: Incoming) -> tuple[PlatformSink, Told]:
    platform = platform_sink(connection, sink)
    return platform, take(connection, platform, incoming, moment(CLOCK.now_us()))


def _enter(pool: Pool, sink: str, *refused: RefusedError) -> None:
    log.info("callback of %s refused: %s: %s (%s in all)", sink[:64], refused[0].why, refused[0], len(refused))
    with pool.connection() as connection:
        for one in refused:
            _REFUSALS.enter(connection, sink, one)


def _incoming(request: Request, body: bytes) -> Incoming:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM:
        try:
            parsed: Any = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=1000))
        except ValueError:
            raise RefusedError(400, "unreadable", "the body is no form in UTF-8") from None
    else:
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise RefusedError(400, "unreadable", f"the body is no JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise RefusedError(400, "unreadable", f"the body is {type(parsed).__name__}: an object is needed")
    return Incoming(dict(request.headers), dict(request.query_params), parsed)


def _answer(status: int, code: int, message: str, data: dict[str, Any] | None = None) -> Response:
    said = {"code": code, "message": message, "data": data}
    return Response(orjson.dumps(said), status, media_type="application/json")


class _Refusals:
    """Refusals in the audit log: each, but no more than so many a minute, or whoever sends rubbish fills the log. Those
    beyond are counted in the next."""

    A_MINUTE = 60

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute = 0
        self._entered = 0
        self._beyond = 0

    def enter(self, connection: Connection, sink: str, refused: RefusedError) -> None:
        with self._lock:
            minute = int(time.monotonic() // 60)
            if minute != self._minute:
                self._minute, self._entered = minute, 0
            self._entered += 1
            if self._entered > self.A_MINUTE:
                self._beyond += 1
                return
            beyond, self._beyond = self._beyond, 0
        detail = {"why": refused.why, "status": refused.status, "said": str(refused)[:300]}
        name = "".join(letter for letter in sink[:64] if letter.isascii() and (letter.isalnum() or letter in "_-"))
        more = {"not_entered_before": beyond} if beyond else {}
        enter(connection, f"platform:{name}", "callback.refused", f"sink:{name}", detail | more)


_REFUSALS = _Refusals()
