"""Who still lives, judged by watching alone; and when a worker must let go by itself. No clock is compared."""

from __future__ import annotations

from ingest.division import Division, ShardState
from ingest.lease import Lookout, Seen, Stillness, Term, View

TAKEOVER_S = 15.0
LOOK_S = 0.5
ME, OTHER = 1, 2


class Watcher:
    """Looks every half second at one other worker that holds the shard `a`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.lookout = Lookout(TAKEOVER_S)
        self.beat = 0
        self.present = self.locked = True
        self.listed = True
        self.epoch = 7

    def look(self) -> View:
        self.now += LOOK_S
        workers = {ME: Seen("me", 1, None, True)}
        if self.listed:
            workers[OTHER] = Seen("other", self.beat, None, self.present)
        holder = OTHER if self.listed else None
        state = ShardState("a", frozenset(), epoch=self.epoch, worker_key=holder, locked=self.locked)
        return self.lookout.look(self.now, ME, workers, Division({"a": state}))

    def watch(self, seconds: float, *, beating: bool = False) -> View:
        view = self.look()
        for number in range(round(seconds / LOOK_S) - 1):
            self.beat += beating and number % 4 == 0
            view = self.look()
        return view


def test_one_that_beats_lives_however_long() -> None:
    view = Watcher().watch(600, beating=True)
    assert set(view.workers) == {ME, OTHER}
    assert (view.gone, view.stale) == ({}, frozenset())


def test_one_that_beats_no_more_is_gone_after_the_whole_time_and_its_lock_is_stale() -> None:
    watcher = Watcher()
    watcher.watch(30, beating=True)
    watcher.beat += 1
    assert set(watcher.watch(TAKEOVER_S).workers) == {ME, OTHER}
    view = watcher.watch(2 * LOOK_S)
    assert set(view.gone) == {OTHER}
    assert view.stale == {"a"}


def test_one_that_beats_again_lives_again() -> None:
    watcher = Watcher()
    assert set(watcher.watch(20).gone) == {OTHER}
    watcher.beat += 1
    view = watcher.look()
    assert set(view.workers) == {ME, OTHER}
    assert view.stale == frozenset()


def test_time_in_which_nobody_looked_counts_for_nothing() -> None:
    """We ourselves were stopped for an hour: the other's silence in it was not seen by anybody."""
    watcher = Watcher()
    watcher.watch(10)
    watcher.now += 3600
    assert set(watcher.watch(2).workers) == {ME, OTHER}
    assert set(watcher.watch(5).gone) == {OTHER}


def test_one_whose_sessions_have_all_ended_is_gone_soon() -> None:
    watcher = Watcher()
    watcher.watch(5, beating=True)
    watcher.present = watcher.locked = False
    assert set(watcher.watch(1.5).workers) == {ME, OTHER}, "it may only be connecting again"
    view = watcher.watch(1.5)
    assert set(view.gone) == {OTHER}
    assert view.stale == frozenset(), "nobody's sessions need to be ended"


def test_one_without_a_session_of_its_own_lives_while_it_has_locks() -> None:
    watcher = Watcher()
    watcher.present = False
    assert set(watcher.watch(10).workers) == {ME, OTHER}


def test_a_lock_taken_after_it_was_free_is_not_that_of_the_one_who_has_gone() -> None:
    """Whoever takes a shard has its lock a moment before the shard names it."""
    watcher = Watcher()
    watcher.watch(5, beating=True)
    watcher.present = watcher.locked = False
    assert set(watcher.watch(3).gone) == {OTHER}
    watcher.locked = True
    view = watcher.look()
    assert set(view.gone) == {OTHER}
    assert view.stale == frozenset(), "it is about to begin"
    assert watcher.watch(TAKEOVER_S + LOOK_S).stale == {"a"}, "it never began"


def test_a_lock_that_nobody_known_keeps_is_stale_after_the_whole_time() -> None:
    watcher = Watcher()
    watcher.listed = False
    assert watcher.watch(TAKEOVER_S).stale == frozenset()
    assert watcher.watch(2 * LOOK_S).stale == {"a"}


def test_a_shard_that_is_just_being_taken_is_not() -> None:
    watcher = Watcher()
    watcher.listed = False
    for _ in range(10):
        watcher.epoch += 1
        assert watcher.watch(5).stale == frozenset()


def test_stillness_begins_anew_with_each_change() -> None:
    stillness = Stillness[str](1.0)
    assert stillness.look(0.0, {"x": 1}) == {"x": 0.0}
    assert stillness.look(0.5, {"x": 1}) == {"x": 0.5}
    assert stillness.look(1.0, {"x": 2, "y": 1}) == {"x": 0.0, "y": 0.0}
    assert stillness.look(60.0, {"x": 2, "y": 1}) == {"x": 1.0, "y": 1.0}
    assert stillness.look(60.5, {"x": 2}) == {"x": 1.5}


class Clock:
    def __init__(self) -> None:
        self.now = 500.0

    def __call__(self) -> float:
        return self.now


def test_a_term_ends_by_itself_and_never_comes_back() -> None:
    clock = Clock()
    term = Term(10.0, clock)
    assert not term.running(), "nothing was reached yet"
    term.reached(clock.now)
    pledge = term.pledge()
    clock.now += 9.9
    assert pledge()
    term.reached(clock.now)
    clock.now += 9.9
    assert pledge()
    clock.now += 0.1
    assert not pledge()
    term.reached(clock.now)
    assert term.running()
    assert not pledge(), "others may have taken over meanwhile"
    assert term.pledge()()


def test_what_counts_is_when_we_asked_not_when_we_were_answered() -> None:
    """We were stopped between the question and its answer; the beat that the others saw is as old as the question."""
    clock = Clock()
    term = Term(10.0, clock)
    term.reached(clock.now)
    pledge = term.pledge()
    asked_at = clock.now + 2
    clock.now += 20
    term.reached(asked_at)
    assert not pledge()
    assert not term.running()
    term.reached(clock.now)
    assert term.running()
    assert not pledge()


def test_one_that_was_taken_for_dead_has_lost_its_term() -> None:
    clock = Clock()
    term = Term(10.0, clock)
    term.reached(clock.now)
    pledge = term.pledge()
    term.end()
    assert not pledge()
    assert term.pledge()()
