"""Several ingest processes over one database, each with a way of its own to it that can be cut."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from tests.system.city import City, until
from tests.system.proxy import Proxy, proxy_to

TAKEOVER_S = 3.0
"""As the fixture `spread_city` sets it."""


@dataclass
class Ingest:
    """One `underfoot ingest`, and its way to the database."""

    process: Popen[str]
    way: Proxy
    log: str

    @property
    def pid(self) -> int:
        return self.process.pid


class Crew:
    """The ingests of a test, and what the database says of them."""

    def __init__(self, city: City, stack: ExitStack) -> None:
        self._city = city
        self._stack = stack
        self._started = 0
        self.members: list[Ingest] = []

    def join(self, **settings: str) -> Ingest:
        """One more, started; it holds nothing yet."""
        way = self._stack.enter_context(proxy_to(self._city.database_url))
        self._started += 1
        environment, log = self._city.installation.environment, f"ingest-{self._started}.log"
        before = dict(environment)
        environment |= {"UNDERFOOT_DATABASE_URL": way.instead_of(self._city.database_url)} | settings
        try:
            process = self._city.start("ingest", log=log)
        finally:
            environment.clear()
            environment |= before
        member = Ingest(process, way, log)
        self.members.append(member)
        return member

    def logs(self) -> list[Path]:
        return [self._city.installation.folder / f"ingest-{number}.log" for number in range(1, self._started + 1)]

    def kill(self, member: Ingest) -> None:
        os.kill(member.pid, signal.SIGKILL)
        self.members.remove(member)

    def held(self) -> Counter[int]:
        """How many shards each process is on record for and has the lock of."""
        rows = self._city.rows(
            "SELECT s.holder FROM shards s WHERE hashtextextended('underfoot.shard.' || s.shard, 0) IN"
            " (SELECT held_locks()) AND s.holder IS NOT NULL"
        )
        return Counter(int(holder.rpartition(":")[2]) for (holder,) in rows)

    def shared_evenly(self, seconds: float = 45) -> None:
        """Wait until every shard is held, by these processes, in even shares."""
        shards = self._city.value("SELECT count(*) FROM shards")
        wanted = sorted(len(range(number, shards, len(self.members))) for number in range(len(self.members)))
        ours = {member.pid for member in self.members}

        def even() -> bool:
            held = self.held()
            return set(held) == ours and sorted(held.values()) == wanted

        until(even, f"even share, {wanted}, by {ours}; it is {dict(self.held())}", seconds, every=0.2)

    def holds_nothing(self, member: Ingest, seconds: float = 30) -> None:
        """Wait until others have begun with whatever it had."""
        on_record = "SELECT count(*) = 0 FROM shards WHERE holder LIKE %s"
        mine = f"%:{member.pid}"
        until(lambda: self._city.value(on_record, mine), f"other holder of the shards of {member.pid}", seconds)


@contextmanager
def crew_of(city: City, size: int) -> Iterator[Crew]:
    with ExitStack() as stack:
        crew = Crew(city, stack)
        for _ in range(size):
            crew.join()
        yield crew


def write_down_commits(city: City) -> None:
    """From now on the database itself notes by which session each batch is committed."""
    city.do(
        "CREATE TABLE commits (n bigint GENERATED ALWAYS AS IDENTITY, shard text, pid int DEFAULT pg_backend_pid());"
        "CREATE FUNCTION note_commit() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO commits (shard) VALUES (NEW.shard); RETURN NULL; END $$;"
        "CREATE TRIGGER note_commit AFTER INSERT OR UPDATE ON books FOR EACH ROW EXECUTE FUNCTION note_commit()"
    )


def nobody_commits_who_was_fenced_off(city: City) -> int:
    """Once a successor has committed for a shard, its predecessor never does again. Returns how many took turns."""
    turns: dict[str, list[int]] = {}
    for shard, pid in city.rows("SELECT shard, pid FROM commits ORDER BY n"):
        before = turns.setdefault(shard, [])
        if not before or before[-1] != pid:
            assert pid not in before, f"shard {shard}: {pid} has committed after its successor"
            before.append(pid)
    return sum(len(pids) for pids in turns.values())
