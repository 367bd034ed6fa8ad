"""The rulebook in the database: versions, overrides, conflicts, what ships; and `underfoot rules …` as typed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from rich.console import Console
from typer.testing import CliRunner

from alerts.judge.outcome import RuleInForce
from alerts.rulebook import book as rulebook
from alerts.rulebook import cli as rules_cli
from alerts.rulebook.book import (
    NoSuchRuleError,
    RuleConflictError,
    install_shipped,
    put,
    put_override,
    restore,
    rule_as_of,
    rules_in_force,
    versions,
    withdraw,
)
from alerts.rulebook.cli import commands
from alerts.rules import LevelRule, Rule, RuleError, parse_rule, shipped_pack
from alerts.rules.override import Scope, parse_override
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import statement

PACK: dict[str, Rule] = {rule.rule_id: rule for rule in shipped_pack()}
SCHOOL = {
    "rule_id": "road.ponding",
    "scope": "tag:学校门口",
    "source": "half the depth",
    "levels": [{"severity": "red", "limit": 20, "dead_band": 3}],
}


_EMPTIED = """
SET session_replication_role = replica;
DELETE FROM rules;
DELETE FROM audit;
RESET session_replication_role;
"""


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database, "test", autocommit=True) as opened:
        opened.execute(_EMPTIED)
        yield opened


@pytest.fixture
def database(module_database: str) -> str:
    return module_database


def edited(rule_id: str = "road.ponding", **changes: Any) -> Rule:
    return parse_rule(PACK[rule_id].model_dump(mode="json") | {"source": "a test"} | changes)


def in_force(connection: Connection) -> dict[str, RuleInForce]:
    return {one.rule.rule_id: one for one in rules_in_force(connection)}


# versions -----------------------------------------------------------------------------------------------------------


def test_what_ships_no_more_is_withdrawn_but_not_what_a_city_has_made_of_it(connection: Connection) -> None:
    install_shipped(connection)
    ours = edited(rule_id="cover.signal").model_copy(update={"rule_id": "cover.of_yesterday"})
    theirs = ours.model_copy(update={"rule_id": "cover.of_the_city"})
    for rule, author in ((ours, "shipped"), (theirs, "王工")):
        connection.execute(
            statement("rules.add"),
            {
                "rule_id": rule.rule_id,
                "scope": "city",
                "version": 1,
                "body": Jsonb(rule.model_dump(mode="json")),
                "withdrawn": False,
                "created_by": author,
            },
        )
    assert install_shipped(connection) == 1
    assert "cover.of_yesterday" not in in_force(connection)
    assert "cover.of_the_city" in in_force(connection)
    assert install_shipped(connection) == 0


def test_the_pack_is_installed_once(connection: Connection) -> None:
    assert install_shipped(connection) == len(PACK)
    assert install_shipped(connection) == 0
    assert {one.rule.rule_id: one.rule for one in rules_in_force(connection)} == PACK


def test_a_rule_is_edited_withdrawn_and_put_in_force_again(connection: Connection) -> None:
    install_shipped(connection)
    deeper = edited(off_delay_s=60)
    assert put(connection, deeper, actor="li") == 2
    assert put(connection, deeper, actor="li") is None
    assert in_force(connection)["road.ponding"].rule == deeper
    assert withdraw(connection, "road.ponding", actor="li") == 3
    assert "road.ponding" not in in_force(connection)
    assert put(connection, deeper, actor="wang") == 4
    found = [(one.version, one.withdrawn, one.created_by) for one in versions(connection, "road.ponding")]
    assert found == [(4, False, "wang"), (3, True, "li"), (2, False, "li"), (1, False, "shipped")]
    assert rule_as_of(connection, "road.ponding", 1).rule == PACK["road.ponding"]
    assert rule_as_of(connection, "road.ponding", 3).rule == deeper
    audited = connection.execute(
        "SELECT actor, action, detail ->> 'version' FROM audit WHERE action <> 'rules.ship' ORDER BY audit_key"
    ).fetchall()
    assert audited == [("li", "rule.put", "2"), ("li", "rule.withdraw", "3"), ("wang", "rule.put", "4")]


def test_who_was_slower_is_told(connection: Connection) -> None:
    install_shipped(connection)
    assert put(connection, edited(off_delay_s=60), actor="li", expected=1) == 2
    with pytest.raises(RuleConflictError, match=r"road\.ponding: expected version 1, but its newest version is 2"):
        put(connection, edited(off_delay_s=90), actor="wang", expected=1)
    with pytest.raises(RuleConflictError, match="there is none yet"):
        put_override(connection, parse_override(SCHOOL), actor="wang", expected=3)
    with pytest.raises(RuleConflictError):
        withdraw(connection, "road.ponding", actor="wang", expected=1)
    assert put_override(connection, parse_override(SCHOOL), actor="wang", expected=0) == 3


def test_of_two_edits_at_the_same_moment_one_is_told(connection: Connection, database: str) -> None:
    install_shipped(connection)
    outcomes: list[object] = []

    def edit(wait: float) -> None:
        with connect(database, "test", autocommit=True) as own:
            try:
                outcomes.append(put(own, edited(off_delay_s=wait), actor="li", expected=1))
            except RuleConflictError as error:
                outcomes.append(error.newest)

    threads = [threading.Thread(target=edit, args=(wait,)) for wait in (60, 90)]
    with connection.transaction():
        connection.execute(statement("rules.lock"))
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [2, 2]
    assert [one.version for one in versions(connection, "road.ponding")] == [2, 1]


def test_whoever_holds_a_shard_is_told_at_commit(connection: Connection, database: str) -> None:
    install_shipped(connection)
    with connect(database, "listener", autocommit=True) as listener:
        listener.execute("LISTEN underfoot_rules")
        with connect(database, "writer") as writer, writer.transaction():
            put(writer, edited(off_delay_s=60), actor="li")
            assert list(listener.notifies(timeout=0.2)) == []
        put_override(connection, parse_override(SCHOOL), actor="li")
        withdraw(connection, "road.ponding", Scope.parse("tag:学校门口"), actor="li")
        restore(connection, "road.ponding", actor="li")
        heard = [notify.channel for notify in listener.notifies(timeout=10, stop_after=4)]
    assert heard == ["underfoot_rules"] * 4


# what ships ---------------------------------------------------------------------------------------------------------


def test_what_ships_follows_until_the_city_has_edited_it(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_shipped(connection)
    put(connection, edited("cover.tilt", off_delay_s=5), actor="li")
    withdraw(connection, "lamp.door", actor="li")
    news = tuple(edited(rule.rule_id, title=f"新{rule.title}") for rule in shipped_pack())
    monkeypatch.setattr(rulebook, "shipped_pack", lambda: news)
    assert install_shipped(connection) == len(PACK) - 2
    found = in_force(connection)
    assert found["road.ponding"].rule.title == "新道路积水"
    assert found["cover.tilt"].rule.title == "井盖倾斜"
    assert "lamp.door" not in found
    assert restore(connection, "lamp.door", actor="li") is not None
    assert restore(connection, "lamp.door", actor="li") is None
    assert in_force(connection)["lamp.door"].rule.title.startswith("新")
    monkeypatch.setattr(rulebook, "shipped_pack", shipped_pack)
    assert install_shipped(connection) == len(PACK) - 1  # what was restored follows again


def test_news_that_an_override_does_not_fit_wait(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    install_shipped(connection)
    put_override(connection, parse_override(SCHOOL), actor="li")
    other = parse_rule(PACK["road.offline"].model_dump(mode="json") | {"rule_id": "road.ponding", "kind": "no_data"})
    news = tuple(other if rule.rule_id == "road.ponding" else rule for rule in shipped_pack())
    monkeypatch.setattr(rulebook, "shipped_pack", lambda: news)
    install_shipped(connection)
    assert in_force(connection)["road.ponding"].rule == PACK["road.ponding"]


def test_there_is_nothing_to_restore_of_what_does_not_ship(connection: Connection) -> None:
    with pytest.raises(NoSuchRuleError, match=r"road\.own: does not ship"):
        restore(connection, "road.own", actor="li")


# overrides ----------------------------------------------------------------------------------------------------------


def test_an_override_is_a_variant_of_the_rule_in_force(connection: Connection) -> None:
    install_shipped(connection)
    assert put_override(connection, parse_override(SCHOOL), actor="li") == 2
    assert put_override(connection, parse_override(SCHOOL), actor="li") is None
    (variant,) = in_force(connection)["road.ponding"].variants
    assert (str(variant.scope), variant.version, variant.enabled) == ("tag:学校门口", 2, True)
    assert isinstance(variant.rule, LevelRule)
    assert [level.limit for level in variant.rule.levels] == [20]
    put(connection, edited(off_delay_s=60), actor="li")
    (variant,) = in_force(connection)["road.ponding"].variants
    assert variant.version == 3, "what counts in this scope has changed with the rule"
    assert isinstance(variant.rule, LevelRule)
    assert variant.rule.off_delay_s == 60
    was = rule_as_of(connection, "road.ponding", 2, Scope.parse("tag:学校门口"))
    assert isinstance(was.rule, LevelRule)
    assert (was.version, str(was.scope), was.rule.off_delay_s) == (2, "tag:学校门口", 600)
    assert rule_as_of(connection, "road.ponding", 1, Scope.parse("tag:学校门口")).scope.kind == "city"
    assert withdraw(connection, "road.ponding", Scope.parse("tag:学校门口"), actor="li") == 4
    assert in_force(connection)["road.ponding"].variants == ()


def test_variants_stand_in_order_of_precedence(connection: Connection) -> None:
    install_shipped(connection)
    for scope in ("device:R-1", "area:410502", "tag:b", "area:41", "tag:a"):
        put_override(connection, parse_override(SCHOOL | {"scope": scope}), actor="li")
    found = [str(variant.scope) for variant in in_force(connection)["road.ponding"].variants]
    assert found[:2] + found[4:] == ["area:41", "area:410502", "device:R-1"]
    assert set(found[2:4]) == {"tag:a", "tag:b"}


def test_a_rule_that_its_overrides_do_not_fit_is_refused(connection: Connection) -> None:
    install_shipped(connection)
    put_override(connection, parse_override(SCHOOL | {"off_delay_s": 5}), actor="li")
    silent = PACK["road.offline"].model_dump(mode="json") | {"rule_id": "road.ponding"}
    with pytest.raises(RuleError, match="its override for tag:学校门口 no longer fits") as raised:
        put(connection, parse_rule(silent), actor="li")
    assert "levels" in str(raised.value)
    assert in_force(connection)["road.ponding"].version == 1


def test_an_override_needs_its_rule(connection: Connection) -> None:
    install_shipped(connection)
    with pytest.raises(NoSuchRuleError, match=r"road\.own: is not in force"):
        put_override(connection, parse_override(SCHOOL | {"rule_id": "road.own"}), actor="li")
    with pytest.raises(NoSuchRuleError, match=r"road\.ponding \(tag:学校门口\): is not in force"):
        withdraw(connection, "road.ponding", Scope.parse("tag:学校门口"), actor="li")


def test_what_underfoot_itself_needs_stays(connection: Connection) -> None:
    install_shipped(connection)
    with pytest.raises(RuleError, match="can't be withdrawn"):
        withdraw(connection, "sink.failing", actor="li")
    other = PACK["road.ponding"].model_dump(mode="json") | {"rule_id": "sink.failing"}
    with pytest.raises(RuleError, match="stays `system`"):
        put(connection, parse_rule(other), actor="li")
    off = parse_override({"rule_id": "sink.failing", "scope": "tag:x", "source": "x", "enabled": False})
    with pytest.raises(RuleError, match="are the same everywhere"):
        put_override(connection, off, actor="li")


def test_a_second_rule_for_a_family_s_silence_is_refused(connection: Connection) -> None:
    install_shipped(connection)
    second = PACK["road.offline"].model_dump(mode="json") | {"rule_id": "road.silent"}
    with pytest.raises(RuleError, match=r"road\.offline: edit or withdraw that one"):
        put(connection, parse_rule(second), actor="li")
    withdraw(connection, "road.offline", actor="li")
    assert put(connection, parse_rule(second), actor="li") == 1


def test_what_this_version_can_t_read_stops_no_other(connection: Connection) -> None:
    install_shipped(connection)
    body = PACK["road.ponding"].model_dump(mode="json") | {"kind": "oracle"}
    row = {
        "rule_id": "road.ponding",
        "scope": "city",
        "version": 2,
        "withdrawn": False,
        "created_by": "a later version",
    }
    connection.execute(statement("rules.add"), row | {"body": json.dumps(body)})
    assert in_force(connection).keys() == PACK.keys() - {"road.ponding"}


# the command line ---------------------------------------------------------------------------------------------------


class Command:
    def __call__(self, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(commands, ["rules", *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result.output

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code))


@pytest.fixture
def command(database: str, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> Command:
    install_shipped(connection)
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", database)
    monkeypatch.setattr(rules_cli, "out", Console(width=300))
    return Command()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rules.yaml"


RULES = """\
- rule_id: road.ponding
  kind: level
  family: road
  title: 道路积水
  source: the city's own
  field: depth_cm
  levels: [{severity: red, limit: 30, dead_band: 3}]
