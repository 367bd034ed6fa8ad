"""Carriage: what devices make reaches the broker, quarantine or nobody, exactly as it is said; the same seed, the same
bytes."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codecs.contract import Decoded
from ingest.codecs.mappings import shipped
from ingest.codecs.table import Codecs
from ingest.validate import event_time
from simulators.faults import gateways
from simulators.faults.carriage import Carried, carry
from simulators.faults.picked import picked
from simulators.faults.struck import During, Struck
from simulators.message import Due, Message, Part, clock_from
from simulators.scenario.faults import GatewayOutage
from simulators.site import Site
from tests.unit.codec_frames import arrival
from tests.unit.small_city import START_MS, SmallCity, reports, scenario, site, street, trunk
from underfoot.reports import canonical

CLOCK = clock_from(START_MS)
CODECS = Codecs(shipped().values())
RECEIVED_US = (START_MS + 7_200_000) * 1000


def city() -> tuple[Site, ...]:
    """One device at least of every speech, and two gateways of four."""
    of_json = street(covers=4, lamps=4, pipes=3, roads=2, rains=1, pumps=1)
    spoken = [
        site("cover", 11, speech="cbor"),
        site("cover", 12, speech="mqtt-well-status"),
        site("cover", 13, speech="dtu-modbus-cover"),
        site("cover", 14, speech="ctwing-ad19prof", device_id="860374051096202"),
        site("cover", 15, speech="ctwing-ad-modbus", device_id="860374051096203"),
        site("pipe", 16, speech="dtu-hj212-pipe", device_id="410502P00000016"),
    ]
    behind = [
        site("lamp", number, speech="gateway", gateway_id=f"410502-G{number // 24 + 1:04d}") for number in range(20, 28)
    ]
    return (*of_json, *spoken, *behind)


SITES = city()
MADE = list(reports(SITES, every_s=120.0))


def carried(faults: str = "", *, seed: int = 1, sites: tuple[Site, ...] = SITES) -> tuple[list[Due], Carried, Struck]:
    struck = picked(scenario(faults), SmallCity(sites), trunk(), seed)
    counts = Carried()
    return list(carry(MADE if sites is SITES else reports(sites), struck, CLOCK, seed, counts)), counts, struck


def read(message: Message) -> list[Any]:
    codec = CODECS.of(message.topic.decode(), None)
    assert codec is not None, message.topic
    return codec(arrival(message.topic.decode(), message.payload))


def fates(sent: list[Due], sites: tuple[Site, ...] = SITES) -> tuple[int, int, int]:
    """What ingest would store, keep distinctly in quarantine, and know for a duplicate."""
    known = {one.device.device_id: one for one in sites}
    stored: set[tuple[str, int, bytes]] = set()
    quarantined: set[tuple[bytes, bytes]] = set()
    again = untimed = 0
    for due in sent:
        for part in read(due.message):
            where = known.get(part.device_id) if isinstance(part, Decoded) else None
            if (
                where is None
                or part.family not in (None, where.device.family)
                or part.area not in (None, where.device.district)
                or not isinstance(part.report.get("values"), dict)
            ):
                quarantined.add((due.message.topic, part.payload))
                continue
            ts_us, mark = event_time(part.report.get("ts"), RECEIVED_US)
            if mark:
                untimed += 1
            elif (key := (part.device_id, ts_us, canonical(part.report))) in stored:
                again += 1
            else:
                stored.add(key)
    return len(stored) + untimed, len(quarantined), again


def books_balance(sent: list[Due], counts: Carried, sites: tuple[Site, ...] = SITES) -> None:
    assert counts.under_way == 0
    assert counts.made == counts.stores + counts.quarantines + counts.lost.total()
    messages = [due.message for due in sent]
    malicious = [one for one in messages if one.kind.startswith("malicious.")]
    own = [one for one in messages if not one.kind.startswith("malicious.") and not one.again]
    assert Counter(one.kind for one in malicious) == counts.malicious
    assert sum(one.stores for one in own) == counts.stores
    assert sum(one.quarantines for one in own) == counts.quarantines
    for one in messages:
        assert one.stores == sum(part.stores for part in one.parts)
        assert one.quarantines == sum(part.quarantines for part in one.parts)
        assert bool(one.push) == one.topic.startswith(b"http/")
    stored, quarantined, again = fates(sent, sites)
    assert stored == counts.stores + sum(one.stores for one in malicious)
    # A unit without a clock may break twice in the same way: quarantine has such bytes once, and so has the account.
    broken = {(one.topic, one.payload): one.quarantines for one in messages if one.quarantines and not one.again}
    assert quarantined == sum(broken.values())
    assert again == counts.repeats - sum(_broken_again(one) for one in messages)
    assert all(earlier.at_s <= later.at_s for earlier, later in pairwise(sent))


def _broken_again(message: Message) -> int:
    if message.again:
        return message.quarantines
    return sum(part.repeats for part in message.members if part.kind == "corrupt_payload")


def seqs_of(sent: list[Due]) -> dict[str, list[int]]:
    """By device, the numbers of its reports as they arrive the first time; of speeches that say them."""
    found: dict[str, list[int]] = defaultdict(list)
    for due in sent:
        if due.message.again or due.message.kind.startswith("malicious."):
            continue
        for part in read(due.message):
            if isinstance(part, Decoded) and isinstance(part.report.get("seq"), int):
                numbers = found[part.device_id]
                if part.report["seq"] not in numbers:
                    numbers.append(part.report["seq"])
    return found


# on a good day --------------------------------------------------------------------------------------------------------
def test_without_faults_every_report_is_stored_in_its_order() -> None:
    sent, counts, _ = carried()
    books_balance(sent, counts)
    assert (counts.made, counts.quarantines, counts.repeats) == (counts.stores, 0, 0)
    assert not counts.lost
    assert all(numbers == sorted(numbers) for numbers in seqs_of(sent).values())
    assert {due.message.push for due in sent} == {"", "ctwing-ad19prof", "ctwing-ad-modbus"}


def test_a_gateway_sends_what_it_has_heard_for_some_seconds_as_one_message() -> None:
    sent, _, _ = carried()
    batches = [due for due in sent if due.message.kind == "batch"]
    assert {due.message.device_id for due in batches} == {"410502-G0001", "410502-G0002"}
    assert max(due.message.stores for due in batches) > 1
    for gateway_id in ("410502-G0001", "410502-G0002"):
        at = [due.at_s for due in batches if due.message.device_id == gateway_id]
        assert min(later - earlier for earlier, later in pairwise(at)) >= gateways.COLLECTS_S
    (first,) = {due.message.topic for due in batches if due.message.device_id == "410502-G0001"}
    assert first == b"underfoot/v1/410502/gateway/410502-G0001/batch"
    assert all({part.device_id[:11] for part in due.message.members} == {"410502-lamp"} for due in batches)


def test_what_a_speech_has_no_word_for_is_not_sent_and_counted() -> None:
    silent = site("cover", 1, speech="mqtt-well-status")
    made = [one._replace(values={"h2s_mg_m3": 3.1}) for one in reports([silent])]
    counts = Carried()
    assert list(carry(made, Struck(), CLOCK, 1, counts)) == []
    assert counts.lost == {"nothing_to_say": len(made)}


def test_a_gateway_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="410502-lamp-1: speaks through a gateway, and gateway_id is empty"):
        list(carry(reports([site("lamp", 1, speech="gateway")]), Struck(), CLOCK, 1))


# one fault each -------------------------------------------------------------------------------------------------------
def test_loss() -> None:
    sent, counts, _ = carried("{fault: loss, pick: {}, share: 0.25}")
    books_balance(sent, counts)
    assert counts.lost["loss"] == pytest.approx(0.25 * counts.made, rel=0.2)


def test_duplicates_are_stored_once_and_of_what_has_no_time_there_are_none() -> None:
    sent, counts, _ = carried("{fault: duplicate, pick: {family: lamp}, share: 0.5, within_s: 40}")
    books_balance(sent, counts)
    lamps = sum(1 for one in MADE if one.site.device.family == "lamp")
    assert counts.repeats == pytest.approx(0.5 * lamps, rel=0.2)
    assert counts.stores == counts.made


def test_what_is_delayed_keeps_its_order_and_its_time() -> None:
    sent, counts, struck = carried("{fault: delay, at: 00:20, until: 00:30, pick: {family: cover}, seconds: 600}")
    books_balance(sent, counts)
    assert all(numbers == sorted(numbers) for numbers in seqs_of(sent).values())
    plain = {due.message.payload: due.at_s for due in carried()[0]}
    later = Counter(
        round(due.at_s - plain[due.message.payload])
        for due in sent
        if due.message.device_id in struck.on_the_way and not due.message.push and due.message.timed
    )
    assert later[600] > 0
    assert later[0] > 0
    # What follows the delayed waits behind them.
    assert max(later) == 600


def test_what_is_mixed_up_is_all_there() -> None:
    sent, counts, struck = carried("{fault: reorder, pick: {family: pipe}, within_s: 300}")
    books_balance(sent, counts)
    assert counts.stores == counts.made
    mixed = {device_id for device_id, numbers in seqs_of(sent).items() if numbers != sorted(numbers)}
    assert mixed
    assert mixed <= struck.on_the_way.keys()


def test_damaged_messages_are_quarantined_whatever_they_are_written_in() -> None:
    sent, counts, _ = carried("{fault: corrupt_payload, pick: {}, share: 0.4}")
    books_balance(sent, counts)
    assert counts.quarantines == pytest.approx(0.4 * counts.made, rel=0.2)
    broken = {due.message.topic.split(b"/")[0] for due in sent if due.message.quarantines}
    assert broken == {b"underfoot", b"dtu", b"hj212", b"http", b""}


@pytest.mark.parametrize(("how", "off_ms"), [("by_s: 28800", 28_800_000), ("by_s: -60", -60_000)])
def test_a_wrong_clock_is_in_what_has_a_clock(how: str, off_ms: int) -> None:
    sent, counts, struck = carried(f"{{fault: wrong_clock, at: 00:10, until: 00:20, pick: {{family: cover}}, {how}}}")
    books_balance(sent, counts)
    assert not any(
        site_.speech.startswith(("ctwing", "dtu")) for site_ in SITES if site_.device.device_id in struck.on_the_way
    )
    right = {(due.message.topic, due.at_s): due.message for due in carried()[0]}
    wrong = [due for due in sent if due.message.kind == "wrong_clock"]
    assert {due.message.device_id for due in wrong} == struck.on_the_way.keys()
    for due in wrong:
        assert not due.message.timed
        (is_, was) = (read(one)[0].report["ts"] for one in (due.message, right[due.message.topic, due.at_s]))
        if isinstance(is_, int) and isinstance(was, int):
            assert is_ - was == off_ms
    after = [due.message for due in sent if due.at_s > 1400 and due.message.device_id in struck.on_the_way]
    assert after
    assert not any(message.timed for message in after), "what the path makes of the time afterwards is not sure"


def test_a_clock_that_was_never_set_counts_from_1970() -> None:
    sent, _, _ = carried("{fault: wrong_clock, pick: {family: road}, since_1970: true}")
    times = [orjson.loads(due.message.payload)["ts"] for due in sent if due.message.kind == "wrong_clock"]
    assert times
    assert all(0 <= ts < 3_600_000 for ts in times)


OUTAGE = "{{fault: gateway_outage, gateways: [410502-G0001], at: 00:20, until: 00:40, keeps: {keeps}}}"


def test_a_gateway_that_keeps_sends_everything_when_it_is_back() -> None:
    sent, counts, _ = carried(OUTAGE.format(keeps="true"))
    books_balance(sent, counts)
    assert counts.stores == counts.made
    at = [due for due in sent if due.message.device_id == "410502-G0001"]
    assert not [due for due in at if 1200 <= due.at_s < 2400]
    (back,) = [due for due in at if due.at_s == 2400]
    assert back.message.stores > 25
    assert all(numbers == sorted(numbers) for numbers in seqs_of(sent).values())
    other = [due for due in sent if due.message.device_id == "410502-G0002" and 1200 <= due.at_s < 2400]
    assert other


def test_a_gateway_that_keeps_nothing_loses_it() -> None:
    sent, counts, _ = carried(OUTAGE.format(keeps="false"))
    books_balance(sent, counts)
    assert counts.lost["gateway_outage"] > 25


def test_a_gateway_that_never_comes_back_loses_what_it_has() -> None:
    sent, counts, _ = carried("{fault: gateway_outage, gateways: [410502-G0001], at: 00:20, keeps: true}")
    books_balance(sent, counts)
    assert counts.lost["gateway_outage"] > 25


def test_a_gateway_has_memory_for_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "MOST_KEPT", 30)
    monkeypatch.setattr(gateways, "MOST_IN_BATCH", 8)
    sent, counts, _ = carried(OUTAGE.format(keeps="true"))
    books_balance(sent, counts)
    assert counts.lost["gateway_memory"] > 3
    back = [due for due in sent if due.message.device_id == "410502-G0001" and 2400 <= due.at_s < 2402]
    assert [due.message.stores for due in back] == [8, 8, 8, 6]
    assert all(numbers == sorted(numbers) for numbers in seqs_of(sent).values())


def test_what_a_gateway_hears_while_it_sends_what_it_kept_waits_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "MOST_IN_BATCH", 2)
    lamp = site("lamp", 1, speech="gateway", gateway_id="GW-1")
    outage = GatewayOutage(fault="gateway_outage", gateways=("GW-1",))
    gateway = gateways.Gateway(lamp, [During(outage, 0.0, 100.0)])
    heard = [gateways.Heard(lamp, b'{"n":%d}' % number, Part("L-1", "heartbeat"), True) for number in range(6)]
    gateway.collecting = heard[:5]
    assert gateway.collected(50.0) == []
    kept = gateway.back(100.0)
    gateway.collecting = heard[5:]
    (fresh,) = gateway.collected(100.2)
    assert [one.message.payload.count(b'"n"') for one in (*kept, fresh)] == [2, 2, 1, 1]
    at = [one.at_s for one in (*kept, fresh)]
    assert at == sorted(at)
    assert at[0] == 100.0


def test_a_gateway_is_back_when_the_last_of_its_outages_is_over() -> None:
    lamp = site("lamp", 1, speech="gateway", gateway_id="GW-1")
    outage = GatewayOutage(fault="gateway_outage", gateways=("GW-1",))
    gateway = gateways.Gateway(lamp, [During(outage, 0.0, 100.0), During(outage, 50.0, 200.0)])
    gateway.collecting = [gateways.Heard(lamp, b"{}", Part("L-1", "heartbeat"), True)]
    assert gateway.collected(40.0) == []
    assert gateway.back(100.0) == []
    (kept,) = gateway.back(200.0)
    assert kept.message.stores == 1


def test_a_copy_of_what_was_lost_is_lost_too() -> None:
    doubled = "{fault: duplicate, pick: {family: lamp}, share: 1.0, within_s: 120}\n"
    sent, counts, _ = carried(doubled + OUTAGE.format(keeps="false"))
    books_balance(sent, counts)
    assert counts.lost["gateway_outage"] > 25


def test_a_malicious_publisher_forges_nothing_sound() -> None:
    sent, counts, _ = carried("{fault: malicious_publisher, at: 00:10, until: 00:30, rate: 0.5}")
    books_balance(sent, counts)
    assert counts.malicious.total() == pytest.approx(600, rel=0.2)
    assert len(counts.malicious) == 11
    bad = [due for due in sent if due.message.kind.startswith("malicious.")]
    assert min(due.at_s for due in bad) >= 600
    assert max(due.at_s for due in bad) < 1800
    named = {due.message.device_id for due in bad}
    assert len(named) > 10


# all at once ----------------------------------------------------------------------------------------------------------
EVERYTHING = """
{fault: duplicate, pick: {share: 0.5}, share: 0.3, within_s: 90}
{fault: reorder, at: 00:10, until: 00:30, pick: {share: 0.3}, within_s: 60}
{fault: delay, at: 00:20, until: 00:40, pick: {share: 0.3}, seconds: 300}
{fault: loss, pick: {share: 0.3}, share: 0.2}
{fault: corrupt_payload, pick: {share: 0.5}, share: 0.2}
{fault: wrong_clock, at: 00:15, until: 00:25, pick: {share: 0.2}, by_s: 28800}
{fault: gateway_outage, at: 00:12, until: 00:24, keeps: true}
{fault: gateway_outage, at: 00:30, until: 00:35, keeps: false}
{fault: malicious_publisher, at: 00:05, until: 00:50, rate: 0.2}
"""


def as_bytes(sent: list[Due]) -> list[tuple[float, bytes, bytes, str]]:
    return [(due.at_s, due.message.topic, due.message.payload, due.message.kind) for due in sent]


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**32))
def test_everything_at_once_balances_and_the_same_seed_is_the_same_bytes(seed: int) -> None:
    sent, counts, struck = carried(EVERYTHING, seed=seed)
    books_balance(sent, counts)
    assert as_bytes(sent) == as_bytes(carried(EVERYTHING, seed=seed)[0])
    assert as_bytes(sent) != as_bytes(carried(EVERYTHING, seed=seed + 1)[0])
    mixed = {
        device_id for device_id, during in struck.on_the_way.items() for one in during if one.fault.fault == "reorder"
    }
    for device_id, numbers in seqs_of(sent).items():
        assert device_id in mixed or numbers == sorted(numbers), device_id


def test_what_is_under_way_is_bounded_by_what_is_delayed_not_by_how_long_it_goes_on() -> None:
    """Whatever comes is asked for only when what is due before it has gone."""
    asked = taken = 0
    furthest = 0

    def counted() -> Any:
        nonlocal asked
        for one in reports(SITES[:6]):
            asked += 1
            yield one

    struck = picked(scenario("{fault: delay, pick: {count: 1}, seconds: 120}"), SmallCity(SITES[:6]), trunk(), 1)
    for _ in carry(counted(), struck, CLOCK, 1):
        taken += 1
        furthest = max(furthest, asked - taken)
    assert asked == taken > 300
    assert furthest < 12


def test_a_run_that_is_stopped_says_what_is_under_way() -> None:
    counts = Carried()
    stream = carry(reports(SITES), Struck(), CLOCK, 1, counts)
    for _ in range(40):
        next(stream)
    assert counts.stores >= 40
    assert counts.under_way == counts.made - counts.stores > 0


def test_a_message_of_one_device_is_its_own_part() -> None:
    message = Message("D-1", b"t", b"{}", "event")
    assert [tuple(part) for part in message.parts] == [("D-1", "event", 1, 0, 0)]
    assert replace(message, stores=0, quarantines=1).parts[0].quarantines == 1
