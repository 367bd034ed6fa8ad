"""Division: which districts each shard has, and how one goes to another shard without a report lost or out of order.

A district moves in four steps, each taken by the holder of a shard. The new shard's session subscribes. The old one
commits all that had come for it until then: its own probe comes back. Its session unsubscribes. When a probe has come
back once more, nothing is on its way to it any longer, and it hands the devices over in that batch's transaction. Only
then does the new shard begin with them. (The first probe, since a broker may drop at once what waits for a subscription
that ends; the second, so that no report is judged by two.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ingest.codecs.mappings import filters_in_force
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement
from underfoot.topics import filters_of

MAIN = "main"
"""The shard of every district that no other shard has."""


@dataclass(frozen=True)
class Plan:
    """What a shard's holder is to do about its session. `coming` are districts to wait for; of those that go,
    `draining` are to be drained, `leaving` to be handed over. `surplus` is what its session is still subscribed to, and
    no longer needs to be."""

    filters: tuple[str, ...]
    surplus: tuple[str, ...] = ()
    coming: frozenset[str] = frozenset()
    draining: frozenset[str] = frozenset()
    leaving: frozenset[str] = frozenset()

    def outdates(self, before: Plan) -> bool:
        """Whether a tenure that began by the plan `before` must begin again."""
        return bool(
            set(self.filters) - set(before.filters)
            or set(self.surplus) - set(before.surplus)
            or self.coming - before.coming
            or (self.draining, self.leaving) != (before.draining, before.leaving)
        )


@dataclass(frozen=True)
class ShardState:
    """A shard as the database has it. `districts` None: every district that no other shard has."""

    shard: str
    districts: frozenset[str] | None
    subscribed: frozenset[str] = frozenset()
    coming: frozenset[str] = frozenset()
    going: frozenset[str] = frozenset()
    drained: frozenset[str] = frozenset()
    epoch: int = 0
    worker_key: int | None = None
    locked: bool = False


@dataclass(frozen=True)
class Division:
    """All shards at one moment, and every district that there is."""

    shards: dict[str, ShardState]
    known: frozenset[str] = field(default_factory=frozenset)
    mapped: dict[str, frozenset[str]] = field(default_factory=dict)
    """By shard, what its session takes for vendors' mappings."""

    def plan(self, shard: str) -> Plan:
        mine = self.shards[shard]
        # Nobody unsubscribes while somebody has yet to subscribe.
        settled = all(self._needs(other) <= other.subscribed for other in self.shards.values() if other is not mine)
        draining = mine.going - mine.drained if settled else frozenset[str]()
        leaving = mine.going if settled and not draining else frozenset[str]()
        districts = self._districts(mine)
        if leaving:
            districts = (self.known if districts is None else districts) - leaving
        filters = self._filters(mine, None if districts is None else districts | mine.coming)
        surplus = mine.subscribed - set(filters) if settled else ()
        return Plan(tuple(filters), tuple(sorted(surplus)), mine.coming, draining, leaving)

    def _needs(self, state: ShardState) -> set[str]:
        districts = self._districts(state)
        return set(self._filters(state, None if districts is None else districts | state.coming))

    def _filters(self, state: ShardState, districts: frozenset[str] | None) -> list[str]:
        return [*filters_of(districts), *sorted(self.mapped.get(state.shard, ()))]

    def _districts(self, state: ShardState) -> frozenset[str] | None:
        if state.districts is not None:
            return state.districts
        others = frozenset[str]().union(*(other.districts or () for other in self.shards.values()))
        return self.known - others if others else None


def read_division(connection: Connection) -> Division:
    shards = {
        shard: ShardState(
            shard,
            None if districts is None else frozenset(districts),
            frozenset(subscribed),
            frozenset(coming),
            frozenset(going),
            frozenset(drained),
            epoch,
            worker_key,
            locked,
        )
        for shard, districts, subscribed, coming, going, drained, epoch, worker_key, locked in connection.execute(
            statement("shard.division")
        )
    }
    divided = any(state.districts or state.coming for state in shards.values())
    known = {district for (district,) in connection.execute(statement("shard.districts"))} if divided else set()
    return Division(shards, frozenset(known), filters_in_force(connection))


def waits_for_devices(connection: Connection, shard: str) -> bool:
    row = connection.execute(statement("shard.waits_for_devices"), {"shard": shard}).fetchone()
    return row is not None and bool(row[0])


def advance(connection: Connection, shard: str, plan: Plan) -> bool:
    """The shard's own probe is back, sent since its session is as `plan` has it: the next step of what goes from here,
    in the caller's transaction. Whether there was one: the tenure is to begin again."""
    if plan.draining:
        params = {"shard": shard, "districts": sorted(plan.draining)}
        return connection.execute(statement("shard.drained"), params).rowcount > 0
    return bool(plan.leaving) and _hand_over(connection, shard, plan.leaving)


def _hand_over(connection: Connection, shard: str, leaving: Iterable[str]) -> bool:
    row = connection.execute(statement("shard.try_lock_division")).fetchone()
    if row is None or not row[0]:
        return False  # somebody registers devices just now: at the next probe
    params = {"shard": shard, "districts": sorted(leaving)}
    moves = connection.execute(statement("shard.end_moves"), params).fetchall()
    if moves:
        give(connection, moves)
    return bool(moves)


def give(connection: Connection, moves: Iterable[tuple[str, str, str]]) -> None:
    """(district, from shard, to shard): the division, the devices and what waits for their alarms follow."""
    districts, before, after = (list(column) for column in zip(*moves, strict=True))
    params = {"districts": districts, "before": before, "after": after}
    connection.execute(statement("shard.move_districts"), params)
    connection.execute(statement("shard.move_devices"), params)
    connection.execute(statement("shard.move_commands"), params)
