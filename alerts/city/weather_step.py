"""Weather, as a step of the city: how each district is now, with the history of that.

The first of the steps that judge: limits that depend on the weather ask what it found.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from alerts.city.judging import Apart, Rulebook
from alerts.city.said import Live
from alerts.city.weather import Districts, Falls, Verdict, weather_now, wettest
from alerts.rules.weather import WeatherRule
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


class WeatherStep:
    """A rule that fails has no say; where no other has, the weather is unknown."""

    def __init__(self, rulebook: Rulebook, districts: Districts) -> None:
        self._rulebook = rulebook
        self._districts = districts
        self._apart = Apart()
        self._judged_at: datetime | None = None

    def __call__(self, connection: Connection, now: datetime) -> None:
        in_force = self._rulebook.of_kind(connection, WeatherRule)
        every_s = min((each.rule.every_s for each in in_force if isinstance(each.rule, WeatherRule)), default=0.0)
        soon = self._judged_at is not None and timedelta(0) <= now - self._judged_at < timedelta(seconds=every_s)
        if not in_force or soon:
            return
        self._judged_at = now
        districts = [district for (district,) in connection.execute(statement("city.districts")).fetchall()]
        said: dict[str, list[Verdict]] = {district: [] for district in districts}
        falls: Falls = {}
        for each in in_force:
            with self._apart.judging(connection, each):
                for district, one in self._districts.says(Live(connection), each, districts, falls, now):
                    said[district].append(one)
        self._apart.tell(connection, in_force, now)
        changed: list[dict[str, Any]] = []
        before = weather_now(connection)
        for district in districts:
            state = wettest([one.state for one in said[district]])
            if district in before and state is before[district].state:
                continue
            gauges, most = max(((one.gauges, one.most_mm_1h) for one in said[district]), default=(0, 0.0))
            changed.append(
                {"area_code": district, "state": state, "gauges": gauges, "most_mm_1h": most if gauges else None}
            )
        if changed:
            areas = [one["area_code"] for one in changed]
            connection.execute(statement("city.end_weather"), {"areas": areas, "now": now})
            connection.execute(statement("city.begin_weather"), {"rows": Jsonb(changed), "now": now})
