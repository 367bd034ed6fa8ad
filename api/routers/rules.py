"""Rules (规则): what is in force and every version there was; for administrators, putting new versions in force.

`underfoot rules` does the same without a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import Response
from pydantic import Field, StringConstraints

from alerts.rulebook import book as rulebook
from alerts.rulebook.book import NoSuchRuleError, RuleConflictError, Version
from alerts.rulebook.changes import put_all
from alerts.rulebook.files import ItemProblem as Found
from alerts.rulebook.files import take, written
from alerts.rules import RuleError, parse_rule
from alerts.rules.override import CITY, Scope, parse_override
from api.access import GuardedRoute
from api.cursors import issue, redeem
from api.dependencies import Pool, WhoCalls
from api.models.rules import (
    Checked,
    ItemChange,
    ItemProblem,
    ItemsWanted,
    OverrideWanted,
    RuleChanged,
    RuleDetail,
    RuleListed,
    RulePage,
    RuleVersion,
    RuleWanted,
    field_errors,
)
from api.parameters import FamilyName, Paged, RuleId
from api.problems import Problem, invalid, not_found
from api.roles import V1
from api.rows import fetch_all, one_page
from underfoot.storage.connect import Connection

router = APIRouter(prefix=f"{V1}/rules", tags=["rules"], route_class=GuardedRoute)

RuleIdPath = Annotated[RuleId, Path(description="The rule's id", examples=["cover.tilt"])]
ScopePath = Annotated[
    Annotated[str, StringConstraints(max_length=80)],
    Path(description="Whom the numbers are for: area:CODE, tag:TAG or device:ID", examples=["tag:学校门口"]),
]
Expected = Annotated[
    str | None,
    Header(
        alias="If-Match",
        pattern=r'^"?[0-9]{1,9}"?$',
        description="The version that the change was made from (0: none yet); if it isn't the newest any more: 409",
        examples=['"3"'],
    ),
]


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
    items = [RuleListed.of(Version(scope=CITY, **_known(row)), scopes=row["scopes"]) for row in rows]
    return RulePage(items=items, next=following)


@router.get(
    "/export",
    summary="Every rule and override in force, as a file",
    response_class=Response,
    responses={200: {"content": {"application/yaml": {"schema": {"type": "string"}, "example": "- rule_id: …\n"}}}},
)
def export_rules(pool: Pool) -> Response:
    """YAML that `underfoot rules import` takes, and that changes nothing then."""
    with pool.connection() as connection:
        found = rulebook.in_force(connection)
    rules = [parse_rule(one.body) for one in found if one.scope == CITY]
    overrides = [parse_override(one.body) for one in found if one.scope != CITY]
    return Response(written(rules, overrides), media_type="application/yaml")


@router.post("/check", summary="Say what is wrong with rules, and what they would change")
def check_rules(pool: Pool, caller: WhoCalls, wanted: ItemsWanted) -> Checked:
    """Nothing is put in force."""
    with pool.connection() as connection:
        known = {one.rule.rule_id: one.rule for one in rulebook.rules_in_force(connection)}
        taken = take(wanted.items, known)
        if taken.problems:
            return Checked(problems=[ItemProblem.of(one) for one in taken.problems], changes=[])
        try:
            changes = put_all(connection, taken.rules, taken.overrides, actor=caller.name, dry_run=True)
        except RuleError as error:
            item = taken.items.get(error.rule, 0)
            found = [Found(item, error.rule, problem) for problem in error.problems]
            return Checked(problems=[ItemProblem.of(one) for one in found], changes=[])
    return Checked(problems=[], changes=[ItemChange.of(one) for one in changes])


@router.get("/{rule_id}", summary="One rule with its overrides and versions")
def get_rule(pool: Pool, rule_id: RuleIdPath) -> RuleDetail:
    """A rule is edited as a new version; an alarm names the version that raised it."""
    with pool.connection() as connection:
        try:
            found = rulebook.versions(connection, rule_id)
        except NoSuchRuleError:
            raise not_found(f"rule {rule_id!r}") from None
        # Of an override, the rule as it was with it.
        whole = {one.version: rulebook.body_as_of(connection, rule_id, one.version, one.scope) for one in found}
    newest: dict[Scope, Version] = {}
    for one in found:
        newest.setdefault(one.scope, one)
    shown = {one.version: RuleVersion.of(one, whole[one.version]) for one in found}
    city = newest.pop(CITY, None)
    narrower = sorted(newest.values(), key=lambda one: (one.scope.precedence, one.scope.name))
    return RuleDetail(
        rule_id=rule_id,
        in_force=None if city is None or city.withdrawn else shown[city.version],
        overrides=[shown[one.version] for one in narrower if not one.withdrawn],
        versions=list(shown.values()),
    )


@router.put("/{rule_id}", summary="Put a rule in force, as its next version")
def put_rule(
    pool: Pool, caller: WhoCalls, rule_id: RuleIdPath, wanted: RuleWanted, expected: Expected = None
) -> RuleChanged:
    """What is open under the version before carries on under this one, or ends with the reason `rule_changed`."""
    body = wanted.model_dump() | {"rule_id": wanted.model_dump().get("rule_id", rule_id)}
    if body["rule_id"] != rule_id:
        raise invalid("rule_id", body["rule_id"], f"the path says {rule_id}", place="body")
    with _refusals(), pool.connection() as connection:
        version = rulebook.put(connection, parse_rule(body), actor=caller.name, expected=_version(expected))
        return _changed(connection, rule_id, CITY, version)


@router.delete("/{rule_id}", summary="Withdraw a rule")
def withdraw_rule(pool: Pool, caller: WhoCalls, rule_id: RuleIdPath, expected: Expected = None) -> RuleChanged:
    """What is open under it ends with the reason `rule_withdrawn`."""
    with _refusals(), pool.connection() as connection:
        version = rulebook.withdraw(connection, rule_id, actor=caller.name, expected=_version(expected))
    return RuleChanged(changed=True, version=version)


@router.post("/{rule_id}/restore", summary="Put the rule that ships in force again")
def restore_rule(pool: Pool, caller: WhoCalls, rule_id: RuleIdPath, expected: Expected = None) -> RuleChanged:
    """From then on it follows what ships."""
    with _refusals(), pool.connection() as connection:
        version = rulebook.restore(connection, rule_id, actor=caller.name, expected=_version(expected))
        return _changed(connection, rule_id, CITY, version)


@router.put("/{rule_id}/overrides/{scope}", summary="Give a rule other numbers for a narrower scope")
def put_override(
    pool: Pool,
    caller: WhoCalls,
    rule_id: RuleIdPath,
    scope: ScopePath,
    wanted: OverrideWanted,
    expected: Expected = None,
) -> RuleChanged:
    """It starts from the city's rule, and counts where nothing narrower does: device before tag before area."""
    body = wanted.model_dump() | {"rule_id": rule_id, "scope": str(_scope(scope))}
    with _refusals(), pool.connection() as connection:
        override = parse_override(body)
        version = rulebook.put_override(connection, override, actor=caller.name, expected=_version(expected))
        return _changed(connection, rule_id, override.scope, version)


