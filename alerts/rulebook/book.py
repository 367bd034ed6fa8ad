"""The rules in force and their overrides, as versioned data in the database; the shipped pack is their first version.

A change notifies whoever holds a shard, at commit: its tenure ends, and the next one begins with the rules in force
then (ingest/load.py says what becomes of what is open).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from alerts.judge.outcome import RuleInForce, Variant
from alerts.rules import FilingRule, Rule, RuleError, RuleProblem, SystemRule, parse_rule, shipped_pack
from alerts.rules.override import CITY, Override, Scope, overridden, parse_override
from underfoot.alarms import Reason
from underfoot.audit.log import enter
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

SHIPPED = "shipped"
VERSIONS_AT_MOST = 1000
JUDGED_BY_HOLDERS = frozenset({"level", "rate", "forecast", "mismatch", "no_data", "late_hazard"})
"""Kinds of rules that the holder of a device's shard judges; other kinds have their alarms from `underfoot alerts`."""


class RuleConflictError(Exception):
    """Somebody else was quicker: the newest version is not the one that the change was made from."""

    def __init__(self, rule_id: str, scope: Scope, expected: int, newest: int) -> None:
        has = f"its newest version is {newest}" if newest else "there is none yet"
        super().__init__(f"{named(rule_id, scope)}: expected version {expected}, but {has}; look at it and try again")
        self.newest = newest


class NoSuchRuleError(LookupError):
    """There is no such rule, or no override of it for that scope."""


@dataclass(frozen=True)
class Version:
    """One version of a rule, or of its override for a scope, as it was put."""

    rule_id: str
    scope: Scope
    version: int
    body: dict[str, Any]
    withdrawn: bool
    created_at: datetime
    created_by: str


def named(rule_id: str, scope: Scope) -> str:
    return rule_id if scope == CITY else f"{rule_id} ({scope})"


# reading ------------------------------------------------------------------------------------------------------------


def rules_in_force(connection: Connection, kinds: Collection[str] | None = None) -> list[RuleInForce]:
    """Every rule (of these kinds) that is not withdrawn, with its variants. What this version of Underfoot can't read,
    since another has put it in force, is left out and told of: refusing to start would stop every rule."""
    rules: dict[str, tuple[Rule, int]] = {}
    variants: dict[str, list[Variant]] = {}
    for rule_id, scope, version, body, *_ in connection.execute(statement("rules.in_force")):
        try:
            if kinds is not None and scope == str(CITY) and body.get("kind") not in kinds:
                continue
            if scope == str(CITY):
                rules[rule_id] = parse_rule(body), version
            elif rule_id in rules:
                rule, of = rules[rule_id]
                variants.setdefault(rule_id, []).append(_variant(rule, of, parse_override(body), version))
        except RuleError as error:
            log.error("%s version %d can't be read, and is not judged: %s", rule_id, version, error)  # noqa: TRY400
    return [
        RuleInForce(rule, version, tuple(sorted(variants.get(rule_id, ()), key=lambda variant: variant.precedence)))
        for rule_id, (rule, version) in rules.items()
    ]


def rule_as_of(connection: Connection, rule_id: str, version: int, scope: Scope = CITY) -> RuleInForce:
    """The rule as it was for a scope at a version. Raises RuleError where this version of Underfoot can't read it."""
    params = {"rule_id": rule_id, "version": version}
    row = connection.execute(statement("rules.as_of"), params | {"scope": str(CITY)}).fetchone()
    if row is None:
        raise NoSuchRuleError(f"{rule_id}: there is no version {version}, nor one before")
    rule, of = parse_rule(row[1]), row[0]
    narrower = None
    if scope != CITY:
        narrower = connection.execute(statement("rules.as_of"), params | {"scope": str(scope)}).fetchone()
    if narrower is None:
        return RuleInForce(rule, of)
    in_force = RuleInForce(rule, of)
    return in_force.within(_variant(rule, of, parse_override(narrower[1]), narrower[0]))


