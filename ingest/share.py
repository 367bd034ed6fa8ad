"""Share: which worker is to have which shard. A pure decision that every worker makes alike from the same view, so
that nobody needs to ask anybody: one lets go, another takes, and the database's locks see to it that no two ever have
the same one."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def share(holders: Mapping[str, int | None], workers: Mapping[int, frozenset[str] | None]) -> dict[str, int]:
    """Shard → worker, for every shard that some worker may have; `workers` are those that live, with the shards they
    may hold (None: any). As even as can be with the fewest moves, and the same again for its own result."""
    decided: dict[str, int] = {}
    load = dict.fromkeys(sorted(workers), 0)

    def may(worker: int, shard: str) -> bool:
        allowed = workers[worker]
        return allowed is None or shard in allowed

    for shard, holder in sorted(holders.items()):
        if holder is not None and holder in workers and may(holder, shard):
            decided[shard] = holder
            load[holder] += 1

    free = [(sum(may(worker, shard) for worker in workers), shard) for shard in holders if shard not in decided]
    for _, shard in sorted(free):
        able = [worker for worker in load if may(worker, shard)]
        if able:
            decided[shard] = worker = min(able, key=load.__getitem__)
            load[worker] += 1

    while (move := _move(decided, load, may)) is not None:
        shard, worker = move
        load[decided[shard]] -= 1
        load[worker] += 1
        decided[shard] = worker
    return decided


def _move(
    decided: Mapping[str, int], load: Mapping[int, int], may: Callable[[int, str], bool]
) -> tuple[str, int] | None:
    """The one move that evens out most: from one who has at least two more than another who may have it."""
    best: tuple[int, str, int] | None = None
    for shard, holder in decided.items():
        for worker, has in load.items():
            gain = load[holder] - has
            if gain >= 2 and may(worker, shard) and (best is None or (gain, shard) > best[:2]):
                best = (gain, shard, worker)
    return None if best is None else (best[1], best[2])
