"""The mappings that ship, and those in force: versioned data in the database, as rules are.

A change notifies the holders of shards: their tenure ends, and the next one loads what is in force then.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from ingest.codecs.mapping import Mapping, MappingError, parse_mapping
from ingest.codecs.patterns import overlapping, topic_filter
from ingest.codecs.yaml_file import mapping_of
from underfoot.audit.log import enter
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


class UnreadableMapping(NamedTuple):
    """A mapping that was put in force by another version of Underfoot, and says what this one can't read. Its messages
    go on being received, and are quarantined with the reason: refusing to start would stop everybody's."""

    name: str
    shard: str
    topics: tuple[str, ...]
    http: bool
    problem: str


class InForce(NamedTuple):
    mapping: Mapping | UnreadableMapping
    version: int
    created_at: datetime
    created_by: str


@cache
def shipped() -> dict[str, Mapping]:
    """The mappings that come with Underfoot, by name. They are in force once a city adds them."""
    found: dict[str, Mapping] = {}
    for entry in sorted((files("ingest.codecs") / "vendors").iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".yaml"):
            mapping = mapping_of(entry.read_bytes(), entry.name)
            if entry.name != f"{mapping.name}.yaml":
                raise MappingError(f"{entry.name}: is named {mapping.name}")
            found[mapping.name] = mapping
    return found


def shipped_text(name: str) -> str:
    """A shipped mapping's file, with what is written beside it."""
    return (files("ingest.codecs") / "vendors" / f"{name}.yaml").read_text(encoding="utf-8")


def in_force(connection: Connection) -> list[InForce]:
    return [
        InForce(_kept(name, body), version, created_at, created_by)
        for name, version, body, created_at, created_by in connection.execute(statement("mappings.in_force"))
    ]


def mappings_in_force(connection: Connection) -> list[Mapping | UnreadableMapping]:
    """What `Codecs` is made of."""
    return [entry.mapping for entry in in_force(connection)]


def filters_in_force(connection: Connection) -> dict[str, frozenset[str]]:
    """By shard, the MQTT topic filters that its session takes for mappings, whether this version can read them or not;
    cheap enough to look at all the time."""
    topics = connection.execute(statement("mappings.topics_in_force"))
    return {shard: frozenset(map(topic_filter, patterns)) for shard, patterns in topics}


def _kept(name: str, body: dict[str, Any]) -> Mapping | UnreadableMapping:
    try:
        return parse_mapping(body)
    except MappingError as error:
        return UnreadableMapping(name, body["shard"], tuple(body["topics"]), body["http"], str(error))


def add(connection: Connection, mapping: Mapping, *, actor: str) -> int | None:
    """Put a mapping in force as its name's next version, and return that; None where it is in force as it is."""
    with connection.transaction():
        connection.execute(statement("mappings.lock"))
        version, body, withdrawn = _newest(connection, mapping.name)
        if body == mapping.body and not withdrawn:
            return None
        (known,) = connection.execute(statement("mappings.shard_exists"), {"shard": mapping.shard}).fetchone() or (
            False,
        )
        if not known:
            raise MappingError(f"{mapping.name}: shard = {mapping.shard!r}: there is no such shard")
        _refuse_overlap(mapping, (entry.mapping for entry in in_force(connection)))
        _write(connection, mapping.name, version + 1, mapping.body, withdrawn=False, actor=actor)
    return version + 1


def withdraw(connection: Connection, name: str, *, actor: str) -> int:
    """Take a mapping out of force; its messages are no longer subscribed to. Returns the version that says so."""
    with connection.transaction():
        connection.execute(statement("mappings.lock"))
        version, body, withdrawn = _newest(connection, name)
        if version == 0 or withdrawn:
            raise MappingError(f"{name}: is not in force")
        (devices,) = connection.execute(statement("mappings.devices_declaring"), {"name": name}).fetchone() or (0,)
        if devices:
            raise MappingError(f"{name}: {devices} devices have it as their codec in the ledger; change that first")
        _write(connection, name, version + 1, body, withdrawn=True, actor=actor)
    return version + 1


def _newest(connection: Connection, name: str) -> tuple[int, Any, bool]:
    row = connection.execute(statement("mappings.newest"), {"name": name}).fetchone()
    return (0, None, False) if row is None else row[:3]


def _refuse_overlap(mapping: Mapping, others: Iterable[Mapping | UnreadableMapping]) -> None:
    for other in others:
        if other.name != mapping.name and (found := overlapping(mapping.topics, other.topics)):
            raise MappingError(
                f"{mapping.name}: topics: {found[0]} overlaps {found[1]} of {other.name}, which is in force"
            )


def _write(connection: Connection, name: str, version: int, body: Any, *, withdrawn: bool, actor: str) -> None:
    row = {"name": name, "version": version, "body": Jsonb(body), "withdrawn": withdrawn, "created_by": actor}
    connection.execute(statement("mappings.add"), row)
    enter(connection, actor, "codec.withdraw" if withdrawn else "codec.add", name, {"version": version})
    connection.execute(statement("mappings.notify"))
