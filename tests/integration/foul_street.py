"""A foul sewer in a street with a gauge in each manhole, and what the gauges say."""

from __future__ import annotations

from typing import Any

from tests.integration.shard import MINUTE
from tests.integration.town import Town

MANHOLES = 4


def lay(town: Town, first: int) -> None:
    """W{first} → … → the third one after it, DN 300, each 50 m and falling 0.25 m. It has rained; a tick was taken."""
    last = first + MANHOLES - 1
    for number in range(first, last + 1):
        town.device(f"P-{number}", "pipe", north_m=-50 * (number - first), address="安钢大道")
        town.ask.execute(
            "UPDATE assets SET name = %s, kind = '0102' WHERE asset_code = %s", [f"W{number}", f"P-{number}"]
        )
    for number in range(first, last):
        town.ask.execute(
            "INSERT INTO pipes"
            " (pipe_id, from_asset, to_asset, kind, diameter_mm, length_m, invert_up_m, invert_down_m)"
            " VALUES (%s, %s, %s, 'foul', 300, 50, %s, %s)",
            [
                f"W{number}-W{number + 1}",
                town.asset_key(f"P-{number}"),
                town.asset_key(f"P-{number + 1}"),
                100 - 0.25 * (number - first),
                100 - 0.25 * (number + 1 - first),
            ],
        )
    town.shard.restart()
    town.says(("N-1", {"amount_mm": 1.0}))
    town.tick()


def gauges_say(town: Town, first: int, *fills: float, **more: Any) -> None:
    """A report of every gauge, from W{first} on; a quarter of an hour goes by."""
    reports = [
        (f"P-{first + at}", {"fill_ratio": fill, "level_m": round(fill * 0.3, 3), "network": 0, **more})
        for at, fill in enumerate(fills)
    ]
    town.says(*reports, ("N-1", {"amount_mm": 1.0}))
    town.tick()
    town.shard.wait(15 * MINUTE)
