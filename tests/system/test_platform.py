"""A platform that misbehaves: each notice reaches it in the end, once, in its alarm's order, and an operator knows."""

from __future__ import annotations

from typing import Any

from tests.system.city import DEVICES, LONG, City, until
from tests.system.fleet import now_ms, report
from tests.system.platform import Platform, add_platform_sink, deliver_quickly, everything_is_delivered, standing_in
from tests.system.publisher import send

HAZARDS = 6
COVERS = DEVICES["cover"][:HAZARDS]


def opens(city: City, *covers: str) -> None:
    send(city, *(report(cover, now_ms(), open=True) for cover in covers))


def closes(city: City, *covers: str) -> None:
    send(city, *(report(cover, now_ms(), open=False) for cover in covers))


def attempts(city: City) -> list[int]:
    return [number for (number,) in city.rows("SELECT attempts FROM outbox ORDER BY delivery_key")]


def dead(city: City) -> int:
    count: int = city.value("SELECT count(*) FROM outbox WHERE state NOT IN ('owed', 'delivered')")
    return count


def told_in_full(platform: Platform) -> None:
    for cover in COVERS:
        assert platform.notices(cover) == ["raise", "clear"], cover


MISBEHAVIOURS: tuple[tuple[dict[str, Any], str], ...] = (
    # Never five in a row, after which the breaker opens: that has a test of its own.
    ({"kind": "refuse", "status": 503, "count": 4}, "refuse"),
    ({"kind": "error_code", "code": 500, "count": 4}, "error_code"),
    ({"kind": "lose_answer", "delay_s": 0.2, "count": 4}, "repeat"),
    ({"kind": "time_out", "delay_s": 5, "count": 4}, "time_out"),
)


def test_every_notice_arrives_once_and_in_order(city: City) -> None:
    """It refuses, answers 200 with an error code, loses its answer, never answers; then it works again."""
    deliver_quickly(city)
    with standing_in(city) as platform:
        city.start_ingest()
        city.start("alerts")
        for number, (misbehaviour, outcome) in enumerate(MISBEHAVIOURS, 1):
            platform.tell(**misbehaviour)
            before = sum(attempts(city))
            # Others each time: a cover that opens and closes again and again is flapping, and soon nobody is told.
            covers = DEVICES["cover"][number * HAZARDS : (number + 1) * HAZARDS]
            opens(city, *covers)
            closes(city, *covers)
            city.caught_up()
            assert everything_is_delivered(city, platform, seconds=30) == number * 2 * HAZARDS
            assert len(platform.records(outcome)) == 4
            assert sum(attempts(city)) == before + 2 * HAZARDS + 4
            for cover in covers:
                assert platform.notices(cover) == ["raise", "clear"], f"{outcome}: {cover}"
        assert dead(city) == 0


def test_what_follows_a_refused_notice_waits_for_it(city: City) -> None:
    """One alarm is refused, four times; its end is held back, and no other alarm is."""
    deliver_quickly(city)
    with standing_in(city) as platform:
        first, second = COVERS[:2]
        city.start_ingest()
        opens(city, first)
        city.caught_up()
        alarm = str(city.value("SELECT alarm_key FROM outbox"))
        platform.tell("error_code", code=500, match={"alarm": alarm}, count=4)
        city.start("alerts")
        closes(city, first)
        for _ in range(3):
            opens(city, second)
            closes(city, second)
        city.caught_up()
        everything_is_delivered(city, platform)
        assert platform.notices(first) == ["raise", "clear"]
        assert platform.notices(second) == ["raise", "clear"] * 3
        refused = platform.records("error_code")
        assert [record["body"]["notice"] for record in refused] == ["raise"] * 4
        assert attempts(city)[0] == 5
        last = max(record["no"] for record in refused)
        went_on = [r for r in platform.records("accepted") if r["body"]["device_id"] == second and r["no"] < last]
        assert went_on, "another alarm was held up"


