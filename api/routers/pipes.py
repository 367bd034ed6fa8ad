"""Pipes (管段) of the drainage network: lists, maps, what one does, and what is above or below an asset."""

from __future__ import annotations

import math
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse
from pydantic import Field, StringConstraints, field_validator

from alerts.drainage.graph import DrainageGraph, bore
from alerts.drainage.hydraulics import capacity_m3_s, head_loss_m, travel_time_s, velocity_m_s
from alerts.drainage.params import BlockageParams
from alerts.rulebook.book import rules_in_force
from alerts.rules.blockage import BlockageRule
from api.access import GuardedRoute
from api.cursors import issue, redeem
from api.dependencies import Pool, WhoCalls, places
from api.models.pipes import (
    Direction,
    Hydraulics,
    Pipe,
    PipeCollection,
    PipeDetail,
    PipeFeature,
    PipeKind,
    PipePage,
    Reach,
    Reached,
    ReachedPipe,
)
from api.parameters import AreaCode, IntKey, Paged, Question
from api.problems import invalid, not_found
from api.roles import V1
from api.rows import Row, fetch_all, fetch_one, one_page
from underfoot.ledger.pipes import Pipe as LedgerPipe
from underfoot.storage.connect import Connection

router = APIRouter(prefix=V1, tags=["pipes"], route_class=GuardedRoute)

_NO_FILTER: dict[str, object] = dict.fromkeys(("pipe_id", "pipe_keys", "kind", "areas", "units", "asset_key"))
_LEDGER_COLUMNS = (
    "pipe_key", "pipe_id", "from_asset", "to_asset", "kind", "diameter_mm", "length_m", "invert_up_m", "invert_down_m",
    "roughness",
)  # fmt: skip


class GeoJson(JSONResponse):
    media_type = "application/geo+json"


class PipeFilters(Paged):
    area: AreaCode | None = Field(None, description="Its upper end is in this area or below it", examples=["410502"])
    kind: PipeKind | None = Field(None, description="foul 污水 or storm 雨水")
    asset: IntKey | None = Field(None, description="Begins or ends at this asset (its key)", examples=[312])


class MapFilters(Question):
    area: AreaCode | None = Field(None, description="Its upper end is in this area or below it", examples=["410502"])
    bbox: str | None = Field(
        None,
        description="west,south,east,north in degrees: an end lies in it",
        examples=["114.35,36.08,114.38,36.11"],
        max_length=100,
    )
    kind: PipeKind | None = Field(None, description="foul 污水 or storm 雨水")
    limit: int = Field(2000, ge=1, le=10_000, description="At most so many features", examples=[2000])
    cursor: str | None = Field(None, max_length=400, description="`next` of the page before, unchanged")

    @field_validator("bbox")
    @classmethod
    def _four_degrees(cls, bbox: str | None) -> str | None:
        if bbox is not None:
            corners(bbox)
        return bbox


class ReachQuestion(Question):
    asset: IntKey = Field(description="The asset asked about (its key)", examples=[312])
    within_s: float | None = Field(None, gt=0, le=604_800, description="Only so far by travel time", examples=[3600])
    limit: int = Field(1000, ge=1, le=5000, description="At most so many pipes", examples=[1000])


def corners(bbox: str) -> dict[str, float]:
    try:
        west, south, east, north = (float(part) for part in bbox.split(","))
    except ValueError:
        raise ValueError("four numbers are needed: west,south,east,north") from None
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):  # also false of NaN
        raise ValueError("west must be less than east and south less than north, within ±180 and ±90 degrees")
    return {"west": west, "south": south, "east": east, "north": north}


@router.get("/pipes", summary="List pipes")
def list_pipes(pool: Pool, caller: WhoCalls, filters: Annotated[PipeFilters, Query()]) -> PipePage:
    """Pipes in the order in which they were entered, each with its ends and the worst open alarm about it."""
    after = redeem(filters, "pipes", filters.cursor, (int,))[0] if filters.cursor else 0
    with pool.connection() as connection:
        asked = {
            **places(connection, caller.scope, filters.area),
            "asset_key": filters.asset,
            "kind": filters.kind,
            "after": after,
            "limit": filters.limit + 1,
        }
        rows = fetch_all(connection, "api_pipes.list_pipes", _NO_FILTER | asked)
    rows, following = one_page(rows, filters.limit, lambda row: issue(filters, "pipes", (row["pipe_key"],)))
    return PipePage(items=[Pipe.of(row) for row in rows], next=following)


@router.get("/pipes.geojson", summary="Pipes as a map layer", response_class=GeoJson)
def map_pipes(pool: Pool, caller: WhoCalls, filters: Annotated[MapFilters, Query()]) -> PipeCollection:
    """Pipes of an area or a rectangle as GeoJSON lines, each with the worst open alarm about it."""
    if filters.area is None and filters.bbox is None:
        raise invalid("bbox", None, "say which: an `area`, or a `bbox` like 114.35,36.08,114.38,36.11")
    after = redeem(filters, "pipes.geojson", filters.cursor, (int,))[0] if filters.cursor else 0
    with pool.connection() as connection:
        asked: dict[str, Any] = {
            **places(connection, caller.scope, filters.area),
            "kind": filters.kind,
            "after": after,
            "limit": filters.limit + 1,
        }
        if filters.bbox is None:
            rows = fetch_all(connection, "api_pipes.list_pipes", _NO_FILTER | asked)
        else:
            rows = _in_box(connection, corners(filters.bbox), asked)
    rows, following = one_page(rows, filters.limit, lambda row: issue(filters, "pipes.geojson", (row["pipe_key"],)))
    return PipeCollection(features=[PipeFeature.of(row) for row in rows], next=following)


