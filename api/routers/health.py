"""For whoever keeps Underfoot running: is the process alive, can it work, how is it doing."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from api.access import GuardedRoute
from api.problems import Problem
from api.roles import V1

router = APIRouter(tags=["health"], route_class=GuardedRoute)


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    status: Literal["ready"] = "ready"
    warnings: dict[str, str] = Field(description="What needs a look, though work goes on", examples=[{}])


@router.get("/healthz", summary="Is the process alive")
def healthz() -> Alive:
    """Answers as long as the process does; asks nobody else."""
    return Alive()


@router.get("/readyz", summary="Are the database, its migrations and the broker there")
def readyz(request: Request) -> Ready:
    """503 names which dependency is not there. Asked of them at most every 2 seconds."""
    state = request.app.state.readiness.state()
    if state.missing:
        told = "; ".join(f"{name}: {what}" for name, what in state.missing.items())
        more = {"missing": state.missing, "warnings": state.warnings}
        raise Problem("unavailable", f"Not ready: {told}.", headers={"Retry-After": "2"}, more=more)
    return Ready(warnings=state.warnings)


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": "underfoot_database_up 1.0\n"}}}
    },
)
def metrics(request: Request) -> Response:
    """Prometheus text format. Every name and its meaning: underfoot/metrics.py."""
    return Response(request.app.state.exposition.text(), media_type=CONTENT_TYPE_LATEST)


@router.get(
    f"{V1}/openapi.json",
    summary="This API, described",
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}, "example": {"openapi": "3.1.0"}}}}},
)
def openapi(request: Request) -> dict[str, object]:
    """The OpenAPI document."""
    document: dict[str, object] = request.app.openapi()
    return document
