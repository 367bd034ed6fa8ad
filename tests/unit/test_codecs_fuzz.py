"""Random and mutated frames over all codecs: each becomes reports or is refused by name, and soon; nothing escapes."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter

import cbor2
import pytest

from ingest.codecs.contract import Decoded
from ingest.reasons import Rejection
from tests.unit.codec_frames import BATCH, CBOR, CODECS, REPORT, RIGHT, arrival, as_agreed, hj212, mutated
from underfoot.reports import canonical

LONG = os.environ.get("UNDERFOOT_TEST_LONG") == "1"
FRAMES = 1_000_000 if LONG else 20_000
MOST_SECONDS = 2.0
"""Of processor time for one frame, whatever it is; a right one takes well below a millisecond."""
M = 2**20


def test_every_frame_becomes_reports_or_is_refused_by_name() -> None:
    dice = random.Random(651)
    slowest, outcomes = 0.0, Counter[str]()
    for number in range(FRAMES):
        topic, payload, declared = dice.choice(RIGHT)
        frame = dice.randbytes(dice.randrange(80)) if number % 10 == 0 else mutated(dice, payload)
        codec = CODECS.of(topic, declared)
        assert codec is not None
        began = time.process_time()
        parts = codec(arrival(topic, frame))
        slowest = max(slowest, time.process_time() - began)
        as_agreed(parts)
        for part in parts:
            if isinstance(part, Decoded):
                canonical(part.report)
            outcomes["read" if isinstance(part, Decoded) else part.reason.value] += 1
    assert slowest < MOST_SECONDS
    # A test that only ever sees one of them would prove nothing.
    assert outcomes["read"] > FRAMES / 50
    assert {"undecodable", "mapping_failed", "checksum", "unsupported_frame", "not_an_object"} <= outcomes.keys()


_LISTED = b'{"data":[' + b'{"mac":"A","points":[{"code":"tilt","value":1}]},' * 9999 + b'1],"ts":'
BOMBS: dict[str, tuple[str, bytes, str | None]] = {
    "json lists": (BATCH, b"[" * M, None),
    "json lists of half a pair": (BATCH, b'["\\ud800",' + b"[" * 900 + b"]" * 901, None),
    "json depth in a report": (BATCH, b'{"device_id":"A","y":"\\ud800","x":' + b"[" * 900 + b"]" * 900 + b"}", None),
    "half a million items": (BATCH, b"[" + b"1," * 500_000 + b"1]", None),
    "half a million reports": (BATCH, b'{"reports":[' + b"1," * 500_000 + b"1]}", None),
    "much beside many reports": (BATCH, json.dumps({"reports": [1] * 5000, "x": "y" * 100_000}).encode(), None),
    "half a million of a device": (REPORT, b"[" + b"1," * 500_000 + b"1]", "json"),
    "many listed": ("listed/G/up", b'{"data":[' + b"{}," * 300_000 + b"{}]}", None),
    "many listed in a long message": ("listed/G/up", _LISTED + b"[" + b"1," * 200_000 + b"1]}", None),
    "a long list searched": (
        "listed/G/up",
        b'{"data":[{"mac":"A","points":[' + b'{"code":3},' * 90_000 + b"1]}]}",
        None,
    ),
    "a text of brackets": ("http/ctwing-ad19prof", json.dumps({"payload": "[" * 500_000}).encode(), None),
    "digits": ("http/ctwing-ad19prof", b'{"timestamp":' + b"9" * M + b"}", None),
    "cbor depth": (CBOR, b"\x81" * 60_000, None),
    "cbor length": (CBOR, b"\x9b" + b"\xff" * 8, None),
    "cbor text length": (CBOR, b"\x7b" + b"\x7f" * 8, None),
    "cbor many": (CBOR, b"\x9f" + b"\xa0" * 65_000 + b"\xff", None),
    "cbor cycle": (CBOR, b"\xd8\x1c\x81\xd8\x1d\x00", None),
    "cbor references": (CBOR, cbor2.dumps([["x" * 200] * 500] * 100, string_referencing=True), None),
    "cbor sharing": (CBOR, cbor2.dumps([shared := [0] * 50, [[shared] * 50] * 50], value_sharing=True), None),
    "cbor big numbers": (CBOR, b"\x9f" + b"\xa1\x02\xc2\x59\x0f\xff" + b"\xff" * 4095 + b"\xff", None),
    "cbor exponent": (CBOR, cbor2.dumps({2: {4: cbor2.CBORTag(4, [2**60, 1]), 5: cbor2.CBORTag(5, [2**60, 1])}}), None),
    "cbor expression": (CBOR, cbor2.dumps({2: {4: cbor2.CBORTag(35, "(a+)+" * 30 + "$")}}), None),
    "hashes": ("hj212/D/up", b"#" * M, None),
    "claims": ("hj212/D/up", b"##9999" * (M // 6), None),
    "claims with an end": ("hj212/D/up", b"##0000FFFF\r\n" * (M // 12), None),
    "long packets": ("hj212/D/up", hj212("A" * 9000) * (M // 9020), None),
    "keys": ("keyed/K", b"".join(b"%d=1;" % number for number in range(9000)), None),
    "zeroes": ("dtu/D/up", bytes(M), None),
    "station": ("sl651/1", b"\x7e\x7e" * 32_768, None),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_is_made_to_cost_much_costs_little(name: str) -> None:
    topic, payload, declared = BOMBS[name]
    codec = CODECS.of(topic, declared)
    assert codec is not None
    began = time.process_time()
    parts = codec(arrival(topic, payload))
    assert time.process_time() - began < MOST_SECONDS
    as_agreed(parts)
    assert len(parts) <= 10_001
    # What is kept of it is not more than it was, but for what stands around each of many items.
    assert sum(len(part.payload) for part in parts) <= 17 * M


def test_half_a_pair_deep_down_is_refused_and_not_handed_on() -> None:
    codec = CODECS.of(BATCH, None)
    assert codec is not None
    (part,) = codec(arrival(*BOMBS["json depth in a report"][:2]))
    assert not isinstance(part, Decoded)
    assert part.reason is Rejection.undecodable
