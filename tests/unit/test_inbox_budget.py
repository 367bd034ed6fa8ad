"""How much of a flood goes into quarantine."""

from __future__ import annotations

from ingest.arrival import Arrival
from ingest.decode import Rejected
from ingest.quarantine import Budget, _most_various
from ingest.reasons import Rejection


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def budget(rate_per_s: float, burst: int) -> tuple[Budget, Clock]:
    clock = Clock()
    return Budget(rate_per_s, burst, clock), clock


def test_a_burst_is_kept_whole_and_then_the_sustained_rate() -> None:
    granting, clock = budget(200, 10_000)
    assert granting.grant("undecodable", "mqtt", 9_000) == 9_000
    assert granting.grant("undecodable", "mqtt", 9_000) == 1_000
    assert granting.grant("undecodable", "mqtt", 9_000) == 0
    kept = 0
    for _ in range(100):
        clock.now += 0.1
        kept += granting.grant("undecodable", "mqtt", 1_000)
    assert kept == 2_000


def test_a_quiet_time_fills_the_bucket_up_to_the_burst_and_no_further() -> None:
    granting, clock = budget(200, 1_000)
    assert granting.grant("undecodable", "mqtt", 1_000) == 1_000
    clock.now += 2
    assert granting.grant("undecodable", "mqtt", 1_000) == 400
    clock.now += 86_400
    assert granting.grant("undecodable", "mqtt", 5_000) == 1_000


def test_each_reason_and_each_source_has_a_bucket_of_its_own() -> None:
    granting, _ = budget(0, 5)
    assert granting.grant("undecodable", "mqtt", 9) == 5
    assert granting.grant("undecodable", "http", 9) == 5
    assert granting.grant("unknown_device", "mqtt", 9) == 5
    assert granting.grant("undecodable", "mqtt", 1) == 0


def test_however_long_a_flood_lasts_an_example_a_minute_is_kept() -> None:
    granting, clock = budget(0, 3)
    assert granting.grant("undecodable", "mqtt", 100) == 3
    kept = []
    for second in range(1, 301):
        clock.now += 1
        if granting.grant("undecodable", "mqtt", 100):
            kept.append(second)
    assert kept == [60, 120, 180, 240, 300]


def test_less_than_one_a_second_is_possible() -> None:
    granting, clock = budget(0.1, 1)
    assert granting.grant("undecodable", "mqtt", 1) == 1
    kept = 0
    for _ in range(600):
        clock.now += 0.1
        kept += granting.grant("undecodable", "mqtt", 1)
    assert kept in (5, 6)


def rejected(*topics: str) -> list[Rejected]:
    return [Rejected(Arrival(topic, b"", 1, 1, False, False, 0, 1), b"", Rejection.undecodable, "") for topic in topics]


def test_one_mad_device_hides_no_other() -> None:
    flood = rejected(*["mad"] * 50, "quiet", *["mad"] * 50, "other")
    assert sorted(_most_various(flood, list(range(102)), 4)) == [0, 1, 50, 101]
    assert _most_various(flood, list(range(102)), 0) == []