def test_its_answer_is_lost_after_it_has_taken_the_notice(city: City) -> None:
    deliver_quickly(city)
    with standing_in(city) as platform:
        platform.tell("lose_answer", delay_s=0, count=2)
        city.start_ingest()
        city.start("alerts")
        opens(city, COVERS[0])
        city.caught_up()
        everything_is_delivered(city, platform)
        assert [record["outcome"] for record in platform.records()] == ["accepted", "repeat", "repeat"]
        assert len({record["push_id"] for record in platform.records()}) == 1
        assert len({str(record["body"]) for record in platform.records()}) == 1, "a repeat says something else"
        assert attempts(city) == [3]


def test_its_token_expires_and_the_other_sink_goes_on(city: City) -> None:
    """The sink's own failure: no delivery dies, an operator is told, and once the token is renewed all of it goes out
    by itself, in order. Meanwhile the other sink is served."""
    deliver_quickly(city)
    with standing_in(city, "--token", "s3cret", headers={"Authorization": "Bearer s3cret"}) as platform:
        other = "http://127.0.0.1:9/events"  # nobody listens there
        add_platform_sink(city, "unreachable", other)
        city.start_ingest()
        city.start("alerts")
        opens(city, COVERS[0])
        city.caught_up()
        until(lambda: platform.notices(COVERS[0]) == ["raise"], "delivery beside a sink that fails")
        platform.tell("expire_token")
        opens(city, *COVERS[1:])
        closes(city, *COVERS)
        city.caught_up()
        failing = (
            "SELECT s.name FROM episodes e JOIN alarms al USING (alarm_key) JOIN sinks s ON s.sink_key = al.subject_key"
            " WHERE al.rule_id = 'sink.failing' AND e.cleared_at IS NULL ORDER BY s.name"
        )
        until(lambda: city.rows(failing) == [("platform",), ("unreachable",)], "alarms about both sinks", 60)
        assert dead(city) == 0
        platform.renew_token()
        if not LONG:
            # The breaker tries every 30 s whether the sink works again: let them be over.
            city.do("UPDATE sinks SET open_until = now() WHERE name = 'platform' AND open_until IS NOT NULL")
        everything_is_delivered(city, platform, seconds=60)
        told_in_full(platform)
        until(lambda: city.rows(failing) == [("unreachable",)], "end of the platform's alarm", 60)
        assert dead(city) == 0
        assert "s3cret" not in city.log("alerts") + str(city.rows("SELECT * FROM outbox")), "a secret in plain sight"


def test_a_crew_hears_of_its_own_covers_and_of_their_end(city: City) -> None:
    """A red alarm goes to the robot of the unit that maintains the asset, and so does its end; nobody else is told."""
    deliver_quickly(city)
    with standing_in(city) as platform:
        robot = f"http://127.0.0.1:{platform.port}/cgi-bin/webhook/send?key="
        for name, unit in (("wenfeng", "文峰养护所"), ("beiguan", "北关养护所")):
            city.installation.run(
                "sinks", "add", name, "--channel", "wecom", "--unit", unit, "--set", f"url={robot}{name}"
            )
        platform.tell("error_code", target="robot", code=-1, count=2)
        city.start_ingest()
        city.start("alerts")
        opens(city, COVERS[0], COVERS[2])  # both are 文峰养护所's
        city.caught_up()
        until(lambda: len(platform.records("accepted", "robot")) == 2, "two messages to the crew", 90)
        closes(city, COVERS[0])
        city.caught_up()
        until(lambda: len(platform.records("accepted", "robot")) == 3, "the end of one")
        told = platform.records("accepted", "robot")
        assert {record["key"] for record in told} == {"wenfeng"}
        texts = [record["content"] for record in told]
        assert all("井盖打开" in text for text in texts), texts
        assert sum("cover001" in text for text in texts) == 2, texts
        assert city.value("SELECT count(*) FROM outbox JOIN sinks USING (sink_key) WHERE name = 'beiguan'") == 0