def body_as_of(connection: Connection, rule_id: str, version: int, scope: Scope = CITY) -> dict[str, Any] | None:
    """The complete rule as data, as it was for a scope at a version, whether it can be read or not; None: it is not on
    record."""
    params = {"rule_id": rule_id, "version": version}
    city = connection.execute(statement("rules.as_of"), params | {"scope": str(CITY)}).fetchone()
    if city is None or scope == CITY:
        return None if city is None else city[1]
    narrower = connection.execute(statement("rules.as_of"), params | {"scope": str(scope)}).fetchone()
    own = {} if narrower is None else narrower[1]
    return {**city[1], **{name: value for name, value in own.items() if name not in ("scope", "enabled")}}


def rule_as_last_known(connection: Connection, rule_id: str) -> RuleInForce:
    """The newest version of a rule, withdrawn or not. Raises RuleError where it can't be read."""
    known = newest(connection, rule_id)
    if known is None:
        raise NoSuchRuleError(f"there has never been a rule {rule_id}")
    return RuleInForce(parse_rule(known.body), known.version)


def why_ended(connection: Connection, rule_id: str) -> Reason:
    """Why what is open under a rule can't go on: it was withdrawn, or it is another now."""
    known = newest(connection, rule_id)
    return Reason.rule_withdrawn if known is None or known.withdrawn else Reason.rule_changed


def versions(connection: Connection, rule_id: str, scope: Scope | None = None) -> list[Version]:
    """Every version of a rule and of its overrides, or of one scope's, newest first."""
    rows = connection.execute(statement("rules.versions"), {"rule_id": rule_id, "limit": VERSIONS_AT_MOST}).fetchall()
    if not rows:
        raise NoSuchRuleError(f"there has never been a rule {rule_id}")
    found = [_version(row) for row in rows]
    return [one for one in found if scope is None or one.scope == scope]


def history(connection: Connection, limit: int) -> list[Version]:
    """The newest changes of all rules, the newest first."""
    return [_version(row) for row in connection.execute(statement("rules.history"), {"limit": limit})]


def newest(connection: Connection, rule_id: str, scope: Scope = CITY) -> Version | None:
    """The newest version of a rule, or of its override for a scope, withdrawn or not."""
    row = connection.execute(statement("rules.newest"), {"rule_id": rule_id, "scope": str(scope)}).fetchone()
    return None if row is None else _version(row)


def in_force(connection: Connection) -> list[Version]:
    """Every rule and override in force as data, each rule before its overrides."""
    return [_version(row) for row in connection.execute(statement("rules.in_force"))]


def city_rule_ids(connection: Connection) -> list[str]:
    """The rules in force that no holder of a shard judges, whether this version of Underfoot can read them or not."""
    found = (one for one in in_force(connection) if one.scope == CITY)
    return [one.rule_id for one in found if one.body.get("kind") not in JUDGED_BY_HOLDERS]


def _version(row: Any) -> Version:
    return Version(row[0], Scope.parse(row[1]), *row[2:])


def unknown_scope(connection: Connection, scope: Scope) -> bool:
    """Whether the ledger has nothing within this scope: allowed, since it may come, but most often a slip."""
    if scope == CITY:
        return False
    params = {"kind": scope.kind, "name": scope.name}
    [(unknown,)] = connection.execute(statement("rules.unknown_scope"), params).fetchall()
    return bool(unknown)


# writing ------------------------------------------------------------------------------------------------------------


def put(connection: Connection, rule: Rule, *, actor: str, expected: int | None = None) -> int | None:
    """Put a rule in force as its next version, and return that; None where it is in force as it is.

    `expected`: the version that the change was made from (0: none), else RuleConflictError.
    """
    with connection.transaction():
        was = _begin(connection, rule.rule_id, CITY, expected)
        if was is not None and not was.withdrawn and _same(was.body, rule):
            return None
        _refuse_misfit(in_force(connection), rule)
        return _write(connection, rule.rule_id, CITY, rule.model_dump(mode="json"), was, actor=actor)


def put_override(connection: Connection, override: Override, *, actor: str, expected: int | None = None) -> int | None:
    """The same for a narrower scope of a rule in force."""
    with connection.transaction():
        was = _begin(connection, override.rule_id, override.scope, expected)
        complete = _complete(_rule_in_force(connection, override.rule_id), override)
        if was is not None and not was.withdrawn and was.body == complete:
            return None
        return _write(connection, override.rule_id, override.scope, complete, was, actor=actor)


