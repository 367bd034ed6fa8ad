"""A small seeded fleet that knows exactly what it has sent, what is to be kept of it, and which alarms must come of it.

Every report carries `n`, a number of its own beside `values`: the product keeps what it does not know, so a row in the
database is recognised without asking the product how it tells reports apart.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.system.city import DEVICES, DISTRICT, DISTRICTS, topic

DEPTHS_CM = ((5, 1), (15, 2), (27, 3), (40, 4))
"""Limits of the shipped rule road.ponding, and the severity each means."""

_Values = dict[str, Any]


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes


@dataclass
class Episode:
    """An alarm that must be on record. Times are the device's own in ms; None where it gave none."""

    device_id: str
    rule_id: str
    raised_ms: int | None
    severity: int
    open: bool = True
    cleared_ms: int | None = None


@dataclass
class Sent:
    """What has gone out: numbers of reports that must be stored, fingerprints of what must be in quarantine."""

    messages: int = 0
    reports: set[int] = field(default_factory=set)
    refused: set[bytes] = field(default_factory=set)
    repeats: int = 0
    last_at: float = 0.0
    episodes: list[Episode] = field(default_factory=list)


def encoded(report: Any) -> bytes:
    """The bytes of a report as the product writes them again when it takes an array apart."""
    return json.dumps(report, sort_keys=True, separators=(",", ":")).encode()


def fingerprint(where: str, payload: bytes) -> bytes:
    return hashlib.sha256(where.encode() + b"\0" + payload).digest()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def report(
    device_id: str, ts: int | str | None, n: int | None = None, seq: int | None = None, **values: Any
) -> Message:
    """One report; `ts` None leaves the time out."""
    body: dict[str, Any] = {"values": values}
    body |= {} if ts is None else {"ts": ts}
    body |= {} if n is None else {"n": n}
    body |= {} if seq is None else {"seq": seq}
    return Message(topic(device_id), encoded(body))


_COVERS = DEVICES["cover"]
_PLAIN, _COUNTING, _CLOCKLESS, _STEPPED, _WANDERING = (
    _COVERS[:24],
    _COVERS[24:36],
    _COVERS[36:44],
    _COVERS[44:50],
    _COVERS[50:],
)
STEADY = (*_PLAIN, *_COUNTING, *_CLOCKLESS, *_STEPPED)
"""Covers that are heard of again and again: at 300 messages a second each some 3 times a second."""

_STEP_MS = 8 * 3_600_000
_ANALOGUE = DEVICES["rain"] + DEVICES["pipe"]


