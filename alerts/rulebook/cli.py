"""`underfoot rules …`: the rulebook from the command line. Look, check, import, export, withdraw, restore."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alerts.backtest.cli import commands as backtest_commands
from alerts.rulebook import book as rulebook
from alerts.rulebook.book import NoSuchRuleError, Version
from alerts.rulebook.changes import Change, differences, put_all
from alerts.rulebook.files import FileProblem, RuleFile, read_rules, written
from alerts.rules import Rule, RuleError, parse_rule, shipped_pack
from alerts.rules.override import CITY, Override, Scope, parse_override
from underfoot.city_time import CITY_ZONE
from underfoot.families import FAMILIES
from underfoot.settings import load
from underfoot.terminal import actor, connect_migrated

out = Console()
err = Console(stderr=True)

commands = typer.Typer()
rules = typer.Typer(no_args_is_help=True, help="When alarms are raised (规则): versioned data, per city and scope.")
commands.add_typer(rules, name="rules")
rules.add_typer(backtest_commands)

_Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_File = Annotated[Path, typer.Argument(help="A YAML file of rules.", exists=True, dir_okay=False, readable=True)]
_RuleId = Annotated[str, typer.Argument(metavar="RULE", help="A rule's id, e.g. road.ponding.", show_default=False)]
_Scope = Annotated[
    str,
    typer.Option(help="city, or of which override: area:CODE, tag:TAG or device:ID.", metavar="SCOPE"),
]


@rules.command("list")
def rules_list(
    family: Annotated[str | None, typer.Option(help=f"Only of {', '.join(FAMILIES)}.", show_default=False)] = None,
    as_json: _Json = False,
) -> None:
    """List the rules in force, and for whom their numbers differ."""
    if family is not None and family not in FAMILIES:
        raise typer.BadParameter(f"{family!r}: one of {', '.join(FAMILIES)}", param_hint="--family")
    with connect_migrated("cli") as connection:
        found = rulebook.in_force(connection)
    rows: dict[str, dict[str, Any]] = {}
    for one in found:
        if one.scope == CITY and family in (None, one.body.get("family")):
            rows[one.rule_id] = {
                "rule_id": one.rule_id,
                "kind": one.body.get("kind"),
                "title": one.body.get("title"),
                "version": one.version,
                "by": one.created_by,
                "scopes": [],
            }
        elif one.rule_id in rows:
            rows[one.rule_id]["scopes"].append(str(one.scope))
    if as_json:
        _print_json(list(rows.values()))
        return
    table = Table("rule", "", "kind", "version", "by", "other numbers for")
    for row in rows.values():
        cells = (row["rule_id"], row["title"], row["kind"], f"v{row['version']}", row["by"], ", ".join(row["scopes"]))
        table.add_row(*(Text(str(cell)) for cell in cells))
    out.print(table)


@rules.command("show")
def rules_show(
    rule_id: _RuleId,
    all_versions: Annotated[
        bool, typer.Option("--versions", help="Every version there was, with what changed.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Print a rule as it is in force, with its overrides: as a file that `rules import` takes."""
    with connect_migrated("cli") as connection:
        try:
            found = rulebook.versions(connection, rule_id)
        except NoSuchRuleError as error:
            _fail(str(error), as_json)
    if all_versions:
        _print_versions(found, as_json)
        return
    newest = _newest(found)
    if as_json:
        _print_json([_as_dict(one) for one in newest])
        return
    for one in newest:
        state = "withdrawn in" if one.withdrawn else "in force since"
        typer.echo(f"# {rulebook.named(rule_id, one.scope)}: {state} version {one.version}, {_when(one)}")
    living = [one for one in newest if not one.withdrawn]
    city = [parse_rule(one.body) for one in living if one.scope == CITY]
    typer.echo(written(city, [parse_override(one.body) for one in living if one.scope != CITY]), nl=False)


@rules.command("history")
def rules_history(
    rule_id: Annotated[
        str | None, typer.Argument(metavar="[RULE]", help="Only of this rule.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many changes.")] = 50,
    as_json: _Json = False,
) -> None:
    """Who changed which rule, when, and how: the newest first."""
    with connect_migrated("cli") as connection:
        try:
            found = rulebook.history(connection, limit) if rule_id is None else rulebook.versions(connection, rule_id)
            before = {one.rule_id: rulebook.versions(connection, one.rule_id) for one in found}
        except NoSuchRuleError as error:
            _fail(str(error), as_json)
    _print_versions(found[:limit], as_json, before)


