"""Who is to have which shard: as even as can be, with the fewest moves, and never changed without need."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ingest.share import share

NAMES = [f"shard-{number:02d}" for number in range(12)]
WORKERS = st.sets(st.integers(1, 8), max_size=6)
HOLDERS = st.dictionaries(st.sampled_from(NAMES), st.none() | st.integers(1, 8), max_size=12)
ALLOWED = st.none() | st.frozensets(st.sampled_from(NAMES), max_size=12)


def anybody(workers: set[int]) -> dict[int, frozenset[str] | None]:
    return dict.fromkeys(workers, None)


@given(HOLDERS, WORKERS)
def test_every_shard_has_one_worker_that_lives_and_the_shares_are_even(
    holders: dict[str, int | None], workers: set[int]
) -> None:
    decided = share(holders, anybody(workers))
    assert set(decided) == (set(holders) if workers else set())
    assert set(decided.values()) <= workers
    if workers:
        counts = Counter(decided.values())
        counts.update(dict.fromkeys(workers, 0))
        assert max(counts.values()) - min(counts.values()) <= 1
        assert max(counts.values()) <= -(-len(holders) // len(workers))


@given(HOLDERS, WORKERS)
def test_no_more_shards_change_hands_than_must(holders: dict[str, int | None], workers: set[int]) -> None:
    decided = share(holders, anybody(workers))
    taken_away = sum(1 for shard, holder in holders.items() if holder in workers and decided[shard] != holder)
    if workers:
        held = sorted((sum(holder == worker for holder in holders.values()) for worker in workers), reverse=True)
        least, more = divmod(len(holders), len(workers))
        quotas = [least + 1] * more + [least] * (len(workers) - more)
        assert taken_away == sum(max(0, has - quota) for has, quota in zip(held, quotas, strict=True))
    else:
        assert taken_away == 0


@given(HOLDERS, st.dictionaries(st.integers(1, 8), ALLOWED, max_size=6))
def test_what_has_been_decided_stays(holders: dict[str, int | None], workers: dict[int, frozenset[str] | None]) -> None:
    decided = share(holders, workers)
    assert share(decided | {shard: None for shard in holders if shard not in decided}, workers) == decided


@given(HOLDERS, st.dictionaries(st.integers(1, 8), ALLOWED, max_size=6))
def test_nobody_has_what_it_may_not_hold_and_whatever_somebody_may_hold_is_held(
    holders: dict[str, int | None], workers: dict[int, frozenset[str] | None]
) -> None:
    decided = share(holders, workers)

    def able(shard: str) -> set[int]:
        return {worker for worker, allowed in workers.items() if allowed is None or shard in allowed}

    assert set(decided) == {shard for shard in holders if able(shard)}
    assert all(worker in able(shard) for shard, worker in decided.items())


@given(HOLDERS, WORKERS)
def test_all_decide_alike_whatever_order_they_see_things_in(holders: dict[str, int | None], workers: set[int]) -> None:
    seen_otherwise = dict(reversed(holders.items()))
    assert share(holders, anybody(workers)) == share(seen_otherwise, dict.fromkeys(sorted(workers, reverse=True), None))


def test_one_that_joins_gets_its_share_and_nothing_else_moves() -> None:
    two: dict[str, int | None] = {"a": 1, "b": 1, "c": 2, "d": 2}
    decided = share(two, anybody({1, 2, 3}))
    assert Counter(decided.values()) == {1: 1, 2: 2, 3: 1} or Counter(decided.values()) == {1: 2, 2: 1, 3: 1}
    assert sum(decided[shard] != holder for shard, holder in two.items()) == 1


def test_those_of_one_that_is_gone_are_divided() -> None:
    decided = share({"a": 1, "b": 1, "c": 2, "d": 2}, anybody({2, 3}))
    assert Counter(decided.values()) == {2: 2, 3: 2}
    assert (decided["c"], decided["d"]) == (2, 2)


def test_counts_that_are_even_but_for_one_stay_as_they_are() -> None:
    assert share({"a": 1, "b": 1, "c": 2}, anybody({1, 2})) == {"a": 1, "b": 1, "c": 2}
