"""Concerned: which rules over several devices ask devices of which something came late, and about whom.

For each such rule the subjects, and everybody that it asks about them: what it takes to judge it again. Of single
devices only those that reached what the rule asks at any time since then, or of whom anything is on record.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from psycopg import sql

from alerts.city import blockages
from alerts.city.again import Task
from alerts.city.blockages import Blockages
from alerts.city.composite import Composite, holds, own_needs
from alerts.city.conditioned import Conditioned
from alerts.city.devices import Device, Places, apart_m, devices_of, matching, sources_of
from alerts.city.doubts import Doubts
from alerts.city.judging import Judge, Rulebook
from alerts.city.memory import BY_CONDITION, BY_LIMIT, Reasons
from alerts.city.network import Network
from alerts.city.overloads import Overloads
from alerts.city.past import Asked, Past
from alerts.city.stuck import Stuck
from alerts.city.weather import Districts, reach_s
from alerts.drainage.graph import DrainageGraph
from alerts.judge.outcome import RuleInForce
from alerts.rules import BlockageRule, CompositeRule, ConditionedRule, DoubtRule, OverloadRule, StuckRule
from alerts.rules.conditioned import SETS
from alerts.rules.weather import WeatherRule
from underfoot.alarms import SubjectKind
from underfoot.families import FAMILIES
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

LONGEST = timedelta(days=8)
"""No report is trusted to be older (7 days), and a day for what it takes to judge it."""

_MOMENTS = 2000
"""In a longer past they are further apart."""
_TOGETHER = 20
"""Single devices that one task is about."""
_EACH_TICK_S = 2.0
_SAMPLES_WITHIN_S = 3600.0
"""What is on its way by samples began no longer before than that, or its rule's delay."""
_LEVELS = {"pipe": frozenset({"level_m", "fill_ratio", "flow_m3_h"}), "cover": frozenset({"water_below_rim_m"})}
_COURSES = frozenset({("pipe", "level_m"), ("pipe", "flow_m3_h")})
_RAIN = frozenset({"amount_mm", "intensity_mm_h"})
_NOBODY: frozenset[int] = frozenset()

NetworkRule = BlockageRule | OverloadRule | DoubtRule
SeveralDevicesRule = ConditionedRule | CompositeRule | StuckRule | NetworkRule