class Fleet:
    """`message()` gives the next one to send. Not for two threads at once. `home` says a device's district."""

    def __init__(self, seed: int, home: Callable[[str], str] = lambda _: DISTRICT) -> None:
        self.sent = Sent()
        self._home = home
        self._random = random.Random(seed)
        self._number = itertools.count(1)
        self._last_ms: dict[str, int] = {}
        self._seq: dict[str, int] = {}
        self._depth_cm: dict[str, int] = {}
        self._open: dict[tuple[str, str], Episode] = {}
        self._memory: list[Message] = []
        self._clockless = True
        self._settled = False

    def clocks_only(self) -> None:
        """From now on every report has a time that can be trusted."""
        self._clockless = False

    def message(self) -> Message:
        kind = self._random.random()
        if kind < 0.05 and self._memory:
            self.sent.repeats += 1
            made = self._random.choice(self._memory[-2000:])
        elif kind < 0.11:
            made = self._poison()
        elif kind < 0.16:
            made = self._array()
        elif kind < 0.21:
            made = self._wanderer()
        else:
            made = self._single()
        return self._counted(made)

    def last_words(self) -> list[Message]:
        """Each device says once more how things are, at the right time: nobody is left in doubt."""
        self._settled = True
        made = []
        for device_id in itertools.chain.from_iterable(DEVICES.values()):
            body = self._report(device_id)
            if device_id in _STEPPED:
                body["ts"] = self._tick(device_id)
            made.append(self._counted(Message(topic(device_id), encoded(body))))
        return made

    def _counted(self, made: Message) -> Message:
        self.sent.messages += 1
        self.sent.last_at = time.time()
        return made

    # what a decent device sends -------------------------------------------------------------------------------------

    def _single(self) -> Message:
        clockless = _CLOCKLESS + _STEPPED if self._clockless else []
        device_id = self._random.choice(
            _PLAIN + _COUNTING + clockless + DEVICES["lamp"] + DEVICES["pump"] + DEVICES["road"] + _ANALOGUE
        )
        body = self._report(device_id, clockless=device_id in _CLOCKLESS)
        made = Message(self._topic(device_id), encoded(body))
        if "ts" in body and device_id not in _STEPPED:
            self._memory.append(made)
        return made

    def _report(self, device_id: str, *, clockless: bool = False) -> dict[str, Any]:
        body: dict[str, Any] = {"n": self._new_number()}
        at_ms = None
        if not clockless:
            at_ms = body["ts"] = self._tick(device_id)
        if device_id in _STEPPED:
            # Right once; since then the clock is hours behind, and only `seq` says that this is news.
            at_ms = None
            body["ts"] -= _STEP_MS if device_id in self._seq else 0
        if device_id in _COUNTING + _STEPPED:
            body["seq"] = self._seq[device_id] = self._seq.get(device_id, 0) + 1
        body["values"] = self._values(device_id, at_ms)
        return body

    def _values(self, device_id: str, at_ms: int | None) -> _Values:
        family = device_id.partition("-")[0]
        draw = self._random
        if device_id in _WANDERING:
            return {"open": False, "tilt_deg": 1.0}
        if family == "cover":
            opened = self._state(device_id, "cover.open", 4, at_ms, often=0.15)
            return {"open": opened, "tilt_deg": 80.0 if opened else 1.0, "battery_v": 3.6}
        if family == "lamp":
            return {"door_open": self._state(device_id, "lamp.door", 2, at_ms, often=0.1), "voltage_v": 220.0}
        if family == "pump":
            return {"fault": self._state(device_id, "pump.fault", 3, at_ms, often=0.1), "running": True}
        if family == "road":
            return {"depth_cm": self._depth(device_id, at_ms)}
        if family == "rain":
            return {"amount_mm": 0.0, "battery_v": 3.6}
        return {"level_m": round(draw.uniform(0.1, 0.5), 2), "velocity_m_s": 0.4}

    def _state(self, device_id: str, rule_id: str, severity: int, at_ms: int | None, *, often: float) -> bool:
        """A hazard that comes and goes at once: its rule has no delay and no dead band."""
        open_one = self._open.get((device_id, rule_id))
        if self._settled or self._random.random() >= often:
            return open_one is not None
        if open_one is not None:
            open_one.open = False
            open_one.cleared_ms = at_ms
            del self._open[device_id, rule_id]
            return False
        self._raise(device_id, rule_id, severity, at_ms)
        return True

    def _depth(self, device_id: str, at_ms: int | None) -> int:
        """Water that only rises, so that one episode grows worse."""
        rise = 0 if self._settled else self._random.choice((0, 0, 0, 2))
        depth = min(self._depth_cm.get(device_id, 0) + rise, 60)
        self._depth_cm[device_id] = depth
        severity = max((rank for limit, rank in DEPTHS_CM if depth >= limit), default=0)
        open_one = self._open.get((device_id, "road.ponding"))
        if open_one is not None:
            open_one.severity = severity
        elif severity:
            self._raise(device_id, "road.ponding", severity, at_ms)
        return depth

    def _raise(self, device_id: str, rule_id: str, severity: int, at_ms: int | None) -> None:
        self._open[device_id, rule_id] = episode = Episode(device_id, rule_id, at_ms, severity)
        self.sent.episodes.append(episode)

    def _array(self) -> Message:
        """Several reports of one device; sometimes one that is none among them."""
        device_id = self._random.choice(_PLAIN + DEVICES["lamp"])
        items: list[Any] = [self._report(device_id) for _ in range(self._random.randint(2, 4))]
        if self._random.random() < 0.4:
            nonsense = self._random.choice([f"nonsense {self._number_of_its_own()}", {"n": self._number_of_its_own()}])
            items.insert(self._random.randrange(len(items)), nonsense)
            self.sent.refused.add(fingerprint(self._topic(device_id), encoded(nonsense)))
        return Message(self._topic(device_id), encoded(items))

    # and what the others do -----------------------------------------------------------------------------------------

    def _wanderer(self) -> Message:
        """A cover without a hazard whose clock is anywhere: it must be stored, whatever it is filed under."""
        device_id = self._random.choice(_WANDERING)
        wrong: list[int | str | None] = [0, now_ms() + 86_400_000, "yesterday", None] if self._clockless else []
        ts = self._random.choice([now_ms() - self._random.randrange(3_600_000), *wrong])
        number = self._new_number()
        return replace(report(device_id, ts, number, open=False, tilt_deg=1.0), topic=self._topic(device_id))

    def _poison(self) -> Message:
        number = self._number_of_its_own()
        cover, stranger = self._random.choice(_PLAIN), f"stranger-{number}"
        where, payload = self._random.choice(
            [
                (self._topic(cover), b'{"values": {"open": tr' + str(number).encode()),
                (self._topic(cover), b"\xff\xfe" + str(number).encode()),
                (self._topic(cover), str(number).encode()),
                (self._topic(cover), encoded({"ts": now_ms(), "n": number})),
                (topic(stranger, family="cover"), encoded({"values": {"open": True}})),
                (self._topic(cover, family="lamp"), encoded({"n": number, "values": {"open": True}})),
                (topic(cover, district=self._elsewhere(cover)), encoded({"n": number, "values": {"open": True}})),
            ]
        )
        self.sent.refused.add(fingerprint(where, payload))
        return Message(where, payload)

    def _topic(self, device_id: str, family: str | None = None) -> str:
        return topic(device_id, district=self._home(device_id), family=family)

    def _elsewhere(self, device_id: str) -> str:
        """A district of the city that is not the device's."""
        return next(district for district in DISTRICTS[1:] if district != self._home(device_id))

    def _number_of_its_own(self) -> int:
        return next(self._number)

    def _new_number(self) -> int:
        number = next(self._number)
        self.sent.reports.add(number)
        return number

    def _tick(self, device_id: str) -> int:
        """Event time: later than the device's last, to the millisecond."""
        self._last_ms[device_id] = at = max(now_ms(), self._last_ms.get(device_id, 0) + 1)
        return at
