"""Rules (规则): what is in force, and every version there was. Read-only."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from api.access import GuardedRoute
from api.cursors import issue, redeem
from api.dependencies import Pool
from api.models.records import RuleDetail, RulePage, RuleVersion
from api.parameters import FamilyName, Paged, RuleId
from api.problems import not_found
from api.roles import V1
from api.rows import fetch_all, one_page

router = APIRouter(prefix=f"{V1}/rules", tags=["rules"], route_class=GuardedRoute)

_VERSIONS_AT_MOST = 1000


class RuleFilters(Paged):
    family: FamilyName | None = Field(None, description="设备类别")


@router.get("", summary="List the rules in force")
def list_rules(pool: Pool, filters: Annotated[RuleFilters, Query()]) -> RulePage:
    """The newest version of every rule that is not withdrawn, by its id."""
    after = redeem(filters, "rules", filters.cursor, (str,))[0] if filters.cursor else ""
    with pool.connection() as connection:
        rows = fetch_all(
            connection,
            "api_rules.list_rules",
            {"after": after, "family": filters.family, "limit": filters.limit + 1},
        )
    rows, following = one_page(rows, filters.limit, lambda row: issue(filters, "rules", (row["rule_id"],)))
    return RulePage(items=[RuleVersion.of(row) for row in rows], next=following)


@router.get("/{rule_id}", summary="One rule with its versions")
def get_rule(
    pool: Pool, rule_id: Annotated[RuleId, Path(description="The rule's id", examples=["cover.tilt"])]
) -> RuleDetail:
    """A rule is edited as a new version; an alarm names the version that raised it."""
    with pool.connection() as connection:
        rows = fetch_all(connection, "api_rules.versions_of", {"rule_id": rule_id, "limit": _VERSIONS_AT_MOST})
    if not rows:
        raise not_found(f"rule {rule_id!r}")
    versions = [RuleVersion.of(row) for row in rows]
    newest = versions[0]
    return RuleDetail(rule_id=rule_id, in_force=None if newest.withdrawn else newest, versions=versions)
