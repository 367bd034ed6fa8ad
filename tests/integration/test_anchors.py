"""What the well-known alarm engines get wrong, each a test of ours. Alertmanager, Prometheus, Grafana, ThingsBoard,
Icinga and Nagios, Home Assistant, Alerta: their names stand for the failure, not for the rest of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from alerts.deliver.outbox import claim
from alerts.judge.outcome import RuleInForce, Transition
from alerts.record.recorder import Recorder
from alerts.regions import actions as human_actions
from alerts.rules import shipped_pack
from deploy.ports import any_free
from tests.integration.owing import dispatching, eventually
from tests.integration.receivers import Receiver
from tests.integration.shard import HOUR, MINUTE, SECOND, Shard, shard_of
from underfoot.alarms import Condition, Reason, SubjectKind
from underfoot.storage.connect import connect

_OPEN_COVER = next(RuleInForce(rule, 1) for rule in shipped_pack() if rule.rule_id == "cover.open")
DAY = 24 * HOUR


@pytest.fixture
def shard(module_database: str) -> Iterator[Shard]:
    with shard_of(module_database) as made:
        yield made


def told(shard: Shard, sink: str = "city") -> list[str]:
    return [notice for rule_id, notice, _ in shard.owed(sink) if rule_id == "cover.open"]


def cover(shard: Shard, *opened: bool) -> None:
    for is_open in opened:
        shard.wait(20 * SECOND)
        shard.commit(shard.says("C-1", {"open": is_open}))


# Alertmanager -------------------------------------------------------------------------------------------------------


def test_alertmanager_never_delivers_what_fires_and_clears_while_the_receiver_is_down(shard: Shard) -> None:
    port = any_free()
    shard.ask.execute(
        "INSERT INTO sinks (name, channel, audience, config)"
        " VALUES ('city', 'webhook', 'platform', jsonb_build_object('url', %s::text))",
        [f"http://127.0.0.1:{port}/"],
    )
    with dispatching(shard.database, delivery_retry_base_s=0.02):
        cover(shard, True, False)
        eventually(lambda: shard.one("SELECT max(attempts) AS most FROM outbox")["most"])
        with Receiver(port=port) as receiver:
            shard.ask.execute("UPDATE sinks SET open_until = now()")
            shard.ask.execute("UPDATE outbox SET next_attempt_at = now()")
            shard.ask.execute("SELECT pg_notify('underfoot_outbox', '')")
            eventually(lambda: len(receiver.requests) == 2)
    assert [request.body["alarm"]["notice"] for request in receiver.requests] == ["raise", "clear"]


def test_alertmanager_drops_what_its_queue_of_10_000_does_not_hold(shard: Shard) -> None:
    shard.sink("city", "platform")
    many = 10_500
    at_us = shard.now_us
    proof = {"ts_us": at_us, "received_us": at_us}
    raised = [
        Transition(
            SubjectKind.device, 1_000_000 + number, _OPEN_COVER, Reason.limit_reached, Condition.normal,
            Condition.active, 0, 4, at_us, at_us, proof,
        )
        for number in range(many)
    ]  # fmt: skip
    with connect(shard.database, "test") as connection:
        Recorder(connection).record(raised)
    assert shard.one("SELECT count(*) AS owed FROM outbox")["owed"] == many
    sink_key = shard.one("SELECT sink_key FROM sinks")["sink_key"]
    claimed: set[int] = set()
    with connect(shard.database, "test") as connection:
        while some := claim(connection, {sink_key: 5000}, lease_s=60):
            claimed |= {one.snapshot["alarm_key"] for one in some}
    assert len(claimed) == many


# Prometheus and Home Assistant --------------------------------------------------------------------------------------


def test_prometheus_forgets_keep_firing_for_at_a_restart(shard: Shard) -> None:
    """An underpass has to be dry for ten minutes: a restart in between neither ends the alarm nor begins them anew."""
    shard.commit(shard.says("R-1", {"depth_cm": 30.0}))
    shard.wait(MINUTE)
    shard.commit(shard.says("R-1", {"depth_cm": 0.0}))
    assert shard.one(
        "SELECT condition FROM episodes JOIN alarms USING (alarm_key) WHERE rule_id = 'road.underpass'"
    ) == {"condition": "clearing"}
    shard.restart()
    shard.wait(6 * MINUTE)
    shard.commit(shard.says("R-1", {"depth_cm": 0.0}), *shard.probe())
    assert "road.underpass" in shard.open()
    shard.wait(5 * MINUTE)
    shard.commit(shard.says("R-1", {"depth_cm": 0.0}), *shard.probe())
    assert "road.underpass" not in shard.open()


def test_home_assistant_forgets_for_at_a_restart(shard: Shard) -> None:
    """A tilt has to be held for three seconds: they go on over a restart."""
    shard.commit(shard.says("C-1", {"tilt_deg": 20.0}))
    assert shard.open() == {}
    shard.wait(2 * SECOND)
    shard.restart()
    shard.commit(*shard.probe(), look_around=True)
    shard.look_around()
    assert shard.open() == {}
    shard.wait(2 * SECOND)
    shard.commit(*shard.probe(), look_around=True)
    shard.post("timers", {}, "due")
    shard.look_around()
    assert shard.open() == {"cover.tilt": 3}


# Grafana ------------------------------------------------------------------------------------------------------------


def test_grafana_loses_resolves_at_a_restart(shard: Shard) -> None:
    shard.sink("city", "platform")
    cover(shard, True)
    shard.restart()
    cover(shard, False)
    shard.restart()
    assert told(shard) == ["raise", "clear"]
    assert shard.open() == {}


def test_grafana_resolves_when_a_series_goes_missing(shard: Shard) -> None:
    """Silence is no all-clear: the cover stays open, and its silence is an alarm of its own."""
    shard.sink("city", "platform")
    cover(shard, True)
    for _ in range(4):
        shard.wait(DAY)
        shard.catch_up()
        shard.post("timers", {}, f"timers:{shard.now_us}")
        shard.look_around()
    assert "cover.open" in shard.open("C-1")
    assert "cover.offline" in shard.open("C-1")
    assert told(shard) == ["raise"]


# ThingsBoard --------------------------------------------------------------------------------------------------------


def test_thingsboard_fires_at_once_on_one_buffered_sample(shard: Shard) -> None:
    """An hour on the way is no hour of being tilted."""
    shard.commit(shard.says("C-1", {"tilt_deg": 20.0}, ts_us=shard.now_us - HOUR), *shard.probe())
    shard.post("timers", {}, "at once")
    shard.look_around()
    assert shard.open() == {}


def test_thingsboard_makes_two_alarms_of_duplicates_within_milliseconds(shard: Shard) -> None:
    shard.sink("city", "platform")
    first = shard.says("C-1", {"open": True})
    other = shard.says("C-1", {"open": True, "battery_pct": 71.0}, ts_us=shard.now_us)
    shard.commit(first, shard.redelivered(first), other)
    shard.commit(shard.redelivered(first), shard.redelivered(other))
    assert shard.one("SELECT count(*) FROM episodes")["count"] == 1
    assert told(shard) == ["raise"]


# Icinga and Nagios --------------------------------------------------------------------------------------------------


def flapping(shard: Shard) -> bool:
    rows = shard.rows("SELECT suppressed FROM alarms WHERE rule_id = 'cover.open'")
    return [row["suppressed"] for row in rows] == [["flapping"]]


@pytest.mark.parametrize(("quiet", "begins_open"), [(0, False), (10, True)])
def test_icinga_and_nagios_lose_recoveries_while_flapping(shard: Shard, quiet: int, begins_open: bool) -> None:
    """Whether it begins to flap with what is told or with its end, at last everybody knows that it is over."""
    shard.sink("city", "platform")
    cover(shard, True, False, True, False, True, *[True] * quiet)
    is_open = True
    while not flapping(shard):
        is_open = not is_open
        cover(shard, is_open)
        assert len(told(shard)) < 40
    assert is_open == begins_open
    before = told(shard)
    assert before[-1] == ("raise" if is_open else "clear")
    cover(shard, False, True, False, True, False)
    assert flapping(shard)
    assert told(shard) == [*before, *["clear"] * is_open], "the end of what was told comes through, and nothing else"
    while flapping(shard):
        cover(shard, False)
    assert told(shard)[len(before) + is_open :] == []


def test_flapping_ends_with_the_present_state(shard: Shard) -> None:
    shard.sink("city", "platform")
    while not flapping(shard):
        cover(shard, True, False)
        assert len(told(shard)) < 40
    cover(shard, True)
    kept_back = told(shard)
    while flapping(shard):
        cover(shard, True)
    assert told(shard) == [*kept_back, "raise"]
    assert shard.open("C-1")["cover.open"] == 4


# Alerta -------------------------------------------------------------------------------------------------------------


def test_alerta_loses_an_acknowledgement_on_unshelve(shard: Shard) -> None:
    cover(shard, True)
    key, now = shard.one("SELECT episode_key FROM episodes")["episode_key"], datetime.now(UTC)
    with connect(shard.database, "test") as connection:
        human_actions.acknowledge(connection, [key], "wang", now)
        until = now + timedelta(hours=1)
        human_actions.shelve(connection, [key], "wang", now, until=until, reason="施工")
        human_actions.unshelve(connection, [key], "li", now)
    assert shard.one("SELECT human, acknowledged_by FROM episodes") == {
        "human": "acknowledged",
        "acknowledged_by": "wang",
    }
