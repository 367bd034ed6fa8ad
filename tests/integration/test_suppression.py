"""Suppression: nobody is told for now, everything is recorded, and what was told is always followed by its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.regions.suppress import suppress, unsuppress
from tests.integration.shard import MINUTE, Shard, shard_of
from underfoot.alarms import Reason, Suppression
from underfoot.storage.connect import connect


@pytest.fixture
def shard(module_database: str) -> Iterator[Shard]:
    with shard_of(module_database) as made:
        made.sink("city", "platform")
        made.sink("crew", "crew")
        yield made


def now() -> datetime:
    return datetime.now(UTC)


def alarm(shard: Shard, rule_id: str = "road.underpass") -> int:
    return int(shard.one("SELECT alarm_key FROM alarms WHERE rule_id = %s", rule_id)["alarm_key"])


def begin(shard: Shard, kind: Suppression = Suppression.shelved, rule_id: str = "road.underpass", **more: Any) -> int:
    with connect(shard.database, "test") as connection:
        given: dict[str, Any] = {"reason": "施工", "at": now()}
        return suppress(connection, [alarm(shard, rule_id)], kind, **(given | more))


def end(
    shard: Shard,
    kind: Suppression = Suppression.shelved,
    reason: Reason = Reason.unshelved,
    rule_id: str = "road.underpass",
    **more: Any,
) -> int:
    with connect(shard.database, "test") as connection:
        keys = [alarm(shard, rule_id)] if "cause" not in more else None
        return unsuppress(connection, alarm_keys=keys, kind=kind, reason=reason, at=now(), **more)


def suppressed(shard: Shard, rule_id: str = "road.underpass") -> list[str]:
    found: list[str] = shard.one("SELECT suppressed FROM alarms WHERE rule_id = %s", rule_id)["suppressed"]
    return found


def depth(shard: Shard, *cm: float) -> None:
    """Each depth stays for long enough to be believed on its way down."""
    for each in cm:
        for _ in range(2):
            shard.wait(10 * MINUTE)
            shard.commit(shard.says("R-1", {"depth_cm": each}))


def told(shard: Shard, sink: str = "city") -> list[tuple[str, int]]:
    return [(notice, severity) for _, notice, severity in shard.owed(sink)]


def record_of(shard: Shard) -> list[tuple[str, str, str]]:
    rows = shard.rows(
        "SELECT from_state, to_state, reason FROM transitions WHERE region = 'suppression' ORDER BY 1, 2, 3"
    )
    return [(row["from_state"], row["to_state"], row["reason"]) for row in rows]


# what is told -------------------------------------------------------------------------------------------------------


def test_told_then_suppressed_then_cleared_is_told_the_end(shard: Shard) -> None:
    depth(shard, 30.0)
    begin(shard)
    depth(shard, 12.0, 0.0)
    assert told(shard) == [("raise", 4), ("clear", 3)]
    assert told(shard, "crew") == [("raise", 4), ("clear", 3)]
    assert shard.open() == {}


def test_raised_while_suppressed_then_not_is_told_once(shard: Shard) -> None:
    depth(shard, 30.0, 0.0)
    before = told(shard)
    begin(shard)
    depth(shard, 30.0, 12.0)
    assert told(shard) == before
    assert shard.one("SELECT withheld FROM episodes WHERE cleared_at IS NULL") == {"withheld": True}
    assert end(shard) == 1
    assert end(shard) == 0
    assert told(shard) == [*before, ("raise", 3)]
    assert told(shard, "crew")[-1] == ("raise", 3)
    depth(shard, 30.0, 0.0)
    assert told(shard)[-3:] == [("raise", 3), ("change", 4), ("clear", 4)]


def test_cleared_while_suppressed_and_never_told_is_told_nobody(shard: Shard) -> None:
    depth(shard, 30.0, 0.0)
    begin(shard)
    before = told(shard), told(shard, "crew")
    depth(shard, 12.0, 0.0)
    end(shard)
    assert (told(shard), told(shard, "crew")) == before
    assert shard.one("SELECT count(*) FROM episodes WHERE withheld AND cleared_at IS NOT NULL")["count"] == 1


def test_present_state_is_told_after_changes_that_were_kept_back(shard: Shard) -> None:
    """The platform hears every change; a crew only that it has become worse than what it was told."""
    depth(shard, 16.0)
    begin(shard, Suppression.out_of_service, cause="order:WO-7")
    depth(shard, 30.0)
    assert told(shard) == told(shard, "crew") == [("raise", 3)]
    end(shard, Suppression.out_of_service, Reason.in_service_again, cause="order:WO-7")
    assert told(shard) == told(shard, "crew") == [("raise", 3), ("change", 4)]
    begin(shard, Suppression.out_of_service, cause="order:WO-8")
    depth(shard, 12.0)
    end(shard, Suppression.out_of_service, Reason.in_service_again, cause="order:WO-8")
    assert told(shard)[-1] == ("change", 3)
    assert told(shard, "crew") == [("raise", 3), ("change", 4)]


def test_nothing_kept_back_nothing_told(shard: Shard) -> None:
    depth(shard, 30.0)
    begin(shard)
    depth(shard, 30.5)
    end(shard)
    assert told(shard) == [("raise", 4)]
    begin(shard, Suppression.out_of_service)
    depth(shard, 16.0)
    for _ in range(2):
        end(shard, Suppression.out_of_service, Reason.in_service_again)
        begin(shard)
        end(shard)
    assert told(shard) == [("raise", 4), ("change", 3)], "once"


def test_snapshot_of_the_present_state_is_whole(shard: Shard) -> None:
    depth(shard, 30.0)
    usual = shard.one("SELECT snapshot FROM outbox JOIN sinks USING (sink_key) WHERE name = 'crew'")["snapshot"]
    depth(shard, 0.0)
    begin(shard)
    depth(shard, 31.0)
    end(shard)
    late = shard.rows("SELECT snapshot FROM outbox JOIN sinks USING (sink_key) WHERE name = 'crew'")[-1]["snapshot"]
    assert late.keys() == usual.keys()
    assert (late["crew"], late["title"]) == (usual["crew"], usual["title"])
    assert late["case"].keys() == usual["case"].keys()
    assert late["case"]["case_key"] > usual["case"]["case_key"], "another episode, another case"
    assert (late["notice"], late["reason"], late["proof"]["value"]) == ("raise", "unshelved", 31.0)


# what ends it -------------------------------------------------------------------------------------------------------


def test_shelving_holds_across_clear_and_raise(shard: Shard) -> None:
    """Alerta and others forget what was shelved when it clears."""
    depth(shard, 30.0)
    begin(shard, until=now() + timedelta(hours=2))
    depth(shard, 0.0, 30.0, 0.0, 30.0)
    assert suppressed(shard) == ["shelved"]
    assert told(shard) == [("raise", 4), ("clear", 4)]
    shard.restart()
    depth(shard, 30.0)
    assert suppressed(shard) == ["shelved"]


def test_rising_severity_ends_shelving_and_tells(shard: Shard) -> None:
    depth(shard, 12.0)
    begin(shard)
    depth(shard, 16.0)
    assert suppressed(shard) == []
    assert told(shard) == [("raise", 2), ("change", 3)]
    row = shard.one("SELECT ended_by, end_reason, severity FROM suppressions")
    assert tuple(row.values()) == ("engine", "severity_rose", 2)
    depth(shard, 30.0)
    assert told(shard)[-1] == ("change", 4)


def test_worse_episode_than_the_shelved_one_is_told(shard: Shard) -> None:
    depth(shard, 12.0, 0.0)
    begin(shard)
    depth(shard, 12.0, 0.0)
    assert told(shard)[2:] == []
    depth(shard, 30.0)
    assert told(shard)[2:] == [("raise", 4)]
    assert suppressed(shard) == []


@pytest.mark.parametrize("kind", [Suppression.out_of_service, Suppression.flapping])
def test_rising_severity_ends_neither_an_order_nor_flapping(shard: Shard, kind: Suppression) -> None:
    depth(shard, 12.0)
    begin(shard, kind)
    depth(shard, 30.0)
    assert suppressed(shard) == [kind.value]
    assert told(shard) == [("raise", 2)]


def test_all_that_suppresses_must_be_over(shard: Shard) -> None:
    depth(shard, 30.0, 0.0)
    before = told(shard)
    begin(shard)
    begin(shard, Suppression.by_design, cause="incident:1")
    begin(shard, Suppression.by_design, cause="incident:2")
    depth(shard, 30.0)
    assert suppressed(shard) == ["by_design", "shelved"]
    end(shard, Suppression.by_design, Reason.explained_no_more, cause="incident:1")
    assert suppressed(shard) == ["by_design", "shelved"]
    end(shard)
    assert suppressed(shard) == ["by_design"]
    assert told(shard) == before
    end(shard, Suppression.by_design, Reason.explained_no_more, cause="incident:2")
    assert told(shard) == [*before, ("raise", 4)]
    assert record_of(shard) == [
        ("by_design", "none", "explained_no_more"),
        ("by_design+shelved", "by_design", "unshelved"),
        ("by_design+shelved", "by_design+shelved", "explained"),
        ("by_design+shelved", "by_design+shelved", "explained_no_more"),
        ("none", "shelved", "shelved"),
        ("shelved", "by_design+shelved", "explained"),
    ]


def test_again_is_the_same_as_once(shard: Shard) -> None:
    depth(shard, 30.0)
    until = now() + timedelta(hours=1)
    assert [begin(shard, until=until) for _ in range(3)] == [1, 0, 0]
    assert shard.one("SELECT count(*) FROM suppressions")["count"] == 1
    assert begin(shard, until=until + timedelta(hours=1), reason="延长") == 0
    assert shard.one("SELECT reason FROM suppressions WHERE ended_at IS NULL")["reason"] == "延长"
    for hours in (1, 2):
        begin(shard, Suppression.by_design, cause="alarm:3", until=until + timedelta(hours=hours))
    assert shard.one("SELECT count(*) FROM suppressions WHERE kind = 'by_design'")["count"] == 1
    row = shard.one("SELECT until FROM suppressions WHERE kind = 'by_design'")
    assert row["until"] == until + timedelta(hours=2)


def test_end_of_nothing_in_particular_is_refused(shard: Shard) -> None:
    with connect(shard.database, "test") as connection, pytest.raises(ValueError, match="alarm_keys = None"):
        unsuppress(connection, kind=Suppression.shelved, reason=Reason.unshelved, at=now())


# together -------------------------------------------------------------------------------------------------------------


def test_engine_waits_for_who_suppresses(shard: Shard) -> None:
    """What is raised while somebody shelves is either told or kept back, never lost."""
    depth(shard, 30.0, 0.0)
    with connect(shard.database, "an operator") as operator:
        suppress(operator, [alarm(shard)], Suppression.shelved, reason="施工", at=now())
        thread = threading.Thread(target=shard.commit, args=(shard.says("R-1", {"depth_cm": 30.0}),))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive(), "it waits"
    thread.join(10)
    assert told(shard) == [("raise", 4), ("clear", 4)]
    assert shard.one("SELECT withheld FROM episodes WHERE cleared_at IS NULL") == {"withheld": True}
    end(shard)
    assert told(shard)[-1] == ("raise", 4)
