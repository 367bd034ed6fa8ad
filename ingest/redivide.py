"""Redivide: what an operator wants changed about the division. The holders of the shards carry it out (`division`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg.types.json import Jsonb

from ingest.division import MAIN, Division, give, read_division
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement
from underfoot.topics import DISTRICT

_SHARD = re.compile(r"[a-z0-9_-]{1,32}", re.ASCII)
_FAR_BEHIND_S = 60.0


class ShardError(Exception):
    """The division cannot be changed so: says what is in the way."""


@dataclass
class Change:
    """What has come of it, by district: moved at once, on its way, called back, or as it was."""

    moved: list[str] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    called_back: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)


def split_by_district(connection: Connection, *, actor: str) -> Change:
    """Each district in which `main` has devices becomes a shard of its own, named after it."""
    with connection.transaction():
        found = connection.execute(statement("shard.districts_with_devices"), {"shard": MAIN})
        return redivide(connection, {district: district for (district,) in found}, actor=actor)


def redivide(connection: Connection, wanted: Mapping[str, str], *, actor: str) -> Change:
    """District → the shard that is to have it, a new one where there is none of that name."""
    for district, shard in wanted.items():
        if not DISTRICT.fullmatch(district):
            raise ShardError(f"district = {district!r}：应为 6 位区划代码 · 6 digits are needed, like 410502")
        if not _SHARD.fullmatch(shard):
            raise ShardError(f"shard = {shard!r}：1–32 个小写字母、数字、_ 或 - · 1 to 32 of a-z 0-9 _ -")
    change = Change()
    with connection.transaction():
        connection.execute(statement("shard.lock_division"))
        division = read_division(connection)
        moves = {row[0]: (row[1], row[2]) for row in connection.execute(statement("shard.moves"))}
        for district, shard in sorted(wanted.items()):
            before = _owner(division, district)
            if district in moves:
                _pending(connection, district, moves[district], shard, change)
            elif shard == before:
                change.unchanged.append(district)
            elif moves:
                raise ShardError(
                    f"{'、'.join(sorted(moves))} 正在迁移，请等待完成 · {', '.join(sorted(moves))} are on their way:"
                    " `underfoot shards list` shows when they have arrived"
                )
            else:
                _begin(connection, division, district, before, shard, change)
        detail = {"wanted": dict(wanted), "moved": change.moved, "begun": change.begun, "back": change.called_back}
        params = {"actor": actor, "action": "shard.divide", "subject": "shards", "detail": Jsonb(detail)}
        connection.execute(statement("ledger.audit"), params)
    return change


def _owner(division: Division, district: str) -> str:
    return next((shard for shard, state in division.shards.items() if district in (state.districts or ())), MAIN)


def _pending(connection: Connection, district: str, move: tuple[str, str], shard: str, change: Change) -> None:
    before, after = move
    if shard == before:
        connection.execute(statement("shard.end_moves"), {"shard": before, "districts": [district]})
        change.called_back.append(district)
    elif shard == after:
        change.begun.append(district)
    else:
        raise ShardError(
            f"{district} 正在从 {before} 迁往 {after} · {district} is on its way from {before} to {after}: wait for it,"
            f" or call it back: `underfoot shards assign {district} {before}`"
        )


def _begin(connection: Connection, division: Division, district: str, before: str, after: str, change: Change) -> None:
    if after not in division.shards:
        connection.execute(statement("shard.add_shard"), {"shard": after})
    elif behind_s := _behind_s(connection, before, after):
        raise ShardError(
            f"{before} 落后 {behind_s:.0f} 秒，{after} 须等待其追上 · {before} is {behind_s:.0f} s behind, and {after}"
            " would have to wait until it has caught up: try again then, or name a new shard"
        )
    moves = [(district, before, after)]
    if _never_began(connection, before):
        give(connection, moves)
        change.moved.append(district)
    else:
        params = {"district": district, "before": before, "after": after}
        connection.execute(statement("shard.begin_move"), params)
        change.begun.append(district)


def _never_began(connection: Connection, shard: str) -> bool:
    """Nothing waits at the broker for a shard that nobody has ever held, nor holds now."""
    row = connection.execute(statement("shard.never_began"), {"shard": shard}).fetchone()
    return row is not None and bool(row[0])


def _behind_s(connection: Connection, before: str, after: str) -> float:
    """How far behind the shard is that the other, which has devices already, would wait for; 0 if not far."""
    row = connection.execute(statement("shard.behind"), {"before": before, "after": after}).fetchone()
    behind_s = float(row[0] or 0.0) if row is not None else 0.0
    return behind_s if behind_s > _FAR_BEHIND_S else 0.0