- rule_id: road.ponding
  scope: tag:学校门口
  source: half the depth
  levels: [{severity: red, limit: 20, dead_band: 3}]
- rule_id: road.rising
  kind: level
  family: road
  title: 水位
  source: the city's own
  field: depth_cm
  levels: [{severity: blue, limit: 2}]
"""


def test_a_file_is_checked_and_every_error_has_its_line(command: Command, file: Path) -> None:
    file.write_text(RULES, encoding="utf-8")
    assert "2 rules, 1 overrides; nothing is wrong." in command("check", str(file))
    file.write_text(RULES.replace("limit: 20", "limit: deep").replace("depth_cm", "depth"), encoding="utf-8")
    said = command("check", str(file), code=1)
    assert f"{file}:6: road.ponding: field = 'depth': family road has no field 'depth'" in said
    assert f"{file}:17: road.rising: field = 'depth'" in said
    problems = command.json("check", str(file), code=1)["problems"]
    assert [(one["line"], one["rule"], one["field"]) for one in problems] == [
        (6, "road.ponding", "field"),
        (11, "road.ponding: tag:学校门口", "levels.0.limit"),
        (17, "road.rising", "field"),
    ]
    assert len(versions_of("road.ponding", command)) == 1


def versions_of(rule_id: str, command: Command) -> list[Any]:
    found: list[Any] = command.json("show", rule_id, "--versions")
    return found


def test_an_import_says_what_changes_and_a_dry_run_changes_nothing(command: Command, file: Path) -> None:
    file.write_text(RULES, encoding="utf-8")
    dry = command("import", str(file), "--dry-run")
    assert "changed: road.ponding\n" in dry
    assert "    levels.red.limit 40 → 30\n" in dry
    assert "    levels.orange.limit 27 → –\n" in dry
    assert "new: road.ponding (tag:学校门口)\n" in dry
    assert "2 new, 1 changed, 0 unchanged; nothing was put in force, as asked." in dry
    assert len(versions_of("road.ponding", command)) == 1
    done = command("import", str(file))
    assert "changed: road.ponding (version 2)" in done
    assert "new: road.rising (version 1)" in done
    assert "The ledger has nothing in tag:学校门口" in done
    assert "0 new, 0 changed, 3 unchanged." in command("import", str(file))


def test_one_error_and_nothing_is_imported(command: Command, file: Path) -> None:
    file.write_text(RULES.replace("limit: 2}", "limit: two}"), encoding="utf-8")
    assert "levels.0.limit = 'two'" in command("import", str(file), code=1)
    file.write_text(RULES.replace("road.rising", "road.offline2").replace("kind: level", "kind: no_data", 1), "utf-8")
    command("import", str(file), code=1)
    assert len(versions_of("road.ponding", command)) == 1


def test_what_only_the_rulebook_can_refuse_leaves_everything_as_it_was(command: Command, file: Path) -> None:
    second = (
        "- {rule_id: road.silent, kind: no_data, family: road, title: x, source: x, intervals: 2, severity: blue}\n"
    )
    file.write_text(RULES + second, encoding="utf-8")
    assert "road.offline: edit or withdraw that one" in command("import", str(file), code=1)
    assert len(versions_of("road.ponding", command)) == 1


def test_an_export_imports_back_unchanged(command: Command, file: Path, connection: Connection) -> None:
    file.write_text(RULES, encoding="utf-8")
    command("import", str(file))
    off = {"rule_id": "cover.tilt", "scope": "device:C-1", "source": "under repair", "enabled": False}
    put_override(connection, parse_override(off), actor="li")
    file.write_text(command("export"), encoding="utf-8")
    before = connection.execute("SELECT count(*) FROM rules").fetchall()
    assert f"0 new, 0 changed, {len(PACK) + 3} unchanged." in command("import", str(file))
    assert connection.execute("SELECT count(*) FROM rules").fetchall() == before
    assert command("export", "--rule", "road.ponding").count("rule_id") == 2
    assert command("export", "--shipped", "--rule", "road.ponding").count("rule_id") == 1
    assert "is not in force" in command("export", "--rule", "road.none", code=1)


def test_rules_are_listed_shown_withdrawn_and_restored(command: Command, file: Path) -> None:
    file.write_text(RULES, encoding="utf-8")
    command("import", str(file))
    (row,) = [row for row in command.json("list", "--family", "road") if row["rule_id"] == "road.ponding"]
    assert (row["version"], row["kind"], row["scopes"]) == (2, "level", ["tag:学校门口"])
    assert "道路积水" in command("list")
    shown = command("show", "road.ponding")
    assert "# road.ponding: in force since version 2" in shown
    assert "{severity: red, limit: 20, dead_band: 3}" in shown
    assert "never been a rule road.none" in command("show", "road.none", code=1)
    assert "scope" in command("withdraw", "road.ponding", "--scope", "school", code=2)
    assert "no numbers of its own any more (version 4)" in command(
        "withdraw", "road.ponding", "--scope", "tag:学校门口"
    )
    assert "is withdrawn (version 5)" in command("withdraw", "road.ponding")
    assert "is not in force" in command("withdraw", "road.ponding", code=1)
    assert "as it ships again (version 6)" in command("restore", "road.ponding")
    assert "nothing was changed" in command("restore", "road.ponding")


def test_history_says_who_changed_what(command: Command, file: Path) -> None:
    file.write_text(RULES, encoding="utf-8")
    command("import", str(file))
    command("withdraw", "road.ponding")
    rows = command.json("history", "road.ponding")
    assert [(row["version"], row["scope"]) for row in rows] == [
        (4, "city"),
        (3, "tag:学校门口"),
        (2, "city"),
        (1, "city"),
    ]
    withdrawn, override, changed, first = (row["differences"] for row in rows)
    assert (withdrawn, override, first) == (["withdrawn"], ["new"], ["new"])
    assert "levels.red.limit 40 → 30" in changed
    assert all(row["by"].startswith(("cli:", "shipped")) for row in rows)
    assert "withdrawn" in command("history", "--limit", "1")


def test_what_no_holder_judges_is_kept_though_it_can_t_be_read(connection: Connection) -> None:
    install_shipped(connection)
    assert "gateway.outage" in rulebook.city_rule_ids(connection)
    assert "road.ponding" not in rulebook.city_rule_ids(connection)
    body = PACK["gateway.outage"].model_dump(mode="json") | {"kind": "oracle"}
    row = {"rule_id": "gateway.outage", "scope": "city", "version": 2, "withdrawn": False, "created_by": "later"}
    connection.execute(statement("rules.add"), row | {"body": json.dumps(body)})
    assert "gateway.outage" in rulebook.city_rule_ids(connection)
    assert rulebook.why_ended(connection, "gateway.outage") == "rule_changed"
    withdraw(connection, "gateway.outage", actor="li")
    assert "gateway.outage" not in rulebook.city_rule_ids(connection)
    assert rulebook.why_ended(connection, "gateway.outage") == "rule_withdrawn"
