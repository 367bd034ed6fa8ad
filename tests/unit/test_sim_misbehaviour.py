"""Misbehaving fleets: seeded, counted, and saying of every message what must become of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import orjson
import pytest

from simulators import poison
from simulators.account import Account
from simulators.city import City
from simulators.fleet import Fleet
from simulators.message import Due, Message, clock_from, epoch_ms
from simulators.misbehaviour import CLOCKS, Misbehaviour, MisbehaviourError
from simulators.plan import Plan
from simulators.roster import roster_of
from simulators.wire import Acknowledged
from underfoot.reports import TRUSTED_FUTURE_US, TRUSTED_PAST_US

START_MS = 1_750_000_000_000
ROSTER = roster_of(City(devices=60, pace=60).rows())
SECONDS = 60.0


def messages() -> list[Due]:
    return list(Fleet(ROSTER, Plan(SECONDS), seed=4, clock=clock_from(START_MS), rate=60).messages())


def misbehaving(*settings: str, spare: frozenset[str] = frozenset(), seed: int = 9) -> list[Due]:
    return list(Misbehaviour.parse(settings, spare).apply(messages(), seed))


def ts_ms(message: Message) -> int:
    ts = orjson.loads(message.payload)["ts"]
    return epoch_ms(ts) if isinstance(ts, str) else ts


def counted(sent: list[Due]) -> Account:
    account = Account()
    account.acknowledged([Acknowledged(due.message, 0.0) for due in sent], 0.001)
    return account


def test_without_settings_nothing_changes() -> None:
    assert misbehaving() == messages()


def test_the_same_seed_misbehaves_the_same() -> None:
    settings = ("duplicate=0.1", "poison=0.1", "shuffle=20", "no_ts=0.05", "backlog=0.2", "clock_plus_8h=0.1")
    assert misbehaving(*settings) == misbehaving(*settings)
    assert misbehaving(*settings) != misbehaving(*settings, seed=10)


def test_duplicates_are_the_same_bytes_and_count_as_repeats() -> None:
    sent = misbehaving("duplicate=0.25")
    again = [due.message for due in sent if due.message.again]
    assert len(again) == pytest.approx(0.25 * len(messages()), rel=0.2)
    account = counted(sent)
    assert (account.sent, account.repeats, account.untimed_repeats) == (len(messages()), len(again), 0)
    assert account.messages == len(sent)
    assert all(earlier.at_s <= later.at_s for earlier, later in pairwise(sent))


def test_every_message_twice_and_shuffled() -> None:
    sent = misbehaving("duplicate=1", "shuffle=50")
    times = Counter((due.message.topic, due.message.payload) for due in sent)
    assert set(times.values()) == {2}
    assert times.keys() == {(due.message.topic, due.message.payload) for due in messages()}
    assert [due.message.payload for due in sent] != [due.message.payload for due in misbehaving("duplicate=1")]


def test_shuffling_stays_within_its_window_and_loses_nothing() -> None:
    before = [due.message for due in messages()]
    after = [due.message for due in misbehaving("shuffle=10")]
    assert Counter(after) == Counter(before)
    for start in range(0, len(before), 10):
        assert Counter(before[start : start + 10]) == Counter(after[start : start + 10])


def test_spared_devices_are_only_repeated() -> None:
    spared = frozenset(device.device_id for device in ROSTER[:20])
    settings = [f"{name}=0.3" for name in ("duplicate", "poison", "no_ts", "backlog", *CLOCKS)]
    ordinary = [due.message for due in messages() if due.message.device_id in spared]
    kept = [
        due.message for due in misbehaving(*settings, "shuffle=30", spare=spared) if due.message.device_id in spared
    ]
    assert [message for message in kept if not message.again] == ordinary
    assert any(message.again for message in kept)


def test_poison_comes_beside_the_ordinary_reports_each_kind_in_turn() -> None:
    sent = misbehaving("poison=0.5")
    poisons = [due.message for due in sent if due.message.kind.startswith("poison.")]
    assert {message.kind for message in poisons} == {f"poison.{kind}" for kind in poison.KINDS}
    assert [due.message for due in sent if not due.message.kind.startswith("poison.")] == [
        due.message for due in messages()
    ]
    account = counted(sent)
    assert account.sent == len(messages()) + sum(message.reports for message in poisons)
    assert account.to_quarantine == sum(message.quarantines for message in poisons)
    assert account.to_store + account.to_quarantine == account.sent
    assert account.repeats == 0


def test_one_kind_of_poison_can_be_asked_for() -> None:
    kinds = Counter(due.message.kind for due in misbehaving("poison.empty_array=0.2"))
    assert set(kinds) == {"heartbeat", "poison.empty_array"}


@pytest.mark.parametrize("kind", poison.KINDS)
def test_poisons_of_a_kind_all_differ(kind: str) -> None:
    like = messages()[0].message
    made = [poison.poison(kind, like, number) for number in range(1, 200)]
    assert len({(message.topic, message.payload) for message in made}) == len(made)
    assert all(message.reports for message in made)


def test_wrong_clocks() -> None:
    right = {(due.message.device_id, round(due.at_s, 6)): ts_ms(due.message) for due in messages()}
    sent = misbehaving(*(f"{name}=0.2" for name in CLOCKS))
    seen = Counter(due.message.kind for due in sent)
    assert CLOCKS.keys() <= seen.keys()
    for due in sent:
        if due.message.kind not in CLOCKS:
            continue
        assert not due.message.timed
        added = CLOCKS[due.message.kind]
        now_ms = right[due.message.device_id, round(due.at_s, 6)]
        if added is None:
            assert ts_ms(due.message) < SECONDS * 1000
        else:
            assert ts_ms(due.message) == now_ms + added
            trusted = -TRUSTED_PAST_US <= added * 1000 <= TRUSTED_FUTURE_US
            assert trusted == (due.message.kind != "clock_plus_8h")
    assert counted(sent).sent == len(messages())


def test_a_clock_is_wrong_for_a_few_reports_and_its_device_is_uncertain_for_a_while() -> None:
    by_device = defaultdict(list)
    for due in misbehaving("clock_plus_4min=0.2"):
        by_device[due.message.device_id].append(due.message)
    corrected = 0
    for sent in by_device.values():
        wrong = [place for place, message in enumerate(sent) if message.kind == "clock_plus_4min"]
        if wrong:
            assert not any(message.timed for message in sent[wrong[0] :])
            corrected += any(message.kind == "heartbeat" for message in sent[wrong[0] :])
    assert corrected > 5


def test_reports_without_a_time_are_never_repeated_on_purpose() -> None:
    sent = misbehaving("no_ts=0.2", "duplicate=1")
    without = [due.message for due in sent if due.message.kind == "no_ts"]
    assert without
    assert not any("ts" in orjson.loads(message.payload) for message in without)
    assert counted(sent).untimed_repeats == 0
    assert counted(sent).sent == len(messages())


def test_a_backlog_follows_the_newest_report_with_its_own_times() -> None:
    sent = misbehaving("backlog=0.3")
    assert counted(sent).sent == len(messages())
    by_device = defaultdict(list)
    for due in sent:
        by_device[due.message.device_id].append(due.message)
    late = 0
    for device_messages in by_device.values():
        newest = 0
        for message in device_messages:
            if message.kind == "backlog" and ts_ms(message) < newest:
                late += 1
            newest = max(newest, ts_ms(message))
    assert late > 20


def test_redeliveries_are_counted_apart() -> None:
    account = Account()
    timed, untimed = (
        Message("a", b"t", b"1", "heartbeat"),
        Message("a", b"t", b"2", "no_ts", timed=False),
    )
    account.redelivered([timed, untimed])
    account.acknowledged([Acknowledged(timed, 0.0), Acknowledged(untimed, 0.0)], 0.5)
    assert (account.sent, account.repeats, account.redelivered_messages, account.untimed_repeats) == (2, 0, 2, 1)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("duplicates=0.1", "'duplicates' is no misbehaviour"),
        ("duplicate=2", "duplicate: 2.0; a share is 0 to 1"),
        ("duplicate", "'duplicate': written as name=number"),
        ("duplicate=some", "'duplicate=some': a number"),
        ("shuffle=-1", "shuffle: -1; a number of messages"),
        ("poison.nothing=0.1", "'poison.nothing' is no misbehaviour"),
    ],
)
def test_a_wrong_setting_says_what_is_wrong(setting: str, said: str) -> None:
    with pytest.raises(MisbehaviourError) as error:
        Misbehaviour.parse([setting])
    assert said in str(error.value)
