"""Matching and figures: which alarm told of which hazard, and the numbers that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.rules import shipped_pack
from simulators.score.alarms import Alarm, Change, Record
from simulators.score.figures import Score, figures
from simulators.score.matching import Judged, match
from simulators.score.places import Places
from simulators.score.table import LABELS
from simulators.score.tells import shipped_tells
from simulators.truth import Lie, TrueHazard, Truth
from tests.unit.hand_made_run import alarm, at_ms, hazard, record, truth

TELLS = shipped_tells()
CHAIN = {f"P{number}": (f"A{number}", f"A{number + 1}") for number in range(6)} | {"far": ("B1", "B2")}
PLACES = Places({"C1": "N1", "P1": "N1", "R1": "N2"}, CHAIN)
FLOOD = hazard("road_flooding", 60, 120, device_id="R1", severity=3)


def scored(happened: Truth, alarms: Sequence[Alarm] | Record) -> Score:
    said = alarms if isinstance(alarms, Record) else record(*alarms)
    return figures(happened, said, match(happened, said, TELLS, PLACES), TELLS)


def judged(happened: Truth, one: Alarm) -> Judged:
    (found,) = match(happened, record(one), TELLS, PLACES).judged
    return found


# the table of who may tell what --------------------------------------------------------------------------------------
def test_every_rule_of_the_shipped_pack_is_judged_by_something() -> None:
    assert [rule.rule_id for rule in shipped_pack() if TELLS.of(rule.rule_id) is None] == []


def test_no_rule_is_named_that_the_pack_does_not_have() -> None:
    pack = {rule.rule_id for rule in shipped_pack()}
    assert {name for name in TELLS.rules if "*" not in name} - pack == set()


def test_every_kind_of_hazard_can_be_told_and_every_kind_has_a_name() -> None:
    assert TELLS.told == set(TELLS.late_s)
    assert {rule.about for rule in TELLS.rules.values() if not rule.apart} <= set(LABELS)


# matching ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("raised", "verdict"), [(49, "false"), (51, "right"), (60, "right"), (122, "right"), (124, "false")]
)
def test_an_alarm_has_to_come_in_time(raised: float, verdict: str) -> None:
    assert judged(truth(FLOOD), alarm(1, "road.ponding", raised, 200, device_id="R1")).verdict == verdict


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"device_id": "R1"}, "right"),
        ({"device_id": "R2"}, "false"),
        ({"device_id": "R1", "rule_id": "road.underpass"}, "right"),
        ({"device_id": "R1", "rule_id": "cover.open"}, "false"),
        ({"device_id": "R1", "rule_id": "storm.incident"}, "apart"),
        ({"device_id": "R1", "rule_id": "our.own"}, "unknown"),
        ({"device_id": "R1", "rule_id": "road.late_hazard"}, "right"),
        ({"device_id": "R2", "rule_id": "road.late_hazard"}, "false"),
    ],
)
def test_an_alarm_has_to_be_of_the_place_and_of_the_kind(changes: dict[str, Any], verdict: str) -> None:
    assert judged(truth(FLOOD), alarm(1, "road.ponding", 61, 120).model_copy(update=changes)).verdict == verdict


def test_an_overflow_is_told_by_any_gauge_at_its_node() -> None:
    over = hazard("overflow", 60, 90, node="N1", asset_code="A-N1", severity=4)
    told = judged(truth(over), alarm(1, "cover.overflow", 61, 90, device_id="C1"))
    assert told.told == (over,)
    assert judged(truth(over), alarm(1, "pipe.surcharge", 61, 90, device_id="P1")).told == (over,)
    assert judged(truth(over), alarm(1, "cover.overflow", 61, 90, device_id="C2")).verdict == "false"
    by_asset = alarm(1, "cover.overflow", 61, 90, subject_kind="asset", asset_code="A-N1")
    assert judged(truth(over), by_asset).told == (over,)


def test_an_alarm_that_stands_tells_of_what_comes_of_it() -> None:
    """High water 40 min before it overflows: the alarm is right for the one, and then tells of the other."""
    high = hazard("surcharge", 20, 90, device_id="C1", severity=3)
    over = hazard("overflow", 60, 80, node="N1", severity=4)
    rising = alarm(1, "cover.overflow", 20, 95, device_id="C1", severity=4).model_copy(
        update={"changes": (Change(at_ms=at_ms(20), severity=1), Change(at_ms=at_ms(61), severity=4))}
    )
    assert judged(truth(high, over), rising).told == (high, over)
    over_before = rising.model_copy(update={"cleared_ms": at_ms(40)})
    assert judged(truth(high, over), over_before).told == (high,)


def test_a_false_alarm_that_still_stands_when_its_hazard_comes_tells_nothing() -> None:
    early = alarm(1, "road.ponding", 10, 130, device_id="R1")
    result = scored(truth(FLOOD), [early])
    assert (result.recall, result.precision, result.false) == (0, 0, 1)


def test_an_alarm_that_is_right_by_a_lie_or_beside_a_hazard_tells_of_none() -> None:
    flooded = hazard("overflow", 60, 90, node="N1", severity=4)
    weak = judged(truth(flooded), alarm(1, "cover.signal", 65, 90, device_id="C1"))
    assert (weak.verdict, weak.told) == ("right", ())
    stuck = Lie(fault="stuck_sensor", device_id="P1", begins_ms=at_ms(30), ends_ms=None)
    found = judged(truth(lies=(stuck,)), alarm(1, "pipe.stuck", 400, None, device_id="P1"))
    assert (found.verdict, found.lie, found.told) == ("right", "stuck_sensor", ())
    assert judged(truth(lies=(stuck,)), alarm(1, "pipe.stuck", 20, None, device_id="P1")).verdict == "false"


def test_an_alarm_on_a_lying_sensor_is_false_and_says_so() -> None:
    drift = Lie(fault="drifting_sensor", device_id="R1", begins_ms=at_ms(0), ends_ms=None, fields=("depth_cm",))
    wrong = judged(truth(lies=(drift,)), alarm(1, "road.ponding", 61, 90, device_id="R1"))
    assert (wrong.verdict, wrong.why) == (
        "false",
        "never road_flooding at its place; its device lied: drifting_sensor (depth_cm)",
    )
    assert judged(truth(FLOOD, lies=(drift,)), alarm(1, "road.ponding", 61, 90, device_id="R1")).verdict == "right"


def test_why_an_alarm_is_false_is_said() -> None:
    assert (
        judged(truth(FLOOD), alarm(1, "road.ponding", 20, 90, device_id="R1")).why == f"40 min before {FLOOD.hazard_id}"
    )
    assert (
        judged(truth(FLOOD), alarm(1, "road.ponding", 150, None, device_id="R1")).why
        == f"30 min after {FLOOD.hazard_id}"
    )
    assert judged(truth(), alarm(1, "lamp.door", 20, 90, device_id="L1")).why == "nothing of the kind is simulated"


# recall --------------------------------------------------------------------------------------------------------------
def test_only_what_somebody_could_see_and_had_to_tell_is_counted() -> None:
    unseen = hazard("road_flooding", 60, 90, device_id="R2", watched=False)
    small = hazard("road_flooding", 60, 90, device_id="R3", severity=0)
    result = scored(truth(FLOOD, unseen, small), [alarm(1, "road.ponding", 61, 120, device_id="R1")])
    assert (result.recall, result.unwatched) == (1.0, 1)
    assert result.recall_by_kind["road_flooding"].needed == 1


def test_a_hazard_of_which_only_a_harmless_alarm_told_was_missed() -> None:
    deep = FLOOD.model_copy(update={"severity": 4})
    for severity, recall in ((1, 0), (2, 0), (3, 1), (4, 1)):
        told = alarm(1, "road.ponding", 61, 120, device_id="R1", severity=severity)
        result = scored(truth(deep), [told])
        assert result.recall == recall, severity
        assert result.precision == 1
        assert result.told_as_bad == (None if not recall else float(severity == 4))
    assert scored(truth(deep), [alarm(1, "road.ponding", 61, 120, device_id="R1", severity=2)]).missed[0].why == (
        "road.ponding told of severity 2, it was 4"
    )


def test_what_nobody_was_told_of_was_missed() -> None:
    kept = alarm(1, "road.ponding", 61, 120, device_id="R1", withheld=True, suppressed=("shelved",))
    result = scored(truth(FLOOD), [kept])
    assert (result.recall, result.missed[0].why) == (0, "road.ponding was kept back: shelved")
    explained = kept.model_copy(update={"suppressed": ("by_design", "shelved")})
    assert scored(truth(FLOOD), [explained]).recall == 1, "whoever is told of its cause is told"


def test_what_was_kept_back_since_its_gauge_was_doubted_told_nobody_neither_right_nor_wrong() -> None:
    high = hazard("surcharge", 60, 120, device_id="P1", severity=2)
    kept = {"withheld": True, "suppressed": ("by_design",), "explained_by": ("pipe.doubtful",)}
    surcharge = alarm(1, "pipe.surcharge", 61, 120, device_id="P1", severity=2)
    on_a_lie = scored(truth(), [surcharge.model_copy(update=kept)])
    assert (on_a_lie.false, on_a_lie.kept_back) == (0, 1)
    missed = scored(truth(high), [surcharge.model_copy(update=kept)])
    assert (missed.recall, missed.right, missed.false, missed.kept_back) == (0, 0, 0, 1)
    assert missed.missed[0].why == "pipe.surcharge was kept back: its gauge was doubted by pipe.doubtful"
    told_later = surcharge.model_copy(update=kept | {"withheld": False})
    assert (scored(truth(), [told_later]).false, scored(truth(high), [told_later]).recall) == (1, 1)
    by_a_blockage = surcharge.model_copy(update=kept | {"explained_by": ("drainage.blockage", "pipe.doubtful")})
    assert scored(truth(high), [by_a_blockage]).recall == 1, "the blockage told of it"


def test_a_doubt_is_right_where_its_gauge_lies() -> None:
    doubt = alarm(1, "pipe.doubtful", 61, 120, device_id="P1", severity=2)
    lie = Lie(fault="drifting_sensor", device_id="P1", begins_ms=at_ms(10), ends_ms=None, fields=("level_m",))
    assert judged(truth(lies=(lie,)), doubt).verdict == "right"
    assert judged(truth(), doubt).verdict == "false"


def test_what_was_known_only_when_it_was_over_was_missed() -> None:
    late = alarm(1, "road.ponding", 61, 120, device_id="R1").model_copy(update={"recorded_ms": at_ms(200)})
    result = scored(truth(FLOOD), [late])
    assert (result.recall, result.precision) == (0, 1)
    assert result.missed[0].why == "road.ponding was known too late, or is no word of it"
    assert scored(truth(FLOOD), record(late, same_clock=False)).recall == 1, "another clock says nothing"


def test_dangerous_hazards_have_a_recall_of_their_own() -> None:
    small = hazard("road_flooding", 60, 90, device_id="R2", severity=1)
    result = scored(truth(FLOOD, small), [alarm(1, "road.ponding", 61, 120, device_id="R1")])
    assert (result.recall, result.recall_dangerous) == (0.5, 1)


def test_delays_are_from_the_hazards_begin_to_when_it_was_known() -> None:
    result = scored(truth(FLOOD), [alarm(1, "road.ponding", 62, 120, device_id="R1")])
    assert (result.delay_seconds_median, result.delays_by_installation_clock) == (121, True)
    assert scored(truth(FLOOD), [alarm(1, "road.ponding", 58, 120, device_id="R1")]).delay_seconds_median == 0


# precision, false alarms, duplicates ---------------------------------------------------------------------------------
def test_precision_by_what_an_alarm_is_about() -> None:
    result = scored(
        truth(FLOOD),
        [
            alarm(1, "road.ponding", 61, 120, device_id="R1"),
            alarm(2, "road.rise", 61, 80, device_id="R1"),
            alarm(3, "road.ponding", 61, 120, device_id="R2"),
            alarm(4, "cover.open", 61, 120, device_id="C1"),
            alarm(5, "storm.incident", 61, 120, subject_kind="incident"),
            alarm(6, "our.own", 61, 120, device_id="R1"),
        ],
    )
    assert result.precision == 0.5
    assert result.road_precision == pytest.approx(2 / 3, abs=1e-4)
    assert result.precision_by_kind["cover_open"].false == 1
    assert (result.alarms, result.right, result.false, result.apart) == (6, 2, 2, 1)
    assert result.unknown == {"our.own": 1}
    assert [one.place for one in result.false_alarms] == ["R2", "C1"]


def test_false_alarms_per_hundred_devices_and_day() -> None:
    false = [alarm(number, "cover.open", 60, 70, device_id=f"C{number}") for number in range(3)]
    assert scored(truth(hours=48, devices=100), false).false_per_100_device_days == 1.5
    assert scored(truth(hours=24, devices=300), false).false_per_100_device_days == 1


def test_a_second_episode_of_the_same_hazard_is_a_duplicate() -> None:
    first = alarm(1, "road.ponding", 61, 80, device_id="R1")
    again = alarm(1, "road.ponding", 90, 120, device_id="R1", episode=2)
    other_rule = alarm(2, "road.rise", 61, 80, device_id="R1")
    later = hazard("road_flooding", 300, 360, device_id="R1")
    next_time = alarm(1, "road.ponding", 301, 360, device_id="R1", episode=3)
    assert scored(truth(FLOOD), [first]).duplicates == 0
    assert scored(truth(FLOOD), [first, other_rule]).duplicates == 0
    assert scored(truth(FLOOD), [first, again]).duplicates == 1
    assert scored(truth(FLOOD, later), [first, next_time]).duplicates == 0


# lead time -----------------------------------------------------------------------------------------------------------
def overflows(count: int) -> list[TrueHazard]:
    return [hazard("overflow", 60, 90, device_id=f"C{number}", severity=4) for number in range(count)]


def test_lead_time_is_from_the_first_forecast_to_the_overflow() -> None:
    over = overflows(3)
    forecasts = [
        alarm(1, "cover.overflow_forecast", 40, 90, device_id="C0", severity=2),
        alarm(1, "cover.overflow_forecast", 50, 90, device_id="C0", severity=3, episode=2),
        alarm(2, "cover.overflow_forecast", 48, 90, device_id="C1", severity=3),
        alarm(3, "cover.overflow", 58, 90, device_id="C2", severity=4),
    ]
    result = scored(truth(*over), forecasts)
    assert (result.overflows, result.overflows_forecast) == (3, 2)
    assert result.lead_minutes_median == pytest.approx(12, abs=0.05)
    assert result.lead_minutes_p10 == pytest.approx(2.4, abs=0.05), "who was not forecast counts as 0"
    assert result.warned_minutes_median == pytest.approx(12, abs=0.05)


def test_a_blocked_pipe_that_is_named_warns_of_what_overflows_above_it_and_forecasts_nothing() -> None:
    blocked = hazard("blockage", 10, 300, pipe_id="P3", severity=3)
    above = hazard("overflow", 60, 90, node="N1", asset_code="A1", severity=4)
    below = hazard("overflow", 60, 90, node="N5", asset_code="A5", severity=4)
    named = alarm(1, "drainage.blockage", 30, 200, subject_kind="pipe", pipe_id="P3", severity=3)

    def of(over: TrueHazard, one: Alarm = named) -> tuple[float | None, float | None, float | None]:
        found = scored(truth(blocked, over), [one])
        return found.warned_minutes_median, found.lead_minutes_median, found.recall_by_kind["overflow"].recall

    warned, lead, recall = of(above)
    assert warned == pytest.approx(30, abs=0.1)
    assert (lead, recall) == (0, 0), "it says neither when nor where"
    assert of(below)[0] == 0
    assert of(above, named.model_copy(update={"cleared_ms": at_ms(50)}))[0] == 0, "it was over by then"
    assert of(above, named.model_copy(update={"pipe_id": "far"}))[0] == 0, "another pipe: nobody is sent there"


def test_a_forecast_of_what_never_comes_is_false() -> None:
    forecast = alarm(1, "cover.overflow_forecast", 40, 90, device_id="C0", severity=2)
    assert scored(truth(), [forecast]).false == 1
    near = hazard("surcharge", 60, 90, device_id="C0", severity=3)
    assert scored(truth(near), [forecast]).false == 0
    assert scored(truth(near.model_copy(update={"severity": 2})), [forecast]).false == 1
    too_soon = alarm(1, "cover.overflow_forecast", 10, 90, device_id="C0", severity=2)
    assert scored(truth(*overflows(1)), [too_soon]).false == 1


# localisation --------------------------------------------------------------------------------------------------------
BLOCKED = hazard("blockage", 60, 200, pipe_id="P2")


@pytest.mark.parametrize(
    ("named", "exact", "within", "recall", "false"),
    [
        (["P2"], 1, 1, 1, 0),
        (["P3"], 0, 1, 1, 0),
        (["P4"], 0, 0, 0, 1),
        (["far"], 0, 0, 0, 1),
        ([], 0, 0, 0, 0),
        (["P4", "P2"], 0, 0, 1, 1),
        (["P2", "P4"], 1, 1, 1, 1),
    ],
)
def test_where_the_first_alarm_sent_a_crew(
    named: list[str], exact: float, within: float, recall: float, false: int
) -> None:
    alarms = [alarm(number, "drainage.blockage", 80 + number, 210, pipe_id=pipe) for number, pipe in enumerate(named)]
    result = scored(truth(BLOCKED), alarms)
    assert (result.localisation_exact, result.localisation_within_1) == (exact, within)
    assert (result.recall, result.false) == (recall, false)


def test_hops_along_the_network() -> None:
    assert [PLACES.hops("P0", f"P{number}") for number in range(5)] == [0, 1, 2, 3, 4]
    assert PLACES.hops("P0", "far") is None
    assert PLACES.hops("P0", "unknown") is None


def test_a_pipe_that_was_named_after_it_was_free_again_is_false() -> None:
    result = scored(truth(BLOCKED), [alarm(1, "drainage.blockage", 240, 300, pipe_id="P2")])
    assert (result.false, result.localisation_exact) == (1, 0)


# the whole -----------------------------------------------------------------------------------------------------------
def test_targets_are_met_missed_or_not_to_be_measured() -> None:
    met = {target.name.split()[-1]: target.met for target in scored(truth(hours=24), []).targets}
    assert list(met.values()) == [None, None, None, True, None]
    late = scored(truth(*overflows(1), FLOOD, BLOCKED), [])
    assert [target.met for target in late.targets] == [False, None, False, True, False]


RULE_OF = {
    "road_flooding": "road.ponding",
    "cover_open": "cover.open",
    "surcharge": "pipe.surcharge",
    "silence": "road.offline",
    "leakage": "lamp.leakage",
}


@dataclass(frozen=True)
class Day:
    happened: Truth
    perfect: list[Alarm]


@st.composite
def days(draw: st.DrawFn) -> Day:
    """Some hazards of several kinds, each at its own device, and the alarm that tells of each at once and in full."""
    count = draw(st.integers(1, 12))
    hazards, alarms = [], []
    for number in range(count):
        kind = draw(st.sampled_from(sorted(RULE_OF)))
        begins = draw(st.integers(0, 1200))
        lasts = draw(st.integers(1, 200))
        severity = draw(st.integers(1, 4))
        device = f"D{number}"
        hazards.append(hazard(kind, begins, begins + lasts, device_id=device, severity=severity))  # type: ignore[arg-type]
        alarms.append(alarm(number, RULE_OF[kind], begins, begins + lasts, device_id=device, severity=severity))
    return Day(truth(*hazards), alarms)


@given(days())
def test_a_perfect_engine_scores_perfectly(day: Day) -> None:
    result = scored(day.happened, day.perfect)
    assert (result.recall, result.precision, result.false, result.duplicates) == (1, 1, 0, 0)
    assert (result.false_per_100_device_days, result.told_as_bad, result.missed) == (0, 1, [])


@given(days(), st.data())
def test_an_alarm_less_lowers_recall_only(day: Day, data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.sampled_from(day.perfect), unique_by=lambda one: one.alarm_key))
    result = scored(day.happened, kept)
    assert result.recall == pytest.approx(len(kept) / len(day.perfect), abs=1e-4)
    assert result.precision == (1 if kept else None)
    assert len(result.missed) == len(day.perfect) - len(kept)


@given(days(), st.lists(st.tuples(st.integers(0, 1400), st.sampled_from(sorted(RULE_OF.values()))), max_size=8))
def test_false_alarms_lower_precision_only(day: Day, more: list[tuple[int, str]]) -> None:
    false = [
        alarm(1000 + number, rule_id, raised, raised + 5, device_id=f"X{number}")
        for number, (raised, rule_id) in enumerate(more)
    ]
    result = scored(day.happened, [*day.perfect, *false])
    assert result.recall == 1
    assert result.precision == pytest.approx(len(day.perfect) / (len(day.perfect) + len(false)), abs=1e-4)
    assert result.false == len(false) == len(result.false_alarms)


@given(days(), st.data())
def test_the_order_of_the_alarms_means_nothing(day: Day, data: st.DataObject) -> None:
    assert scored(day.happened, data.draw(st.permutations(day.perfect))) == scored(day.happened, day.perfect)