@router.delete("/{rule_id}/overrides/{scope}", summary="Take a scope's own numbers away")
def withdraw_override(
    pool: Pool, caller: WhoCalls, rule_id: RuleIdPath, scope: ScopePath, expected: Expected = None
) -> RuleChanged:
    """What counts there then is what counts without it."""
    narrower = _scope(scope)
    with _refusals(), pool.connection() as connection:
        version = rulebook.withdraw(connection, rule_id, narrower, actor=caller.name, expected=_version(expected))
    return RuleChanged(changed=True, version=version)


def _scope(text: str) -> Scope:
    try:
        scope = Scope.parse(text)
    except ValueError as error:
        raise invalid("scope", text, str(error), place="path") from None
    if scope == CITY:
        raise invalid("scope", text, "the city's numbers are the rule's own: PUT or DELETE the rule", place="path")
    return scope


def _version(expected: str | None) -> int | None:
    return None if expected is None else int(expected.strip('"'))


def _known(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("rule_id", "version", "body", "withdrawn", "created_at", "created_by")}


def _changed(connection: Connection, rule_id: str, scope: Scope, version: int | None) -> RuleChanged:
    if version is not None:
        return RuleChanged(changed=True, version=version)
    newest = rulebook.newest(connection, rule_id, scope)
    return RuleChanged(changed=False, version=newest.version if newest is not None else 0)


@contextmanager
def _refusals() -> Iterator[None]:
    """What the rulebook refuses, as problems."""
    try:
        yield
    except RuleConflictError as error:
        raise Problem("conflict", f"{error}.", more={"newest_version": error.newest}) from None
    except NoSuchRuleError as error:
        raise Problem("not-found", f"{error}.") from None
    except RuleError as error:
        errors = field_errors(error)
        raise Problem("invalid", str(error).replace("\n", "; "), errors=errors) from None
