"""The stand-in's HTTP: where events and robot messages go in, and where tests read what became of them.

The two receiving endpoints are `async`: they may be told to keep many requests waiting, which should not cost a thread
each. They touch nothing that blocks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from fastapi import FastAPI, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from simulators.platform.access import Access, RefusedError
from simulators.platform.behaviour import Behaviour, Behaviours
from simulators.platform.cases import CaseState, NotPossibleError
from simulators.platform.course import Course
from simulators.platform.desk import Desk
from simulators.platform.events import TAKEN, Events, answer
from simulators.platform.records import Records, now_ms
from simulators.platform.robot import INVALID_MESSAGE, Robots, errcode


@dataclass(frozen=True)
class PlatformSettings:
    record: Path | None = None
    """A JSONL file that is appended to; a platform started again on it knows what it had taken."""
    access: Access = field(default_factory=Access)
    robot_per_minute: int = 20
    seed: int = 1
    course: Course = field(default_factory=lambda: Course(goes_on=False))


class Act(BaseModel):
    """A step that somebody takes by hand; `supervise` puts a case under 督办 and leaves its state."""

    model_config = ConfigDict(extra="forbid")

    state: CaseState | Literal["supervise"]
    by: str = "值班员"
    note: str = ""
    duplicate_of: str | None = Field(None, description="With an end: the citizen's case that goes on instead")


class _Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


class _NoAnswer(Response):
    """Begins an answer and hangs up: the client has nothing that it could believe."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000000")]})


def create_app(settings: PlatformSettings | None = None) -> FastAPI:
    settings = settings or PlatformSettings()
    stand_in = _StandIn(settings)

    @asynccontextmanager
    async def at_work(_app: FastAPI) -> AsyncIterator[None]:
        stand_in.desk.start()
        yield
        stand_in.desk.stop()
        stand_in.records.close()

    app = FastAPI(title="一网统管 stand-in", description=__doc__, version="1", lifespan=at_work)

    @app.post("/events", summary="Take an event (what a sink of channel `platform` posts to)")
    async def take_event(request: Request) -> Response:
        return await stand_in.event(request)

    @app.post("/cgi-bin/webhook/send", summary="Take a crew's message, as a WeCom robot does")
    async def take_message(request: Request, key: str | None = None) -> Response:
        return await stand_in.message(request, key)

    @app.post("/behaviour", summary="Misbehave from now on")
    def tell(behaviour: Behaviour) -> dict[str, Any]:
        return {"behaviour": stand_in.behaviours.tell(behaviour)}

    @app.get("/behaviour", summary="How it misbehaves now")
    def behaviours() -> list[dict[str, Any]]:
        return stand_in.behaviours.listed()

    @app.delete("/behaviour", summary="Behave again")
    def behave() -> dict[str, Any]:
        stand_in.behaviours.forget()
        return {"code": 0}

    @app.post("/token", summary="Renew the token: what was told to expire_token is over")
    def renew_token() -> dict[str, Any]:
        stand_in.behaviours.forget("expire_token")
        return {"code": 0, "message": "success", "data": {"token": settings.access.token}}

    @app.get("/records", summary="What came, in order, and what became of it")
    def records(
        kind: str | None = None,
        outcome: str | None = None,
        after: Annotated[int, Query(ge=0, description="The `no` of the last record that is known already")] = 0,
        limit: Annotated[int, Query(ge=1, le=1_000_000)] = 100_000,
    ) -> Response:
        return _Json(stand_in.records.select(kind, outcome, after, limit))

    @app.get("/violations", summary="What must not have come")
    def violations() -> Response:
        return _Json(stand_in.records.violations)

    @app.get("/cases", summary="The cases, by platform number")
    def cases(
        state: CaseState | None = None,
        push_id: Annotated[str | None, Query(description="Of its newest notice")] = None,
        after: Annotated[str, Query(description="The platform_no that is known already")] = "",
        limit: Annotated[int, Query(ge=1, le=100_000)] = 1000,
    ) -> Response:
        return _Json(stand_in.desk.cases(state, push_id, after, limit))

    @app.get("/cases/{platform_no}", summary="One case with its history")
    def case(platform_no: str) -> Response:
        try:
            return _Json(stand_in.desk.case(platform_no))
        except KeyError:
            raise HTTPException(404, f"platform_no: {platform_no!r}: there is no such case") from None

    @app.post("/cases/{platform_no}", summary="Take a step by hand")
    def act(platform_no: str, act: Act) -> Response:
        try:
            if act.state == "supervise":
                return _Json(stand_in.desk.supervise(platform_no))
            return _Json(stand_in.desk.act(platform_no, act.state, act.by, act.note, act.duplicate_of))
        except KeyError:
            raise HTTPException(404, f"platform_no: {platform_no!r}: there is no such case") from None
        except NotPossibleError as error:
            raise HTTPException(409, str(error)) from None

    @app.delete("/cases/{platform_no}", summary="A case is gone, as after a backup was played back")
    def forget(platform_no: str) -> dict[str, Any]:
        try:
            stand_in.forget(platform_no)
        except KeyError:
            raise HTTPException(404, f"platform_no: {platform_no!r}: there is no such case") from None
        return {"code": 0}

    @app.get(
        "/query", summary="What it has of whoever reported: in pages by number (after, limit), or certain ones (ids)"
    )
    async def query(request: Request) -> Response:
        return stand_in.query(request)

    @app.get("/course", summary="How cases go now")
    def course() -> Course:
        return stand_in.desk.course

    @app.post("/course", summary="Cases go by this from now on; its outages are counted from now")
    def follow(course: Course) -> Course:
        stand_in.desk.follow(course)
        return course

    @app.get("/stats", summary="Counts")
    def stats() -> Response:
        return _Json(stand_in.stats())

    @app.get("/healthz", summary="Whether it is up")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app


