"""The fleet: deterministic, at the rate it was asked for, saying at once what happens."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import orjson
import pytest

from simulators.city import City
from simulators.devices import Profiles, sighted
from simulators.fleet import Fleet
from simulators.hazards import RehearsalError, load_rehearsal, parse_rehearsal
from simulators.message import Due, clock_from, epoch_ms, rfc3339
from simulators.plan import Plan, Storm, lay_out
from simulators.roster import RosterDevice, roster_of
from simulators.signals import crossings, slope_at, value_at
from simulators.stage import Stage
from underfoot.families import FAMILIES
from underfoot.topics import parse_report_topic

START_MS = 1_750_000_000_000


def city(devices: int = 120, pace: float = 300) -> list[RosterDevice]:
    return roster_of(City(devices=devices, pace=pace).rows())


def evening(seed: int = 1, start_ms: int = START_MS, rate: float | None = 80, seconds: float = 60) -> list[Due]:
    roster = city()
    plan = lay_out(load_rehearsal("rehearsal"), roster, seconds=seconds, seed=seed)
    return list(Fleet(roster, plan, seed=seed, clock=clock_from(start_ms), rate=rate).messages())


def test_the_same_seed_and_clock_give_the_same_bytes() -> None:
    assert evening() == evening()
    assert evening(seed=2) != evening()
    later = evening(start_ms=START_MS + 5_000)
    assert [due.at_s for due in later] == [due.at_s for due in evening()]
    assert later != evening()


def test_messages_are_in_order_and_dated_by_the_clock() -> None:
    messages = evening()
    assert all(earlier.at_s <= later.at_s for earlier, later in pairwise(messages))
    newest: dict[str, int] = {}
    for due in messages:
        report = orjson.loads(due.message.payload)
        ts_ms = epoch_ms(report["ts"]) if isinstance(report["ts"], str) else report["ts"]
        assert abs(ts_ms - (START_MS + due.at_s * 1000)) <= 2
        assert ts_ms > newest.get(due.message.device_id, 0)
        newest[due.message.device_id] = ts_ms


def test_every_report_is_sound_and_distinct() -> None:
    roster = {device.device_id: device for device in city()}
    messages = evening()
    for due in messages:
        device = roster[due.message.device_id]
        topic = parse_report_topic(due.message.topic.decode())
        assert topic is not None
        assert (topic.area, topic.family, topic.device_id) == (device.district, device.family, device.device_id)
        report = orjson.loads(due.message.payload)
        accepted = FAMILIES[device.family].model.model_validate(report["values"])
        assert accepted.__pydantic_extra__ == {}
        assert ("seq" in report) == device.counts
    assert len({(due.message.topic, due.message.payload) for due in messages}) == len(messages)


def test_seq_goes_on_upwards_when_the_fleet_starts_again() -> None:
    def seqs(messages: list[Due]) -> dict[str, list[int]]:
        found = defaultdict(list)
        for due in messages:
            report = orjson.loads(due.message.payload)
            if "seq" in report:
                found[due.message.device_id].append(report["seq"])
        return found

    first, again = seqs(evening()), seqs(evening(start_ms=START_MS + 61_000))
    assert first
    for device_id, numbers in first.items():
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert again[device_id][0] > numbers[-1]


@pytest.mark.parametrize("rate", [60, 150, 600])
def test_the_rate_is_what_was_asked_for(rate: float) -> None:
    assert len(evening(rate=rate)) / 60 == pytest.approx(rate, rel=0.15)


def test_every_device_speaks_early_and_none_is_missed() -> None:
    roster = city(600)
    seconds = 60.0
    plan = lay_out(load_rehearsal("rehearsal"), roster, seconds=seconds, seed=3)
    heard: dict[str, list[float]] = defaultdict(list)
    for due in Fleet(roster, plan, seed=3, clock=clock_from(START_MS), rate=150).messages():
        heard[due.message.device_id].append(due.at_s)
    silent = {alarm.device_id for alarm in plan.expected if alarm.rule_id.endswith(".offline")}
    assert len(silent) == 1
    for device in roster:
        times = [*heard[device.device_id], seconds]
        assert times[0] <= 0.06 * seconds
        allowed = (1.5 if device.family == "cover" else 3.0) * device.interval_s
        widest = max(later - earlier for earlier, later in pairwise(times))
        assert (widest > allowed) == (device.device_id in silent)


def test_without_a_scenario_devices_keep_within_the_ledgers_interval() -> None:
    roster = city(80, pace=60)
    heard: dict[str, list[float]] = defaultdict(list)
    for due in Fleet(roster, Plan(600), seed=1, clock=clock_from(START_MS)).messages():
        heard[due.message.device_id].append(due.at_s)
    for device in roster:
        if 2 * device.interval_s < 600:
            gaps = [later - earlier for earlier, later in pairwise(heard[device.device_id])]
            assert max(gaps) <= device.interval_s
            assert min(gaps) > 0.7 * device.interval_s


def test_an_opened_cover_says_so_at_once_and_again_when_it_is_closed() -> None:
    roster = city()
    plan = lay_out(load_rehearsal("rehearsal"), roster, seconds=60, seed=1)
    opened = {alarm.device_id for alarm in plan.expected if alarm.rule_id == "cover.open"}
    events = defaultdict(list)
    for due in Fleet(roster, plan, seed=1, clock=clock_from(START_MS), rate=80).messages():
        if due.message.device_id in opened and due.message.kind == "event":
            events[due.message.device_id].append((due.at_s, orjson.loads(due.message.payload)["values"]["open"]))
    for device_id in opened:
        befalling = plan.befalling[device_id]
        assert events[device_id] == [(befalling.begins_s, True), (befalling.until_s, False)]


def test_values_show_the_sensors_resolution() -> None:
    for due in evening():
        family = due.message.topic.decode().split("/")[3]
        for name, value in orjson.loads(due.message.payload)["values"].items():
            resolution = FAMILIES[family].column[name].resolution
            if resolution is not None:
                assert value == pytest.approx(round(value / resolution) * resolution, abs=resolution * 1e-3)


def test_lamps_burn_at_night_only() -> None:
    device = next(device for device in city() if device.family == "lamp")
    stage = Stage([device], seed=1)
    around = [stage.around(0, 0.0, hour, 25.0, Storm(dark=hour > 18.5), {}) for hour in (12.0, 20.0)]
    day, night = Profiles(stage.sites, seed=1).report(sighted([(0, each) for each in around]))
    assert (day["on"], night["on"]) == (False, True)
    assert day["current_a"] < 0.05 < 0.2 < night["current_a"]
    roster, noon_ms, midnight_ms = [device], 1_749_960_000_000, 1_750_003_200_000  # 12:00 and 00:00 in Shanghai
    for start_ms, on in ((noon_ms, False), (midnight_ms, True)):
        messages = Fleet(roster, Plan(10), seed=1, clock=clock_from(start_ms)).messages()
        assert {orjson.loads(due.message.payload)["values"]["on"] for due in messages} == {on}


def test_rain_gauges_report_what_fell() -> None:
    roster = city()
    plan = lay_out(load_rehearsal("rehearsal"), roster, seconds=60, seed=1)
    fell: Counter[str] = Counter()
    for due in Fleet(roster, plan, seed=1, clock=clock_from(START_MS), rate=80).messages():
        values = orjson.loads(due.message.payload)["values"]
        if "amount_mm" in values:
            fell[due.message.device_id] += round(values["amount_mm"] * 10)
    hit = {alarm.device_id for alarm in plan.expected if alarm.rule_id == "rain.hour"}
    assert {fell[device_id] for device_id in hit} <= {234, 235}
    assert all(
        15 <= fell[device.device_id] <= 50
        for device in roster
        if device.family == "rain" and device.device_id not in hit
    )


def test_signals() -> None:
    points = [(0.2, 0.0), (0.4, 10.0), (0.6, 10.0), (0.8, 0.0)]
    assert [value_at(points, at) for at in (0.0, 0.2, 0.3, 0.5, 0.7, 0.9)] == pytest.approx([0, 0, 5, 10, 5, 0])
    assert slope_at(points, 0.3) == pytest.approx(50)
    assert slope_at(points, 0.9) == 0
    assert crossings(points, 5, below=False) == [pytest.approx((0.3, 0.7))]
    assert crossings(points, 5, below=True) == [pytest.approx((0.2, 0.3)), pytest.approx((0.7, 0.8))]
    assert value_at(True, 0.5) == 1.0


def test_times_as_text_are_rfc_3339() -> None:
    assert rfc3339(START_MS) == "2025-06-15T23:06:40.000+08:00"
    assert epoch_ms(rfc3339(START_MS + 7)) == START_MS + 7


GOOD = """
name: trial
title: 试验
hours: 1
lamps_on_at: 0
rain: {from: 0.1, peak: 0.2, until: 0.3}
hazards:
  - hazard: it opens
    title: 打开
    pick: {family: cover}
    from: 0.2
    until: 0.5
    signals: {open: true}
    expect: [{rule: cover.open, severity: red}]
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("signals: {open: true}", "signals: {opened: true}"), "opened: family cover has no such field"),
        (("signals: {open: true}", "signals: {open: 3}"), "open: 3.0 is not of type boolean"),
        (("signals: {open: true}", "signals: {tilt_deg: 500}"), "tilt_deg: 500.0 is outside 0 to 180"),
        (("signals: {open: true}", "silent: true"), "intervals belongs to silence"),
        (("until: 0.5", "until: 0.1"), "from 0.2, until 0.1: must follow each other"),
        (("cover.open", "road.ponding"), "road.ponding: no rule for family cover"),
        (("severity: red", "severity: pink"), "severity"),
        (("peak: 0.2", "peak: 0.4"), "from 0.1, peak 0.4, until 0.3: must follow each other"),
        (("hours: 1", "hours: [1"), "no YAML"),
        (("title: 打开", "title: 打开\n    colour: red"), "colour: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_scenario_says_what_is_wrong(change: tuple[str, str], said: str) -> None:
    assert parse_rehearsal("trial.yaml", GOOD).name == "trial"
    with pytest.raises(RehearsalError, match=r"^trial\.yaml: ") as error:
        parse_rehearsal("trial.yaml", GOOD.replace(*change))
    assert said in str(error.value)


def test_a_run_that_is_too_short_is_refused_by_name() -> None:
    with pytest.raises(RehearsalError, match=r"a run of 10 s at pace 1 is too short for it"):
        lay_out(load_rehearsal("rehearsal"), city(), seconds=10, seed=1)
    with pytest.raises(RehearsalError, match=r"pace: 400; rehearsal in 60 s allows above 0 to 300"):
        lay_out(load_rehearsal("rehearsal"), city(), seconds=60, seed=1, pace=400)


def test_a_ledger_without_what_a_hazard_needs_is_refused_by_name() -> None:
    lampless = [device for device in city() if device.family != "lamp"]
    with pytest.raises(RehearsalError, match=r"needs 1 × lamp; the ledger has 0 left for it"):
        lay_out(load_rehearsal("rehearsal"), lampless, seconds=60, seed=1)


def test_silence_that_nobody_could_notice_in_time_is_left_out() -> None:
    plan = lay_out(load_rehearsal("rehearsal"), city(pace=1), seconds=60, seed=1)
    assert [left_out.hazard for left_out in plan.left_out] == ["device goes silent"]
    assert "cover.offline" not in {alarm.rule_id for alarm in plan.expected}
