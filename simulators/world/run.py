"""One run of a world: its messages played on the wire, its account, and the books held against it.

prepared world → (waits for its beginning) → play → books → fleet.json, run.json
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from simulators.account import Account, percentiles_ms
from simulators.faults.malicious import MALICIOUS
from simulators.play import Played, Progress, play
from simulators.publisher import Login, Publisher
from simulators.push import Pusher
from simulators.world.beside import LoadBeside
from simulators.world.books import Behind, Books, Comparison, Expected
from simulators.world.disturbed import reconnect_storms
from simulators.world.prepare import World
from simulators.world.span import Span
from underfoot.clock import CLOCK


@dataclass(frozen=True)
class Ways:
    """How messages reach the installation. `own_connections`: one for each device or gateway. `push_logins`: of those
    who are pushed over HTTP, by device."""

    mqtt_url: str
    authority: Path | None = None
    connections: int = 4
    own_connections: bool = False
    logins: dict[str, Login] = field(default_factory=dict)
    rate_limit: float | None = None
    api_url: str = ""
    push_logins: dict[str, Login] = field(default_factory=dict)


@dataclass(frozen=True)
class Watch:
    """Who looks on: `playing` while messages go out, `settling` while ingest catches up."""

    stop: Event
    playing: Callable[[Progress], None]
    settling: Callable[[Behind, float], None]


@dataclass(frozen=True)
class Ended:
    """How a run ended. `comparison` is None where there was no database to look into."""

    played: Played
    comparison: Comparison | None
    summary: dict[str, Any]

    @property
    def well(self) -> bool:
        """All that was sent is where it belongs."""
        return self.delivered and (self.comparison is None or self.comparison.balance)

    @property
    def delivered(self) -> bool:
        """All that was sent has arrived at the broker or the API."""
        load = self.summary["load"]
        unacknowledged = self.played.unacknowledged_messages + (load["unacknowledged"] if load else 0)
        return not unacknowledged and not self.summary["refused_pushes"]


def speakers(world: World) -> list[str]:
    """Who has a connection, where each has one of his own: devices, gateways for theirs, whoever is malicious."""
    through = {site.gateway_id for site in world.city.sites if site.speech == "gateway"}
    devices = [site.device.device_id for site in world.city.sites if site.speech != "gateway"]
    return [*devices, *sorted(through)]


def publisher_for(world: World, ways: Ways) -> Publisher:
    own = speakers(world) if ways.own_connections else []
    if world.struck.malicious:
        own.append(MALICIOUS)
    return Publisher(
        ways.mqtt_url,
        connections=0 if ways.own_connections else ways.connections,
        own=own,
        logins=ways.logins,
        authority=ways.authority,
        name=world.scenario.name,
    )


def run_world(
    world: World, ways: Ways, books: Books | None, watch: Watch, patience_s: float, load: LoadBeside | None = None
) -> Ended:
    """Play it to its end, or until `watch.stop`; then wait for ingest, at most `patience_s` without any progress."""
    with ExitStack() as stack:
        publisher = stack.enter_context(closing(publisher_for(world, ways)))
        publisher.open()
        pusher = None
        if ways.push_logins:
            pusher = stack.enter_context(closing(Pusher(ways.api_url, ways.push_logins)))
            pusher.open()
        began = time.monotonic()
        if load is not None:
            load.go()
        played = play(
            world.messages(),
            publisher,
            pusher=pusher,
            speed=world.span.speed,
            starts_at=began + _begins_in_s(world.span),
            rate_limit=ways.rate_limit,
            happenings=reconnect_storms(world.struck, publisher, speed=world.span.speed, seed=world.seed),
            stop=watch.stop,
            on_progress=watch.playing,
        )
        summary = account_of(world, played)
        summary["connections"] = publisher.lanes
        refused = {} if pusher is None else {f"{why.status} {why.detail}": n for why, n in pusher.refused.items()}
        summary["refused_pushes"] = refused
    summary["load"] = None if load is None else _ended(load, watch.stop)
    comparison = None
    if books is not None:
        of_load = summary["load"]["sent"] if summary["load"] else None
        comparison = compared(books, expected(played.account, of_load), watch, patience_s)
        taken_in = comparison.stored + comparison.quarantined
        summary["taken_in_per_s"] = round(taken_in / (time.monotonic() - began), 1)
    summary["books"] = None if comparison is None else comparison.as_dict()
    world.folder.write_json(world.folder.fleet, summary)
    brief = {name: value for name, value in summary.items() if name != "by_device"}
    world.folder.write_json(world.folder.run, world.description() | {"summary": brief})
    return Ended(played, comparison, summary)


def _begins_in_s(span: Span) -> float:
    """An installation in lapsed time does not wait for who is late: the first reports are sent at once then."""
    return span.due_in_s(_now_ms()) if CLOCK.lapse is not None else span.wait_s(_now_ms())


def _ended(load: LoadBeside, stop: Event) -> dict[str, Any]:
    if stop.is_set():
        load.end_early()
    return {"registry": load.job.registry, "rate": load.job.rate} | load.result()


def compared(books: Books, expected: Expected, watch: Watch, patience_s: float) -> Comparison:
    began = time.monotonic()
    waiting = Event()  # Ctrl-C has ended the sending; what was sent is to be compared all the same
    caught_up = books.wait(patience_s, waiting, watch.settling)
    made = books.compare(expected, caught_up=caught_up)
    made.waited_s = round(time.monotonic() - began, 3)
    return made


def expected(account: Account, of_others: int | None = None) -> Expected:
    return Expected(
        account.sent,
        account.to_store,
        account.to_quarantine,
        account.untimed_repeats,
        account.stored_by_device,
        of_others,
    )


def account_of(world: World, played: Played) -> dict[str, Any]:
    account, carried = played.account, world.carried
    return {
        "scenario": world.scenario.name,
        "seed": world.seed,
        "network": world.network.name,
        "devices": len(world.city.sites),
        "speed": world.span.speed,
        "begins_ms": world.span.begins_ms,
        "ends_ms": world.span.ends_ms,
        "seconds": round(played.seconds, 3),
        "finished": played.finished,
        "made": carried.made + world.unheard.total(),
        "lost": dict(sorted(world.lost.items())),
        "not_sent": carried.under_way,
        "sent": account.sent,
        "to_store": account.to_store,
        "to_quarantine": account.to_quarantine,
        "repeats": account.repeats,
        "untimed_repeats": account.untimed_repeats,
        "messages": account.messages,
        "redelivered_messages": account.redelivered_messages,
        "unacknowledged_messages": played.unacknowledged_messages,
        "unsent_messages": played.unsent_messages,
        "reconnects": played.reconnects,
        "furthest_behind_s": round(played.furthest_behind_s, 3),
        "messages_per_s": round(account.messages / played.seconds, 1) if played.seconds else 0.0,
        "puback_ms": percentiles_ms(account.puback_s),
        "malicious": dict(sorted(carried.malicious.items())),
        "by_kind": dict(sorted(account.by_kind.items())),
        "by_device": dict(sorted(account.by_device.items())),
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