class Concerned:
    def __init__(self, rulebook: Rulebook, places: Places, network: Network, districts: Districts) -> None:
        self._rulebook = rulebook
        self._places = places
        self._network = network
        self._districts = districts
        self._book: list[RuleInForce] = []
        self._rules: list[RuleInForce] = []
        self._judges: dict[type, tuple[Judge, Reasons]] = {
            ConditionedRule: (Conditioned(places), BY_LIMIT),
            CompositeRule: (Composite(places), BY_CONDITION),
            StuckRule: (Stuck(places), BY_CONDITION),
            DoubtRule: (Doubts(network), BY_CONDITION),
            BlockageRule: (Blockages(rulebook, network), blockages.REASONS),
            OverloadRule: (Overloads(places, network), BY_LIMIT),
        }

    def rules(self, connection: Connection) -> list[RuleInForce]:
        """Another list only where they have changed."""
        book = self._rulebook.all(connection)
        if book is not self._book:
            self._book = book
            several = [each for each in book if isinstance(each.rule, SeveralDevicesRule)]
            # What is doubted is no witness of a blockage: first who is.
            self._rules = sorted(several, key=lambda each: not isinstance(each.rule, DoubtRule))
        return self._rules

    def tasks(
        self, connection: Connection, in_force: RuleInForce, since: Mapping[int, datetime], now: datetime
    ) -> Iterator[Task]:
        """What of a rule is to be judged again, where these devices' past has changed, each since then."""
        late = devices_of(connection, list(since))
        rule = in_force.rule
        if not late:
            return
        first = max(min(since[key] for key in late), now - LONGEST)
        match rule:
            case BlockageRule() | OverloadRule() | DoubtRule():
                yield from self._of_network(connection, in_force, rule, late, since, now)
            case StuckRule():
                subjects = self._near(connection, rule, late.values())
                yield from self._of_devices(connection, in_force, rule, subjects, first, now)
            case ConditionedRule() | CompositeRule():
                subjects = self._asking(connection, rule, late.values())
                reached = self._reached(connection, in_force, rule, subjects, first, now)
                yield from self._of_devices(connection, in_force, rule, reached, first, now)

    # of single devices ----------------------------------------------------------------------------------------------

    def _of_devices(
        self,
        connection: Connection,
        in_force: RuleInForce,
        rule: ConditionedRule | CompositeRule | StuckRule,
        subjects: Sequence[int],
        since: datetime,
        now: datetime,
    ) -> Iterator[Task]:
        for first in range(0, len(subjects), _TOGETHER):
            devices = devices_of(connection, subjects[first : first + _TOGETHER])
            if not devices:
                continue
            match rule:
                case StuckRule():
                    asked = self._stuck_asks(connection, rule, devices)
                case ConditionedRule():
                    asked = self._conditioned_asks(connection, rule, devices)
                case CompositeRule():
                    asked = self._composite_asks(connection, rule, devices)
            yield self._task(connection, in_force, SubjectKind.device, asked.subjects, asked, since, now)

    def _near(self, connection: Connection, rule: StuckRule, late: Collection[Device]) -> list[int]:
        """Who stands still beside what moved, or moved beside what stands still."""
        places, found = self._places.of(connection, rule.family), list[int]()
        for device in late:
            if device.family == rule.family:
                found.append(device.device_key)
                found += (one.device_key for one in places.within(device.lon, device.lat, rule.within_m))
            elif device.family == "rain" and rule.rain_moves_it:
                districts = self._asking_rain(connection, device)
                found += (one.device_key for one in places.devices if one.district in districts)
        return list(dict.fromkeys(found))

    def _asking(
        self, connection: Connection, rule: CompositeRule | ConditionedRule, late: Collection[Device]
    ) -> list[int]:
        """Of whom the rule speaks when it asks these devices."""
        found: list[int] = []
        for device in late:
            found += [device.device_key] if device.family == rule.family else []
            if isinstance(rule, ConditionedRule):
                reach = rule.water.within_m if rule.water is not None and device.family == "road" else 0.0
            else:
                reach = 0.0
                for one in rule.inputs.values():
                    if one.family != device.family:
                        continue
                    reach = max(reach, one.within_m or 0.0)
                    if one.of == "same_asset":
                        at = matching(connection, "at_assets", [device.asset_key], rule.family)
                        found += at.get(device.asset_key, [])
                    elif one.of == "same_gateway" and device.gateway_key is not None:
                        behind = matching(connection, "behind_gateways", [device.gateway_key], rule.family)
                        found += behind.get(device.gateway_key, [])
            if reach:
                near = self._places.of(connection, rule.family).within(device.lon, device.lat, reach)
                found += (one.device_key for one in near)
            if device.family == "rain" and _asks_weather(rule):
                districts = self._asking_rain(connection, device)
                of_family = self._places.of(connection, rule.family).devices
                found += (one.device_key for one in of_family if one.district in districts)
        return list(dict.fromkeys(found))

    def _asking_rain(self, connection: Connection, gauge: Device) -> set[str]:
        """The districts whose weather this gauge may have a say in."""
        districts = [code for (code,) in connection.execute(statement("city.districts")).fetchall()]
        weather = self._rulebook.of_kind(connection, WeatherRule)
        return {
            district
            for district in districts
            for each in weather
            if gauge.device_key in self._districts.gauges(connection, each, district)
        }

    def _reached(
        self,
        connection: Connection,
        in_force: RuleInForce,
        rule: CompositeRule | ConditionedRule,
        subjects: Sequence[int],
        since: datetime,
        now: datetime,
    ) -> list[int]:
        """Of these, those that reached what the rule asks of themselves, or of whom anything is on record."""
        variants = [rule, *(v.rule for v in in_force.variants if isinstance(v.rule, CompositeRule | ConditionedRule))]
        ways = [way for each in variants for way in _ways(each)]
        if not subjects or not ways:
            return list(subjects)
        age_s = max(_oldest_s(each) for each in variants)
        query = sql.SQL(statement("city.reached")).format(
            table=sql.Identifier(FAMILIES[rule.family].table), reaches=sql.SQL(" OR ").join(ways)
        )
        params = {
            "device_keys": list(subjects),
            "since": since - timedelta(seconds=age_s + _SAMPLES_WITHIN_S),
            "until": now,
            "rule_id": rule.rule_id,
            "open_since": since,
        }
        reached = {key for (key,) in connection.execute(query, params)}
        return [key for key in subjects if key in reached]

    def _composite_asks(self, connection: Connection, rule: CompositeRule, devices: Mapping[int, Device]) -> Asked:
        asked = Asked(frozenset(devices), {rule.family: frozenset(devices)}, {}, 0.0)
        for one in rule.inputs.values():
            if one.of == "area_rain":
                asked = asked.together(self._rain_asks(connection, devices))
                continue
            family: str = one.family or rule.family
            name = one.column(rule.family).name
            sources = sources_of(connection, self._places, one, rule, devices)
            keys = frozenset(key for found in sources.values() for key in found)
            followed = frozenset({(family, name)} if one.over_s is not None else ())
            window_s = (one.max_age_s or 0.0) + (one.over_s or 0.0)
            fields = {family: frozenset({name})}
            asked = asked.together(Asked(_NOBODY, {family: keys}, fields, window_s, followed))
        return asked

    def _conditioned_asks(self, connection: Connection, rule: ConditionedRule, devices: Mapping[int, Device]) -> Asked:
        fields: dict[str, frozenset[str]] = {rule.family: frozenset({rule.field, *rule.when, *rule.unless})}
        keys = frozenset(devices)
        asked = Asked(keys, {rule.family: keys}, fields, rule.max_age_s)
        if rule.water is not None:
            roads = self._places.of(connection, "road")
            near = [roads.nearest(one.lon, one.lat, rule.water.within_m) for one in devices.values()]
            gauges = frozenset(one[0].device_key for one in near if one is not None)
            wet = Asked(_NOBODY, {"road": gauges}, {"road": frozenset({"depth_cm"})}, rule.water.max_age_s)
            asked = asked.together(wet)
        return asked.together(self._rain_asks(connection, devices))

    def _stuck_asks(self, connection: Connection, rule: StuckRule, devices: Mapping[int, Device]) -> Asked:
        places, keys = self._places.of(connection, rule.family), frozenset(devices)
        near = {
            one.device_key
            for device in devices.values()
            for one in places.within(device.lon, device.lat, rule.within_m)
        }
        fields: dict[str, frozenset[str]] = {rule.family: frozenset({rule.field})}
        window_s = rule.span_s + rule.max_age_s
        asked = Asked(keys, {rule.family: keys | near}, fields, window_s, frozenset({(rule.family, rule.field)}))
        if rule.rain_moves_it:
            rain = self._rain_asks(connection, devices)
            asked = asked.together(rain).together(Asked(_NOBODY, {}, {}, rain.window_s + rule.span_s))
        return asked

    def _rain_asks(self, connection: Connection, devices: Mapping[int, Device]) -> Asked:
        """The weather of these devices' districts, and the gauges that have a say in it."""
        districts = frozenset(device.district for device in devices.values())
        gauges, window_s = set[int](), 0.0
        for each in self._rulebook.of_kind(connection, WeatherRule):
            for rule in (each.rule, *(variant.rule for variant in each.variants)):
                if isinstance(rule, WeatherRule):
                    window_s = max(window_s, reach_s(rule) + rule.max_age_s)
            for district in districts:
                gauges |= self._districts.gauges(connection, each, district)
        followed = frozenset(("rain", name) for name in _RAIN)
        return Asked(_NOBODY, {"rain": frozenset(gauges)}, {"rain": _RAIN}, window_s, followed, districts)

    # of the network -------------------------------------------------------------------------------------------------

    def _of_network(
        self,
        connection: Connection,
        in_force: RuleInForce,
        rule: NetworkRule,
        late: Mapping[int, Device],
        since: Mapping[int, datetime],
        now: datetime,
    ) -> Iterator[Task]:
        """By catchment."""
        graph, belongs = self._network.of(connection)
        begins: dict[int, datetime] = {}
        for key, device in late.items():
            for outfall in self._catchments(graph, belongs, rule, device):
                begins[outfall] = min(max(since[key], now - LONGEST), begins.get(outfall, now))
        for outfall, begin in begins.items():
            nodes = {node for node in graph.digraph if belongs.get(node, node) == outfall}
            rows = connection.execute(statement("city.devices_at"), {"asset_keys": sorted(nodes)}).fetchall()
            gauges = {name: frozenset(key for key, family in rows if family == name) for name in _LEVELS}
            if isinstance(rule, DoubtRule):
                asked = Asked(_NOBODY, gauges, _LEVELS, rule.max_age_s + rule.params.rises_s, _COURSES)
                yield self._task(connection, in_force, SubjectKind.device, gauges["pipe"], asked, begin, now)
                continue
            asked = Asked(_NOBODY, gauges, _LEVELS, rule.params.max_age_s)
            if isinstance(rule, BlockageRule):
                pipes = frozenset(pipe.pipe_key for pipe in graph.pipes.values() if pipe.from_asset in nodes)
                yield self._task(connection, in_force, SubjectKind.pipe, pipes, asked, begin, now)
            else:
                asked = asked.together(self._stations(connection, graph, nodes, rule))
                yield self._task(connection, in_force, SubjectKind.asset, frozenset({outfall}), asked, begin, now)

    def _catchments(
        self, graph: DrainageGraph, belongs: Mapping[int, int], rule: NetworkRule, device: Device
    ) -> set[int]:
        """By outfall; a part of the network that has none is a catchment a node."""
        if device.family in _LEVELS and device.asset_key in graph:
            return {belongs.get(device.asset_key, device.asset_key)}
        if device.family != "rain" or not isinstance(rule, OverloadRule):
            return set()
        return {
            belongs[key]
            for key, node in graph.nodes.items()
            if key in belongs and apart_m(device, node.lon, node.lat) <= rule.params.rain_within_m
        }

    def _stations(self, connection: Connection, graph: DrainageGraph, nodes: set[int], rule: OverloadRule) -> Asked:
        stations, found = self._places.of(connection, "rain"), set[int]()
        for key in nodes:
            node = graph.nodes.get(key)
            if node is not None:
                found |= {one.device_key for one in stations.within(node.lon, node.lat, rule.params.rain_within_m)}
        window_s = float(rule.params.max_age_s * 2 + rule.params.gathers_most_s + 3 * rule.params.now_s)
        followed = frozenset(("rain", name) for name in _RAIN)
        return Asked(_NOBODY, {"rain": frozenset(found)}, {"rain": _RAIN}, window_s, followed)

    # both -----------------------------------------------------------------------------------------------------------

    def _task(
        self,
        connection: Connection,
        in_force: RuleInForce,
        kind: SubjectKind,
        keys: frozenset[int],
        asked: Asked,
        since: datetime,
        now: datetime,
    ) -> Task:
        judge, reasons = self._judges[type(in_force.rule)]
        since_us, now_us = microseconds(since), microseconds(now)
        from_us = since_us - int(_lead_s(in_force) * 1e6)
        every_s = getattr(in_force.rule, "every_s", _EACH_TICK_S)
        past = Past(
            connection,
            asked,
            self._rulebook.of_kind(connection, WeatherRule),
            self._districts,
            from_us=from_us,
            grid_us=max(int(every_s * 1e6), (now_us - from_us) // _MOMENTS, 1),
        )
        return Task(in_force, judge, reasons, kind, keys, past, since_us)


def _asks_weather(rule: CompositeRule | ConditionedRule) -> bool:
    return isinstance(rule, ConditionedRule) or any(one.of == "area_rain" for one in rule.inputs.values())


def _ways(rule: CompositeRule | ConditionedRule) -> Iterator[sql.Composable]:
    """What of a device's own the rule needs, each by itself: values that belong together may come in two reports."""
    if isinstance(rule, CompositeRule):
        yield from map(holds, own_needs(rule))
        return
    limits = [level.limit for name in SETS for level in rule.levels_of(name)]
    way, first = (">=", min(limits)) if rule.looks == "above" else ("<=", max(limits))
    yield sql.SQL("{} {} {}::real").format(sql.Identifier(rule.field), sql.SQL(way), sql.Literal(first))


def _oldest_s(rule: CompositeRule | ConditionedRule) -> float:
    if isinstance(rule, ConditionedRule):
        return rule.max_age_s
    return max((one.max_age_s or 0.0 for one in rule.inputs.values()), default=0.0)


def _lead_s(in_force: RuleInForce) -> float:
    """So long before what is held against the record its judging begins, to know what is on its way then."""
    longest = 0.0
    delays: tuple[float, ...]
    for rule in (in_force.rule, *(variant.rule for variant in in_force.variants)):
        match rule:
            case CompositeRule():
                delays, within = (rule.on_delay_s, rule.off_delay_s), _oldest_s(rule)
            case ConditionedRule():
                levels = [level for name in SETS for level in rule.levels_of(name)]
                delays, within = (*(level.on_delay_s for level in levels), rule.off_delay_s), rule.max_age_s
            case DoubtRule():
                delays, within = (rule.on_delay_s, rule.off_delay_s), rule.max_age_s
            case BlockageRule():
                delays, within = (rule.on_delay_s, rule.off_delay_s), float(rule.params.max_age_s)
            case OverloadRule():
                delays = (*(level.on_delay_s for level in rule.levels), rule.off_delay_s)
                within = float(rule.params.max_age_s)
            case _:
                continue
        longest = max(longest, max(delays) + min(within, _SAMPLES_WITHIN_S))
    return longest
