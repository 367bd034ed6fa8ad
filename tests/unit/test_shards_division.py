"""Which filters a shard's session needs, and when it may give one up: not before another has subscribed to it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ingest.division import Division, Plan, ShardState
from underfoot.topics import filters_of

CITY = frozenset({"410502", "410503", "410505"})
ALL = tuple(filters_of(None))


def shard(name: str, districts: set[str] | None, **more: object) -> ShardState:
    state = ShardState(name, None if districts is None else frozenset(districts))
    return replace(state, **more)  # type: ignore[arg-type]


def division(*states: ShardState) -> Division:
    return Division({state.shard: state for state in states}, CITY)


def subscribed(*districts: str) -> frozenset[str]:
    return frozenset(filters_of(set(districts)))


def test_one_shard_takes_everything() -> None:
    assert division(shard("main", None)).plan("main") == Plan(ALL)


def test_filters_of_a_district_take_its_reports_in_every_form_and_nothing_else() -> None:
    assert filters_of({"410502"}) == [
        "underfoot/v1/410502/+/+/report",
        "underfoot/v1/410502/+/+/cbor",
        "underfoot/v1/410502/gateway/+/batch",
    ]


def test_main_has_by_name_what_no_other_shard_has() -> None:
    made = division(shard("main", None), shard("north", {"410503"}), shard("empty", set()))
    assert set(made.plan("main").filters) == subscribed("410502", "410505")
    assert set(made.plan("north").filters) == subscribed("410503")
    assert made.plan("empty").filters == ()


def test_a_district_moves_step_by_step() -> None:
    main = shard("main", None, subscribed=frozenset(ALL), going=frozenset({"410503"}))
    north = shard("north", set(), coming=frozenset({"410503"}))

    begun = division(main, north)
    assert begun.plan("main") == Plan(ALL), "the old one goes on as it was"
    assert begun.plan("north") == Plan(tuple(filters_of({"410503"})), coming=frozenset({"410503"}))

    north = replace(north, subscribed=subscribed("410503"))
    ready = division(main, north)
    assert ready.plan("main") == Plan(ALL, draining=frozenset({"410503"}))
    assert ready.plan("main").outdates(begun.plan("main"))

    main = replace(main, drained=frozenset({"410503"}))
    drained = division(main, north)
    assert set(drained.plan("main").filters) == subscribed("410502", "410505")
    assert set(drained.plan("main").surplus) == set(ALL)
    assert drained.plan("main").leaving == {"410503"}
    assert drained.plan("main").outdates(ready.plan("main"))

    main = shard("main", None, subscribed=subscribed("410502", "410505"))
    north = shard("north", {"410503"}, subscribed=subscribed("410503"))
    done = division(main, north)
    assert done.plan("main") == Plan(tuple(filters_of({"410502", "410505"})))
    assert done.plan("north") == Plan(tuple(filters_of({"410503"})))


def test_one_that_is_called_back_is_subscribed_again_before_the_other_gives_it_up() -> None:
    main = shard("main", None, subscribed=frozenset())
    north = shard("north", set(), subscribed=subscribed("410503"))
    assert division(main, north).plan("north") == Plan(())
    main = replace(main, subscribed=frozenset(ALL))
    assert set(division(main, north).plan("north").surplus) == subscribed("410503")


def test_a_new_district_goes_to_main() -> None:
    north = shard("north", {"410503"}, subscribed=subscribed("410503"))
    main = shard("main", None, subscribed=subscribed("410502", "410505"))
    before = division(main, north)
    after = Division(before.shards, CITY | {"410522"})
    assert after.plan("main").outdates(before.plan("main"))
    assert not after.plan("north").outdates(before.plan("north"))
    assert set(after.plan("main").filters) == subscribed("410502", "410505", "410522")


def test_a_tenure_goes_on_when_what_it_was_to_give_up_is_given_up() -> None:
    before = Plan(tuple(filters_of({"410502"})), surplus=ALL)
    assert not replace(before, surplus=()).outdates(before)


@given(st.dictionaries(st.sampled_from(sorted(CITY)), st.sampled_from(["north", "south"])))
def test_filters_of_a_divided_city_are_disjoint_and_leave_nothing_out(given_to: dict[str, str]) -> None:
    made = division(
        shard("main", None), *(shard(n, {d for d, to in given_to.items() if to == n}) for n in ("north", "south"))
    )
    plans = [made.plan(name).filters for name in made.shards]
    together = [each for filters in plans for each in filters]
    assert len(together) == len(set(together))
    assert set(together) == (set(filters_of(CITY)) if given_to else set(ALL))
