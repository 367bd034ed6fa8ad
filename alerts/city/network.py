"""Network: the drainage graph as the ledger has it, read again when that has changed; one for all who judge by it."""

from __future__ import annotations

from alerts.drainage.graph import DrainageGraph, load, outfalls, version
from underfoot.storage.connect import Connection


class Network:
    def __init__(self) -> None:
        self._graph: DrainageGraph | None = None
        self._belongs: dict[int, int] = {}
        self._version: object = None

    def of(self, connection: Connection) -> tuple[DrainageGraph, dict[int, int]]:
        """The graph, and each node's outfall."""
        newest = version(connection)
        if self._graph is None or newest != self._version:
            self._graph, self._version = load(connection), newest
            self._belongs = outfalls(self._graph)
        return self._graph, self._belongs