@router.get("/pipes/{pipe_id}", summary="One pipe, and what it does")
def get_pipe(
    pool: Pool,
    caller: WhoCalls,
    pipe_id: Annotated[
        str,
        StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$"),
        Path(description="管段编号", examples=["W12-W13"]),
    ],
) -> PipeDetail:
    """A pipe with its ends, and by the city's numbers how much it carries, how long that takes, and at which head."""
    with pool.connection() as connection:
        asked = {"pipe_id": pipe_id, "after": 0, "limit": 1, **caller.scope.params()}
        row = fetch_one(connection, "api_pipes.list_pipes", _NO_FILTER | asked)
        if row is None:
            raise not_found(f"pipe {pipe_id!r}")
        numbers = _numbers(connection)
    return PipeDetail.model_validate(
        {
            **Pipe.of(row).model_dump(),
            "hydraulics": _hydraulics(_ledger_pipe(row), numbers),
            "created_at": row["created_at"],
        }
    )


@router.get("/pipes/graph/{direction}", summary="What is above or below an asset")
def get_reach(
    pool: Pool,
    caller: WhoCalls,
    direction: Annotated[Direction, Path(description="Against or with the water", examples=["upstream"])],
    question: Annotated[ReachQuestion, Query()],
) -> Reach:
    """The assets and pipes whose water comes to an asset (upstream), or to which its water comes (downstream), each
    asset with how long the water takes."""
    wanted = "api_pipes.pipes_above" if direction == "upstream" else "api_pipes.pipes_below"
    with pool.connection() as connection:
        found = fetch_all(connection, wanted, {"asset_key": question.asset, "limit": question.limit + 1})
        truncated, found = len(found) > question.limit, found[: question.limit]
        graph = DrainageGraph([_ledger_pipe(row) for row in found], [])
        slowest, within_s = _numbers(connection).slowest, question.within_s or math.inf
        if direction == "upstream":
            times = graph.upstream_times(question.asset, within_s, slowest)
        else:
            times = graph.downstream_times(question.asset, within_s, slowest)
        ends = {row["asset_key"]: row for row in fetch_all(connection, "api_pipes.ends", {"asset_keys": list(times)})}
    # Water knows no district: what lies elsewhere takes its part in the times, and is not shown.
    shown = {key for key, row in ends.items() if caller.scope.holds(row["area_code"], row["maintenance_unit"])}
    if question.asset not in shown:
        raise invalid("asset", question.asset, "there is no such asset; see /api/v1/assets")
    return Reach(
        asset_key=question.asset,
        direction=direction,
        assets=[
            Reached.model_validate(ends[key] | {"travel_time_s": time})
            for key, time in sorted(times.items(), key=lambda reached: (reached[1], reached[0]))
            if key in shown
        ],
        pipes=[
            ReachedPipe.model_validate(row)
            for row in sorted(found, key=lambda row: int(row["pipe_key"]))
            if row["from_asset"] in shown and row["to_asset"] in shown
        ],
        truncated=truncated,
    )


def _in_box(connection: Connection, box: dict[str, float], asked: dict[str, Any]) -> list[Row]:
    """Page by page of the rectangle, until enough of what lies in it is also what else was asked for."""
    rows: list[Row] = []
    after, limit = asked["after"], asked["limit"]
    while len(rows) < limit:
        keys = [
            row["pipe_key"]
            for row in fetch_all(connection, "api_pipes.keys_in_box", box | {"after": after, "limit": limit})
        ]
        rows += fetch_all(connection, "api_pipes.list_pipes", _NO_FILTER | asked | {"pipe_keys": keys})
        if len(keys) < limit:
            break
        after = keys[-1]
    return rows[:limit]


def _numbers(connection: Connection) -> BlockageParams:
    """The city's, of the rule by which it judges blockages; the shipped ones where it judges none."""
    rules = (in_force.rule for in_force in rules_in_force(connection))
    return next((rule.params for rule in rules if isinstance(rule, BlockageRule)), BlockageParams())


def _ledger_pipe(row: Row) -> LedgerPipe:
    return LedgerPipe(**{name: row[name] for name in _LEDGER_COLUMNS})


def _hydraulics(pipe: LedgerPipe, numbers: BlockageParams) -> Hydraulics:
    water = bore(pipe, numbers.roughness)
    capacity = capacity_m3_s(water)
    falls = capacity > 0
    return Hydraulics(
        roughness=water.roughness,
        velocity_full_m_s=velocity_m_s(water) if falls else None,
        capacity_m3_s=capacity if falls else None,
        travel_time_s=travel_time_s(water, numbers.slowest.of(pipe.kind)),
        head_difference_full_m=head_loss_m(water, capacity, numbers.manhole_loss) if falls else None,
    )