@rules.command("check")
def rules_check(file: _File, as_json: _Json = False) -> None:
    """Say everything that is wrong with a file of rules: its line, rule, field, value and why. Changes nothing.

    An override is held against the rule in the file, else the one in force; without a database, the one that ships.
    """
    found = read_rules(file.read_bytes(), str(file), _known())
    if found.problems:
        _refuse(found.problems, as_json)
    if as_json:
        _print_json({"rules": len(found.rules), "overrides": len(found.overrides), "problems": []})
    else:
        out.print(Text(f"{file}: {_counted(found)}; nothing is wrong."))


@rules.command("import")
def rules_import(
    file: _File,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    as_json: _Json = False,
) -> None:
    """Put the rules and overrides of a file in force, each as its next version; all of them or none.

    What is in force and not in the file stays: `rules withdraw` takes it away.
    """
    with connect_migrated("cli") as connection:
        known = {one.rule.rule_id: one.rule for one in rulebook.rules_in_force(connection)}
        found = read_rules(file.read_bytes(), str(file), known)
        if found.problems:
            _refuse(found.problems, as_json)
        try:
            changes = put_all(connection, found.rules, found.overrides, actor=actor(), dry_run=dry_run)
        except RuleError as error:
            _fail(str(error), as_json)
        unknown = [one.scope for one in found.overrides if rulebook.unknown_scope(connection, one.scope)]
    if as_json:
        said = {"changes": [asdict(one) for one in changes], "unknown_scopes": [str(scope) for scope in unknown]}
        _print_json({"dry_run": dry_run} | said)
        return
    _print_changes(changes, dry_run=dry_run)
    for scope in unknown:
        err.print(Text(f"The ledger has nothing in {scope}: numbers for it wait until it has.", style="yellow"))


@rules.command("export")
def rules_export(
    rule_id: Annotated[str | None, typer.Option("--rule", metavar="RULE", help="Only this rule.")] = None,
    shipped: Annotated[bool, typer.Option("--shipped", help="What ships, instead of what is in force.")] = False,
) -> None:
    """Write the rules in force and their overrides as a file that `rules import` takes; it changes nothing then."""
    overrides: list[Override] = []
    if shipped:
        found: list[Rule] = list(shipped_pack())
    else:
        with connect_migrated("cli") as connection:
            bodies = rulebook.in_force(connection)
        found = [parse_rule(one.body) for one in bodies if one.scope == CITY]
        overrides = [parse_override(one.body) for one in bodies if one.scope != CITY]
    if rule_id is not None:
        found = [rule for rule in found if rule.rule_id == rule_id]
        overrides = [override for override in overrides if override.rule_id == rule_id]
        if not found:
            _fail(f"{rule_id}: {'does not ship' if shipped else 'is not in force'}; `underfoot rules list` shows them")
    typer.echo(written(found, overrides), nl=False)


@rules.command("withdraw")
def rules_withdraw(rule_id: _RuleId, scope: _Scope = "city", as_json: _Json = False) -> None:
    """Take a rule, or its override for a scope, out of force. What is open under a withdrawn rule ends."""
    wanted = _scope(scope)
    with connect_migrated("cli") as connection:
        try:
            version = rulebook.withdraw(connection, rule_id, wanted, actor=actor())
        except (NoSuchRuleError, RuleError) as error:
            _fail(str(error), as_json)
    if as_json:
        _print_json({"rule_id": rule_id, "scope": str(wanted), "version": version, "withdrawn": True})
    elif wanted == CITY:
        out.print(Text(f"{rule_id} is withdrawn (version {version}); what is open under it ends."))
    else:
        out.print(Text(f"{rule_id}: {wanted} has no numbers of its own any more (version {version})."))