def withdraw(
    connection: Connection, rule_id: str, scope: Scope = CITY, *, actor: str, expected: int | None = None
) -> int:
    """Take a rule, or its override for a scope, out of force. Returns the version that says so."""
    with connection.transaction():
        was = _begin(connection, rule_id, scope, expected)
        if was is None or was.withdrawn:
            raise NoSuchRuleError(f"{named(rule_id, scope)}: is not in force")
        if scope == CITY and was.body.get("kind") == "system":
            raise RuleError(
                rule_id, RuleProblem(("kind",), "system", "tells of Underfoot's own failures, and can't be withdrawn")
            )
        return _write(connection, rule_id, scope, was.body, was, actor=actor, withdrawn=True)


def restore(connection: Connection, rule_id: str, *, actor: str, expected: int | None = None) -> int | None:
    """Put the shipped rule in force again; from then on it follows what ships. None where it does already."""
    shipped = next((rule for rule in shipped_pack() if rule.rule_id == rule_id), None)
    if shipped is None:
        raise NoSuchRuleError(f"{rule_id}: does not ship; `underfoot rules export --shipped` shows what does")
    with connection.transaction():
        was = _begin(connection, rule_id, CITY, expected)
        if was is not None and not was.withdrawn and was.created_by == SHIPPED and _same(was.body, shipped):
            return None
        _refuse_misfit(in_force(connection), shipped)
        return _write(connection, rule_id, CITY, shipped.model_dump(mode="json"), was, actor=actor, author=SHIPPED)


def install_shipped(connection: Connection) -> int:
    """Add shipped rules that are new or changed as new versions, and withdraw those that no longer ship; a city's own
    edits stay. Returns how many versions are new."""
    if not _news(connection) and not _retired(in_force(connection)):
        return 0
    added: dict[str, int] = {}
    withdrawn: dict[str, int] = {}
    with connection.transaction():
        connection.execute(statement("rules.lock"))
        known = in_force(connection)
        for old in _retired(known):
            withdrawn[old.rule_id] = _add(connection, old.rule_id, CITY, old.body, author=SHIPPED, withdrawn=True)
        for rule in _news(connection):
            try:
                _refuse_misfit(known, rule)
            except RuleError as error:
                # A city's override counts for more than our news: the rule stays as it was.
                log.error("%s: the shipped rule has changed, but stays as it was: %s", rule.rule_id, error)  # noqa: TRY400
                continue
            body = rule.model_dump(mode="json")
            added[rule.rule_id] = _add(connection, rule.rule_id, CITY, body, author=SHIPPED, withdrawn=False)
        if added or withdrawn:
            enter(connection, SHIPPED, "rules.ship", "rules", {"put": added, "withdrawn": withdrawn})
    return len(added) + len(withdrawn)


def _retired(known: Iterable[Version]) -> list[Version]:
    """Rules in force as they shipped once, which ship no more: another has taken over what they were for."""
    ships = {rule.rule_id for rule in shipped_pack()}
    return [one for one in known if one.scope == CITY and one.created_by == SHIPPED and one.rule_id not in ships]


def _news(connection: Connection) -> list[Rule]:
    """Shipped rules that are new, or of which the newest version is an earlier shipped one."""
    newest = {row[0]: row[1:] for row in connection.execute(statement("rules.newest_of_all"))}
    unknown: tuple[dict[str, Any], str] = ({}, SHIPPED)
    found = ((rule, *newest.get(rule.rule_id, unknown)) for rule in shipped_pack())
    return [rule for rule, body, author in found if author == SHIPPED and not _same(body, rule)]


def check_all(rules: Iterable[Rule]) -> list[RuleError]:
    """What is wrong with these rules together: of some kinds there is one for a family."""
    seen: dict[tuple[str, str], str] = {}
    wrong: list[RuleError] = []
    for rule in rules:
        family = getattr(rule, "family", None)
        if rule.kind not in ONE_A_FAMILY or family is None:
            continue
        other = seen.setdefault((rule.kind, family), rule.rule_id)
        if other != rule.rule_id:
            wrong.append(RuleError(rule.rule_id, _second(rule.kind, family, other)))
    return wrong


ONE_A_FAMILY = frozenset({"no_data", "late_hazard"})


def _second(kind: str, family: str, other: str) -> RuleProblem:
    return RuleProblem(("kind",), kind, f"family {family} has such a rule, {other}: edit or withdraw that one")