async def _body(request: Request) -> dict[str, Any] | None:
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


class _StandIn:
    def __init__(self, settings: PlatformSettings) -> None:
        self.access = settings.access
        self.behaviours = Behaviours(settings.seed)
        self.records = Records(settings.record)
        self.events = Events(self.records)
        self.desk = Desk(self.records, self.behaviours, settings.course, settings.seed)
        self.desk.restore(self.records.earlier)
        self.robots = Robots(self.records, settings.robot_per_minute)
        self.requests = 0
        self.first_event_ms: float | None = None
        self.last_event_ms: float | None = None
        self.began = time.monotonic()

    async def event(self, request: Request) -> Response:
        received_ms, push_id = self._arrival(), request.headers.get("x-push-id")
        body = await _body(request)
        if body is None:
            self.records.violation("malformed", received_ms, "the body is no JSON object", None)
            return _Json(answer(400, "the body is no JSON object"), 400)
        wait_s, told = self.behaviours.apply("platform", body)
        await asyncio.sleep(wait_s)
        if told is not None and told.kind not in ("lose_answer", "lose_event"):
            self.records.add("event", told.kind, received_ms, push_id=push_id, body=body)
            return await self._misbehave(told, request, answer)
        try:
            body = self.access.opened(request.headers, request.query_params, body)
        except RefusedError as refused:
            self.records.add("event", "not_let_in", received_ms, detail=str(refused), push_id=push_id, body=body)
            return _Json(answer(401, str(refused)), 401)
        if told is not None and told.kind == "lose_event":
            status, said = self.events.lose(body, push_id, received_ms)
            return _Json(said, status)
        status, said = self.events.take(body, push_id, received_ms)
        if said["message"] == TAKEN:
            self.desk.told(said["data"]["platform_no"], body, received_ms)
        self.first_event_ms = self.first_event_ms or received_ms
        self.last_event_ms = received_ms
        return await self._lose(told, request) if told is not None else _Json(said, status)

    def query(self, request: Request) -> Response:
        """Signed as events are, with the parameters in place of the body."""
        given: dict[str, Any] = dict(request.query_params)
        try:
            given = self.access.opened(request.headers, request.query_params, given)
        except RefusedError as refused:
            return _Json(answer(401, str(refused)), 401)
        _, told = self.behaviours.apply("query", given)
        if told is not None:
            return _Json(answer(told.status, told.message), told.status)
        limit = given.get("limit", "500")
        if not limit.isdecimal() or not 1 <= int(limit) <= 10_000:
            return _Json(answer(400, f"limit = {limit!r}: 1 to 10000"), 400)
        if "ids" in given:
            cases = self.desk.certain(given["ids"].split(","))
        else:
            cases = self.desk.listed(given.get("after", ""), int(limit))
        following = cases[-1]["platform_no"] if "ids" not in given and len(cases) == int(limit) else None
        return _Json({"code": 0, "message": "success", "data": {"cases": cases, "next": following}})

    def forget(self, platform_no: str) -> None:
        self.events.forget(self.desk.forget(platform_no).key)

    async def message(self, request: Request, key: str | None) -> Response:
        received_ms = self._arrival()
        body = await _body(request)
        if body is None:
            return _Json(errcode(INVALID_MESSAGE, "the body is no JSON object"))
        wait_s, told = self.behaviours.apply("robot", body)
        await asyncio.sleep(wait_s)
        if told is not None and told.kind != "lose_answer":
            self.records.add("robot", told.kind, received_ms, key=key, body=body)
            return await self._misbehave(told, request, errcode)
        said = self.robots.take(body, key, received_ms)
        return await self._lose(told, request) if told is not None else _Json(said)

    def _arrival(self) -> float:
        self.requests += 1
        return now_ms()

    async def _misbehave(
        self, told: Behaviour, request: Request, say: Callable[[int, str], dict[str, Any]]
    ) -> Response:
        if told.kind == "time_out":
            return await self._lose(told, request)
        if told.kind == "error_code":
            return _Json(say(told.code, told.message))
        if told.kind == "expire_token":
            return _Json(say(401, "token expired"), 401)
        headers = {} if told.retry_after_s is None else {"Retry-After": str(told.retry_after_s)}
        return _Json(say(told.status, told.message), told.status, headers)

    async def _lose(self, told: Behaviour, request: Request) -> Response:
        until = time.monotonic() + told.delay_s
        while time.monotonic() < until and not await request.is_disconnected():
            await asyncio.sleep(0.02)
        return _NoAnswer()

    def stats(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "events": len(self.events.platform_nos),
            "open_events": self.events.open_events,
            "violations": len(self.records.violations),
            "cases": self.desk.counts(),
            "outcomes": dict(sorted(self.records.counts.items())),
            "first_event_ms": self.first_event_ms,
            "last_event_ms": self.last_event_ms,
            "up_s": round(time.monotonic() - self.began, 3),
        }