@rules.command("restore")
def rules_restore(rule_id: _RuleId, as_json: _Json = False) -> None:
    """Put the rule that ships in force again. From then on it follows what ships."""
    with connect_migrated("cli") as connection:
        try:
            version = rulebook.restore(connection, rule_id, actor=actor())
        except (NoSuchRuleError, RuleError) as error:
            _fail(str(error), as_json)
    if as_json:
        _print_json({"rule_id": rule_id, "version": version, "changed": version is not None})
    elif version is None:
        out.print(Text(f"{rule_id} is as it ships; nothing was changed."))
    else:
        out.print(Text(f"{rule_id} is as it ships again (version {version})."))


# what was asked for -------------------------------------------------------------------------------------------------


def _known() -> dict[str, Rule]:
    if load().database_url is None:
        err.print("No database is set: overrides are held against the rules that ship.", style="dim")
        return {rule.rule_id: rule for rule in shipped_pack()}
    with connect_migrated("cli") as connection:
        return {one.rule.rule_id: one.rule for one in rulebook.rules_in_force(connection)}


def _scope(text: str) -> Scope:
    try:
        return Scope.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--scope") from None


# what is told -------------------------------------------------------------------------------------------------------


def _newest(found: list[Version]) -> list[Version]:
    newest: dict[str, Version] = {}
    for one in found:
        newest.setdefault(str(one.scope), one)
    return sorted(newest.values(), key=lambda one: one.scope.precedence)


def _print_versions(found: list[Version], as_json: bool, of: dict[str, list[Version]] | None = None) -> None:
    rows = []
    for one in found:
        every = found if of is None else of[one.rule_id]
        earlier = next((was for was in every if was.scope == one.scope and was.version < one.version), None)
        rows.append(_as_dict(one) | {"differences": _changed(earlier, one)})
    if as_json:
        _print_json(rows)
        return
    table = Table("rule", "version", "when", "by", "what changed")
    for one, row in zip(found, rows, strict=True):
        what = "\n".join(row["differences"])
        cells = (rulebook.named(one.rule_id, one.scope), f"v{one.version}", _local(one), one.created_by, what)
        table.add_row(*(Text(cell) for cell in cells))
    out.print(table)


def _changed(earlier: Version | None, one: Version) -> list[str]:
    if one.withdrawn:
        return ["withdrawn"]
    if earlier is None:
        return ["new"]
    again = ["in force again"] if earlier.withdrawn else []
    return again + differences(earlier.body, one.body)


def _print_changes(changes: list[Change], *, dry_run: bool) -> None:
    for one in changes:
        if one.change != "unchanged":
            version = "" if dry_run else f" (version {one.version})"
            out.print(Text(f"{one.change}: {one.rule}{version}"))
            for line in one.differences:
                out.print(Text(f"    {line}"))
    counts = {name: sum(one.change == name for one in changes) for name in ("new", "changed", "unchanged")}
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    out.print(Text(f"{said}; nothing was put in force, as asked." if dry_run else f"{said}."))


def _counted(found: RuleFile) -> str:
    return f"{len(found.rules)} rules, {len(found.overrides)} overrides"


def _refuse(problems: list[FileProblem], as_json: bool) -> NoReturn:
    if as_json:
        said = [
            {
                "file": one.origin,
                "line": one.line,
                "rule": one.rule,
                "field": one.problem.field,
                "value": one.problem.value,
                "why": one.problem.why,
            }
            for one in problems
        ]
        _print_json({"problems": said})
    else:
        for one in problems:
            err.print(Text(str(one), style="red"), soft_wrap=True)
    raise typer.Exit(1)


def _as_dict(one: Version) -> dict[str, Any]:
    return {
        "rule_id": one.rule_id,
        "scope": str(one.scope),
        "version": one.version,
        "withdrawn": one.withdrawn,
        "at": one.created_at.isoformat(),
        "by": one.created_by,
        "body": one.body,
    }


def _when(one: Version) -> str:
    return f"{_local(one)}, by {one.created_by}"


def _local(one: Version) -> str:
    return f"{one.created_at.astimezone(CITY_ZONE):%Y-%m-%d %H:%M:%S}"


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def _fail(message: str, as_json: bool = False) -> NoReturn:
    if as_json:
        _print_json({"error": message})
    else:
        err.print(Text(message, style="red"), soft_wrap=True)
    raise typer.Exit(1)
