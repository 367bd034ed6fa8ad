"""Gate: what is raised while its district is in flood is kept back at once, in the transaction that raises it.

The step that groups alarms (alerts/storm/incidents.py) runs every few seconds; without this, a crew would be told of
hundreds before it sees them. It takes over what is held here, or tells what no incident takes. Should it not come,
the hold ends by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from alerts.regions.suppression import InForce
from alerts.storm.rule import numbers_of, rule_for, storm_rule
from underfoot.alarms import Severity, Suppression
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

KEPT_BACK_UP_TO = Severity.orange
"""Red speaks for itself, in any storm."""


def flood_cause(area_code: str) -> str:
    return f"flood:{area_code}"


def held(connection: Connection, raised: Sequence[tuple[int, str, int]]) -> dict[int, tuple[InForce, datetime]]:
    """Of alarms that are being raised (key, rule, severity), which are held from now on, and how."""
    if all(severity > KEPT_BACK_UP_TO for _, _, severity in raised):
        return {}
    rule = storm_rule(connection)
    if rule is None:
        return {}
    groups = numbers_of(rule).group
    wanted = {
        alarm_key
        for alarm_key, rule_id, severity in raised
        if severity <= KEPT_BACK_UP_TO and rule_id in groups and not groups[rule_id].alone
    }
    if not wanted:
        return {}
    params = {"alarm_keys": [alarm_key for alarm_key, _, _ in raised], "window_s": numbers_of(rule).window_s}
    rows = connection.execute(statement("storm.gate"), params, prepare=False).fetchall()
    own = Counter(row[1] for row in rows)
    holding: dict[int, tuple[InForce, datetime]] = {}
    for alarm_key, area_code, in_flood, before, now in rows:
        here = rule_for(rule, area_code) if alarm_key in wanted else None
        if here is not None and (in_flood or before + own[area_code] > numbers_of(here).enter_above):
            until = now + timedelta(seconds=numbers_of(here).hold_s)
            one = InForce(Suppression.by_design, flood_cause(area_code), KEPT_BACK_UP_TO, until, "暴雨期间，等待汇总")
            holding[alarm_key] = (one, now)
    return holding
