"""Everything that the stand-in was sent, in order, with what it made of it: in memory, and in a JSONL file if asked."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import IO, Any

import orjson

Record = dict[str, Any]


class Records:
    def __init__(self, path: Path | None = None) -> None:
        self.all: list[Record] = []
        self.violations: list[Record] = []
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self.earlier: list[Record] = []
        """What the file held when it was opened: a platform that is started again still knows its events."""
        if path is not None:
            if path.exists():
                self.earlier = [orjson.loads(line) for line in path.read_bytes().splitlines() if line]
            self._file = path.open("ab")
        for record in self.earlier:
            self._keep(record)

    def add(self, kind: str, outcome: str, received_ms: float, **what: Any) -> None:
        """`kind` is event, robot, case, callback, replay or violation; `received_ms` when its request had come in
        (epoch milliseconds)."""
        with self._lock:
            record = {"no": len(self.all) + 1, "received_ms": received_ms, "kind": kind, "outcome": outcome, **what}
            self._keep(record)
            if self._file is not None:
                self._file.write(orjson.dumps(record) + b"\n")
                self._file.flush()

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def violation(self, why: str, received_ms: float, detail: str, body: object) -> None:
        """Something that must not have come; it is recorded beside what became of the request."""
        self.add("violation", why, received_ms, detail=detail, body=body)

    def select(self, kind: str | None, outcome: str | None, after: int, limit: int) -> list[Record]:
        found = []
        for record in self.all[after:]:
            if kind in (None, record["kind"]) and outcome in (None, record["outcome"]):
                found.append(record)
                if len(found) == limit:
                    break
        return found

    def _keep(self, record: Record) -> None:
        self.all.append(record)
        self.counts[f"{record['kind']}.{record['outcome']}"] += 1
        if record["kind"] == "violation":
            self.violations.append(record)


def now_ms() -> float:
    """Epoch milliseconds, with microseconds behind the point."""
    return round(time.time() * 1000, 3)