def _begin(connection: Connection, rule_id: str, scope: Scope, expected: int | None) -> Version | None:
    connection.execute(statement("rules.lock"))
    was = newest(connection, rule_id, scope)
    version = was.version if was is not None else 0
    if expected is not None and expected != version:
        raise RuleConflictError(rule_id, scope, expected, version)
    return was


def _rule_in_force(connection: Connection, rule_id: str) -> Rule:
    known = newest(connection, rule_id)
    if known is None or known.withdrawn:
        raise NoSuchRuleError(f"{rule_id}: is not in force; an override needs the city's rule")
    return parse_rule(known.body)


def _variant(rule: Rule, of: int, override: Override, version: int) -> Variant:
    return Variant(override.scope, overridden(rule, override), max(of, version), override.enabled)


def _complete(rule: Rule, override: Override) -> dict[str, Any]:
    """The override as it is kept: its numbers as the rule's kind writes them."""
    numbers = overridden(rule, override).model_dump(mode="json")
    kept = override.model_dump(mode="json")
    return {name: numbers[name] if name in override.numbers else value for name, value in kept.items()}


def _same(body: dict[str, Any], rule: Rule) -> bool:
    try:
        return parse_rule(body) == rule
    except RuleError:
        return False


def _refuse_misfit(known: Iterable[Version], rule: Rule) -> None:
    """A rule that its overrides no longer fit, or that there may be one of and is another, is not taken."""
    known = list(known)
    problems: list[RuleProblem] = _without_filing(known, rule)
    for other in known:
        rule_id, scope, body = other.rule_id, other.scope, other.body
        if rule_id == rule.rule_id and scope == CITY:
            needed = body.get("kind") == "system"
            if needed and not isinstance(rule, SystemRule):
                problems.append(
                    RuleProblem(("kind",), rule.kind, "tells of Underfoot's own failures: it stays `system`")
                )
        elif rule_id == rule.rule_id:
            try:
                _complete(rule, parse_override(body))
            except RuleError as error:
                why = "; ".join(str(problem) for problem in error.problems)
                problems.append(RuleProblem((), rule.kind, f"its override for {scope} no longer fits: {why}"))
        elif (
            scope == CITY
            and rule.kind in ONE_A_FAMILY
            and (body.get("kind"), body.get("family")) == (rule.kind, getattr(rule, "family", None))
        ):
            problems.append(_second(rule.kind, body["family"], rule_id))
    if problems:
        raise RuleError(rule.rule_id, *problems)


def _without_filing(known: Iterable[Version], rule: Rule) -> list[RuleProblem]:
    """A rule whose alarms are to be filed by a 立案条件 that there is not."""
    case = getattr(rule, "case", None)
    if case is None or case.filing is None:
        return []
    there = {one.rule_id for one in known if one.body.get("kind") == "filing"}
    there |= {shipped.rule_id for shipped in shipped_pack() if isinstance(shipped, FilingRule)}
    if case.filing in there:
        return []
    why = f"there is no such 立案条件 in force; there are {', '.join(sorted(there))}"
    return [RuleProblem(("case", "filing"), case.filing, why)]


def _write(
    connection: Connection,
    rule_id: str,
    scope: Scope,
    body: dict[str, Any],
    was: Version | None,
    *,
    actor: str,
    author: str | None = None,
    withdrawn: bool = False,
) -> int:
    version = _add(connection, rule_id, scope, body, author=author or actor, withdrawn=withdrawn)
    action = "rule.withdraw" if withdrawn else "rule.restore" if author == SHIPPED else "rule.put"
    detail = {"scope": str(scope), "version": version, "was": was.version if was is not None else 0}
    enter(connection, actor, action, rule_id, detail)
    connection.execute(statement("rules.notify"))
    return version


def _add(
    connection: Connection, rule_id: str, scope: Scope, body: dict[str, Any], *, author: str, withdrawn: bool
) -> int:
    [(version,)] = connection.execute(statement("rules.next_version"), {"rule_id": rule_id}).fetchall()
    row = {"rule_id": rule_id, "scope": str(scope), "version": version, "body": Jsonb(body)}
    connection.execute(statement("rules.add"), row | {"withdrawn": withdrawn, "created_by": author})
    return int(version)
