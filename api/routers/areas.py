"""Areas (区域): the tree city → district → street → community."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from api.access import GuardedRoute
from api.cursors import issue, redeem
from api.dependencies import Pool, WhoCalls, places
from api.models.ledger import Area, AreaDetail, AreaNode, AreaPage, AreaTree, Level
from api.parameters import AreaCode, Paged, Question
from api.problems import Problem, invalid, not_found
from api.roles import V1
from api.rows import fetch_all, fetch_one, one_page

router = APIRouter(prefix=f"{V1}/areas", tags=["areas"], route_class=GuardedRoute)

_TREE_AT_MOST = 10_000


class AreaFilters(Paged):
    level: Level | None = Field(None, description="Only areas of this level")
    parent: AreaCode | None = Field(None, description="Only areas directly under this one", examples=["410500"])


class TreeQuestion(Question):
    area: AreaCode | None = Field(None, description="The root; without it, every top of the tree", examples=["410500"])
    depth: int = Field(3, ge=0, le=5, description="How many levels below the root")


@router.get("", summary="List areas, by code")
def list_areas(pool: Pool, caller: WhoCalls, filters: Annotated[AreaFilters, Query()]) -> AreaPage:
    """Areas in the order of their codes."""
    after = redeem(filters, "areas", filters.cursor, (str,))[0] if filters.cursor else ""
    with pool.connection() as connection:
        rows = fetch_all(
            connection,
            "api_areas.list_areas",
            {
                "after": after,
                "level": filters.level,
                "parent": filters.parent,
                "areas": caller.scope.params()["areas"],
                "limit": filters.limit + 1,
            },
        )
    rows, following = one_page(rows, filters.limit, lambda row: issue(filters, "areas", (row["code"],)))
    return AreaPage(items=[Area.model_validate(row) for row in rows], next=following)


@router.get("/tree", summary="The tree of areas")
def tree(pool: Pool, caller: WhoCalls, question: Annotated[TreeQuestion, Query()]) -> AreaTree:
    """Areas with what lies in them, as deep as asked."""
    with pool.connection() as connection:
        rows = fetch_all(
            connection,
            "api_areas.tree",
            {
                "root": question.area,
                "areas": caller.scope.params()["areas"],
                "depth": question.depth,
                "limit": _TREE_AT_MOST + 1,
            },
        )
    if question.area is not None and not rows:
        raise invalid("area", question.area, "no area has this code; see /api/v1/areas")
    if len(rows) > _TREE_AT_MOST:
        raise Problem(
            "invalid", f"The tree has more than {_TREE_AT_MOST} areas: ask for less depth, or below one area."
        )
    nodes: dict[str, AreaNode] = {}
    roots = []
    for row in rows:
        nodes[row["code"]] = node = AreaNode(code=row["code"], name=row["name"], level=row["level"], children=[])
        if row["depth"] == 0:
            roots.append(node)
        else:
            nodes[row["parent_code"]].children.append(node)
    return AreaTree(roots=roots)


@router.get("/{code}", summary="One area, where it lies and what is in it")
def get_area(
    pool: Pool, caller: WhoCalls, code: Annotated[AreaCode, Path(description="行政区划代码", examples=["410502"])]
) -> AreaDetail:
    """An area with the line of areas above it and how much stands in it and below."""
    with pool.connection() as connection:
        line = [Area.model_validate(row) for row in fetch_all(connection, "api_areas.ancestors", {"code": code})]
        if not line or not caller.scope.holds_area(code):
            raise not_found(f"area {code!r}")
        figures = fetch_one(connection, "api_areas.figures", places(connection, caller.scope, code))
    return AreaDetail.model_validate({**line[0].model_dump(), **(figures or {}), "line": line[::-1]})
