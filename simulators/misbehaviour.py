"""What real fleets do wrong, on demand: repeats, disorder, poison, wrong clocks, backlogs.

Sits between `fleet` and `play`. Seeded, and every message says what is to become of it, so that a test knows the exact
books to expect. A poison is sent beside the report it resembles, never instead of it.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from random import Random

import orjson

from simulators import poison
from simulators.message import Due, Message, epoch_ms, rfc3339

_HOUR_MS = 3_600_000
CLOCKS: dict[str, int | None] = {
    "clock_1970": None,
    "clock_plus_8h": 8 * _HOUR_MS,
    "clock_minus_8h": -8 * _HOUR_MS,
    "clock_minus_1d": -24 * _HOUR_MS,
    "clock_plus_4min": 4 * 60_000,
}
"""Wrong clock → what it adds to the time (None: it counts from 1970). Each lasts a few reports, then is right again."""

_REPORTS_WRONG = 4
_UNCERTAIN_S = 300.0
_BACKLOG_REPORTS = 5
_LONGEST_REPEAT_S = 2.0

SHARES = ("duplicate", "backlog", "no_ts", *CLOCKS, "poison", *(f"poison.{kind}" for kind in poison.KINDS))


class MisbehaviourError(ValueError):
    """A misbehaviour that does not exist or a share that cannot be: says which, and what is allowed."""


@dataclass(frozen=True)
class Misbehaviour:
    """How often each thing happens: `shares` of all messages, by the names in SHARES ("poison" stands for every kind,
    in turn). `shuffle` mixes the order within so many messages. `spare` names devices that only ever repeat themselves.
    """

    shares: dict[str, float] = field(default_factory=dict)
    shuffle: int = 0
    spare: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name, share in self.shares.items():
            if name not in SHARES:
                raise MisbehaviourError(f"{name!r} is no misbehaviour; there are shuffle, {', '.join(SHARES)}")
            if not 0 <= share <= 1:
                raise MisbehaviourError(f"{name}: {share}; a share is 0 to 1")
        if self.shuffle < 0:
            raise MisbehaviourError(f"shuffle: {self.shuffle}; a number of messages")

    @classmethod
    def parse(cls, settings: Iterable[str], spare: frozenset[str] = frozenset()) -> Misbehaviour:
        """From `name=number` texts, as the command line has them."""
        shares: dict[str, float] = {}
        shuffle = 0
        for text in settings:
            name, equals, value = text.partition("=")
            try:
                if name == "shuffle":
                    shuffle = int(value)
                else:
                    shares[name] = float(value)
            except ValueError:
                what = "a number" if equals else "written as name=number"
                raise MisbehaviourError(f"{text!r}: {what} is needed, like duplicate=0.02 or shuffle=20") from None
        return cls(shares, shuffle, spare)

    def apply(self, messages: Iterable[Due], seed: int) -> Iterator[Due]:
        """The same messages, misbehaving."""
        random = Random(f"misbehaviour {seed}")
        stream: Iterator[Due] = iter(messages)
        if self.shares.keys() & {"backlog", "no_ts", *CLOCKS}:
            stream = _Clocks(self, random).apply(stream)
        if any(name.startswith("poison") for name in self.shares):
            stream = self._poisoned(stream, random)
        if self.shares.get("duplicate"):
            stream = self._repeated(stream, random)
        if self.shuffle > 1:
            stream = self._shuffled(stream, random)
        return stream

    def _poisoned(self, messages: Iterator[Due], random: Random) -> Iterator[Due]:
        kinds = list(poison.KINDS)
        named = [(kind, self.shares[f"poison.{kind}"]) for kind in kinds if self.shares.get(f"poison.{kind}")]
        any_share = self.shares.get("poison", 0.0)
        numbers = itertools.count(1)
        turn = itertools.cycle(kinds)
        for due in messages:
            yield due
            if due.message.device_id in self.spare or due.message.kind == "no_ts":
                continue
            if random.random() < any_share:
                yield Due(due.at_s, poison.poison(next(turn), due.message, next(numbers)))
            for kind, share in named:
                if random.random() < share:
                    yield Due(due.at_s, poison.poison(kind, due.message, next(numbers)))

    def _repeated(self, messages: Iterator[Due], random: Random) -> Iterator[Due]:
        share = self.shares["duplicate"]
        owed: list[tuple[float, int, Message]] = []
        order = itertools.count()
        for due in messages:
            while owed and owed[0][0] <= due.at_s:
                at_s, _, message = heapq.heappop(owed)
                yield Due(at_s, message)
            yield due
            if due.message.timed and random.random() < share:
                again = replace(due.message, again=True)
                heapq.heappush(owed, (due.at_s + random.uniform(0, _LONGEST_REPEAT_S), next(order), again))
        while owed:
            at_s, _, message = heapq.heappop(owed)
            yield Due(at_s, message)

    def _shuffled(self, messages: Iterator[Due], random: Random) -> Iterator[Due]:
        while block := list(itertools.islice(messages, self.shuffle)):
            movable = [place for place, due in enumerate(block) if due.message.device_id not in self.spare]
            moved = random.sample(movable, len(movable))
            mixed = [due.message for due in block]
            for place, origin in zip(movable, moved, strict=True):
                mixed[place] = block[origin].message
            yield from (Due(due.at_s, message) for due, message in zip(block, mixed, strict=True))


class _Clocks:
    """Devices whose clock is wrong for a few reports, or that deliver late what they could not send."""

    def __init__(self, misbehaviour: Misbehaviour, random: Random) -> None:
        self.misbehaviour = misbehaviour
        self.random = random
        self.wrong: dict[str, tuple[str, int]] = {}
        self.uncertain_until: dict[str, float] = {}
        self.held: dict[str, list[Message]] = {}

    def apply(self, messages: Iterator[Due]) -> Iterator[Due]:
        last_s = 0.0
        for due in messages:
            last_s = due.at_s
            device_id = due.message.device_id
            if device_id in self.misbehaviour.spare:
                yield due
            elif device_id in self.held:
                yield from self._backlog(due)
            else:
                fault = self._fault(device_id)
                if fault == "backlog":
                    self.held[device_id] = [replace(due.message, kind="backlog")]
                else:
                    yield self._timed(due, fault)
        for held in self.held.values():
            yield from (Due(last_s, message) for message in held)

    def _fault(self, device_id: str) -> str | None:
        if device_id in self.wrong:
            name, left = self.wrong[device_id]
            if left > 1:
                self.wrong[device_id] = (name, left - 1)
            else:
                del self.wrong[device_id]
            return name
        for name in ("backlog", "no_ts", *CLOCKS):
            share = self.misbehaviour.shares.get(name, 0.0)
            if name in CLOCKS:
                if share and self.random.random() < share / _REPORTS_WRONG:
                    self.wrong[device_id] = (name, _REPORTS_WRONG - 1)
                    return name
            elif share and self.random.random() < (share / _BACKLOG_REPORTS if name == "backlog" else share):
                return name
        return None

    def _backlog(self, due: Due) -> Iterator[Due]:
        """Once it can send again, its newest report goes first and what it had kept follows."""
        held = self.held[due.message.device_id]
        if len(held) < _BACKLOG_REPORTS:
            held.append(replace(due.message, kind="backlog"))
            return
        del self.held[due.message.device_id]
        yield self._timed(due, None)
        yield from (Due(due.at_s, message) for message in held)

    def _timed(self, due: Due, fault: str | None) -> Due:
        device_id = due.message.device_id
        if fault is None:
            if due.at_s < self.uncertain_until.get(device_id, 0.0):
                return Due(due.at_s, replace(due.message, timed=False))
            return due
        self.uncertain_until[device_id] = due.at_s + _UNCERTAIN_S
        report = orjson.loads(due.message.payload)
        if fault == "no_ts":
            del report["ts"]
        else:
            report["ts"] = _wrong(report["ts"], CLOCKS[fault], due.at_s)
        return Due(due.at_s, replace(due.message, payload=orjson.dumps(report), kind=fault, timed=False))


def _wrong(ts: int | str, added_ms: int | None, at_s: float) -> int | str:
    right_ms = epoch_ms(ts) if isinstance(ts, str) else ts
    wrong_ms = round(at_s * 1000) if added_ms is None else right_ms + added_ms
    return rfc3339(wrong_ms) if isinstance(ts, str) else wrong_ms
