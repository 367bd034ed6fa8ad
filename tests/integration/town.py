"""A town as `underfoot alerts` sees it: a shard whose batches the test commits, and the city's ticks that it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from alerts.city.engine import City, Step, steps, take_over
from tests.integration.shard import SECOND, Shard, shard_of
from underfoot.reports import moment
from underfoot.storage.connect import Connection, connect


class Town:
    """`shard` has the clock; a tick is taken at its time."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.rows, self.one, self.ask = shard.rows, shard.one, shard.ask
        self._connection: Connection | None = None
        self.city: City

    def begin(self, only: Sequence[Step] | None = None) -> City:
        """Take the lock of `alerts`, and begin with nothing in memory."""
        self.end()
        self._connection = connect(self.shard.database, "city", autocommit=True)
        self.city = City(
            self._connection,
            take_over(self._connection),
            steps(self.shard.settings) if only is None else only,
        )
        return self.city

    def end(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def tick(self, after_us: int = 11 * SECOND) -> None:
        """Once what is judged every ten seconds is due again."""
        self.shard.wait(after_us)
        self.city.tick(moment(self.shard.now_us))

    def says(self, *reports: tuple[str, dict[str, Any]]) -> None:
        self.shard.commit(*(self.shard.says(device_id, values) for device_id, values in reports))

    def device(self, device_id: str, family: str, east_m: float = 0, north_m: float = 0, **columns: Any) -> None:
        """One more device, on an asset of its own so far from 114.5° E, 36.2° N. The shard is to begin anew."""
        self.ask.execute(
            "WITH a AS (INSERT INTO assets (code_scheme, asset_code, kind, name, area_code, address, lon, lat)"
            " VALUES ('test', %(id)s, %(kind)s, %(name)s, %(area)s, %(address)s, %(lon)s, %(lat)s) RETURNING asset_key)"
            " INSERT INTO devices"
            " (device_id, family, district, asset_key, expected_interval_s, created_at, gateway_key)"
            " SELECT %(id)s, %(family)s, %(area)s, asset_key, %(interval_s)s, now() - interval '30 days', %(gateway)s"
            " FROM a",
            {
                "id": device_id,
                "family": family,
                "kind": "0103",
                "name": device_id,
                "area": "410502",
                "address": "",
                "lon": 114.5 + east_m / 89_850,
                "lat": 36.2 + north_m / 111_195,
                "interval_s": 900,
                "gateway": None,
            }
            | columns,
        )

    def asset_key(self, device_id: str) -> int:
        return int(self.one("SELECT asset_key FROM devices WHERE device_id = %s", device_id)["asset_key"])

    def conditions(self, rule_id: str) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM conditions WHERE rule_id = %s AND shard = 'city'", rule_id)

    def open(self) -> dict[tuple[str, str], int]:
        """Rule and subject kind → severity of what is open, but for that a town without sinks has nobody to tell."""
        rows = self.rows(
            "SELECT rule_id, subject_kind, severity FROM episodes JOIN alarms USING (alarm_key)"
            " WHERE cleared_at IS NULL AND rule_id <> 'duty.nobody'"
        )
        return {(row["rule_id"], row["subject_kind"]): row["severity"] for row in rows}

    def suppressed(self, rule_id: str) -> list[str]:
        rows = self.rows("SELECT suppressed FROM alarms WHERE rule_id = %s ORDER BY alarm_key", rule_id)
        return ["+".join(row["suppressed"]) for row in rows]

    def weather(self) -> str | None:
        rows = self.rows("SELECT state FROM area_weather WHERE area_code = '410502' AND until IS NULL")
        return str(rows[0]["state"]) if rows else None


@contextmanager
def town_of(database: str, **settings: Any) -> Iterator[Town]:
    with shard_of(database, **settings) as shard:
        town = Town(shard)
        try:
            town.begin()
            yield town
        finally:
            town.end()
