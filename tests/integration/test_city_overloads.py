"""Rain that the sewers will not carry, from gauges and a station to one alarm of the outfall."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alerts.messages.notice import message
from tests.integration.shard import MINUTE
from tests.integration.town import Town, town_of

OVERLOAD = ("drainage.overload_forecast", "asset")


@pytest.fixture
def catchment(module_database: str) -> Iterator[Town]:
    """Four storm sewers in a row down to the outfall W15, a gauge at each of the first three, and the station N-9."""
    with town_of(module_database) as town:
        for number in (11, 12, 13, 14, 15):
            town.device(f"P-{number}", "pipe", north_m=-50 * (number - 11), address="安钢大道")
            town.ask.execute(
                "UPDATE assets SET name = %s, kind = '0103' WHERE asset_code = %s", [f"W{number}", f"P-{number}"]
            )
        town.device("N-9", "rain", east_m=300, interval_s=300)
        for number in (11, 12, 13, 14):
            town.ask.execute(
                "INSERT INTO pipes"
                " (pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m)"
                " VALUES (%s, %s, %s, 'storm', 800, 50, %s, %s)",
                [
                    f"W{number}-W{number + 1}",
                    town.asset_key(f"P-{number}"),
                    town.asset_key(f"P-{number + 1}"),
                    100 - 0.1 * (number - 11),
                    100 - 0.1 * (number - 10),
                ],
            )
        town.shard.restart()
        yield town


def rains(town: Town, mm: float, *fills: float) -> None:
    """Five minutes go by; then the station says what fell in them, and each gauge how full its sewer is."""
    town.shard.wait(5 * MINUTE)
    levels = [
        (f"P-{11 + at}", {"fill_ratio": fill, "level_m": round(fill * 0.8, 3), "network": 1})
        for at, fill in enumerate(fills)
    ]
    town.says(("N-9", {"amount_mm": mm}), *levels)
    town.tick(61_000_000)
    town.shard.now_us -= 61_000_000


def test_harder_and_harder_rain_is_told_once_at_the_outfall(catchment: Town) -> None:
    catchment.shard.sink("crew", "crew", min_severity=2)
    rains(catchment, 0.0, 0.05, 0.05, 0.05)
    rains(catchment, 1.0, 0.2, 0.2, 0.2)
    rains(catchment, 1.3, 0.3, 0.3, 0.25)
    rains(catchment, 1.7, 0.35, 0.35, 0.3)
    assert OVERLOAD not in catchment.open(), "20 mm/h, of the 60 that it may rain here"
    rains(catchment, 2.2, 0.43, 0.43, 0.3)
    assert catchment.open()[OVERLOAD] == 2, "26 mm/h of 55, a quarter harder each five minutes"
    rains(catchment, 2.9, 0.5, 0.5, 0.35)
    assert catchment.open()[OVERLOAD] == 3
    episode = catchment.one(
        "SELECT a.name, e.proof FROM episodes e JOIN alarms al USING (alarm_key) JOIN assets a USING (asset_key)"
        " WHERE al.rule_id = 'drainage.overload_forecast'"
    )
    assert episode["name"] == "W15"
    assert episode["proof"]["nodes"] == ["P-11", "P-12"]
    assert 10 < episode["proof"]["value"] <= 20
    assert episode["proof"]["bears_mm_h"] > episode["proof"]["mm_h"] > 10
    told = catchment.rows(
        "SELECT snapshot FROM outbox JOIN sinks USING (sink_key) WHERE snapshot ->> 'rule_id' = %s"
        " ORDER BY delivery_key",
        OVERLOAD[0],
    )
    text = message(told[0]["snapshot"], "").text
    assert text.startswith("【黄】片区排水将超载｜安钢大道 W15汇水区，约12分钟后W11一带满管。")
    assert "低洼处、下穿布控备泵" in text
    assert len(text) <= 70


def test_steady_rain_is_not_foreseen_to_overload_anything(catchment: Town) -> None:
    for fill in (0.1, 0.3, 0.5, 0.55, 0.55, 0.55):
        rains(catchment, 2.0, fill, fill, fill)
    assert OVERLOAD not in catchment.open()


def test_unknown_freezes_and_rain_that_eases_ends_it(catchment: Town) -> None:
    for mm, fill in ((0.0, 0.05), (1.0, 0.2), (1.3, 0.3), (1.7, 0.35), (2.2, 0.43), (2.9, 0.5)):
        rains(catchment, mm, fill, fill, fill)
    assert catchment.open()[OVERLOAD] == 3
    catchment.shard.wait(30 * MINUTE)
    catchment.tick(61_000_000)
    assert OVERLOAD in catchment.open(), "nobody has said anything for half an hour"
    for mm, fill in ((2.0, 0.6), (1.0, 0.5), (0.4, 0.4), (0.2, 0.3), (0.0, 0.2)):
        rains(catchment, mm, fill, fill, fill)
    assert OVERLOAD not in catchment.open()
