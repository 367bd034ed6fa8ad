"""Speeches: what a device means is what ingest's own codec reads, within the resolution of what it is written in."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codecs.cbor_v1 import FIELDS, REPORT_KEYS
from ingest.codecs.contract import Decoded, Unusable
from ingest.codecs.mappings import shipped
from ingest.codecs.table import Codecs
from ingest.validate import event_time, judge_values
from simulators.faults.damage import damaged
from simulators.message import Message
from simulators.speech import SPEECHES, Said, Writer, carried, native, speaks
from tests.unit.codec_frames import arrival
from tests.unit.small_city import START_MS, VALUES, site
from underfoot.families import FAMILIES

CODECS = Codecs(shipped().values())
RECEIVED_US = START_MS * 1000 + 2_000_000
DEVICE_IDS = {"dtu-hj212-pipe": "410502P00000042", "ctwing-ad19prof": "860374051096202"}
SPOKEN = [(name, family) for name, writer in SPEECHES.items() for family in writer.carries]


def of(speech: str, family: str, **changes: Any) -> Any:
    gateway = "410502-G0001" if speech == "gateway" else ""
    named = {"device_id": DEVICE_IDS[speech]} if speech in DEVICE_IDS else {}
    return site(family, 7, speech=speech, gateway_id=gateway, **named, **changes)


def written(writer: Writer, said: Said) -> tuple[str, bytes]:
    payload = writer.write(said)
    return writer.topic(said.site), native.batch([payload]) if writer.name == "gateway" else payload


def read(writer: Writer, said: Said) -> Decoded:
    topic, payload = written(writer, said)
    codec = CODECS.of(topic, None)
    assert codec is not None, topic
    (part,) = codec(arrival(topic, payload))
    assert isinstance(part, Decoded), part
    return part


def meant(family: str, seed: int) -> dict[str, Any]:
    """A value of each field, in its sensor's own steps."""
    random = Random(seed)
    values: dict[str, Any] = {}
    for column in FAMILIES[family].columns:
        if column.type == "boolean":
            values[column.name] = random.random() < 0.5
        elif column.choices:
            values[column.name] = random.choice(list(column.choices.values()))
        elif column.low is not None and column.high is not None and column.resolution is not None:
            steps = round((min(column.high, 400) - max(column.low, -400)) / column.resolution)
            value = max(column.low, -400) + random.randrange(steps + 1) * column.resolution
            values[column.name] = int(value) if column.type == "smallint" else round(value, 3)
    return values


def expected(speech: str, values: Any) -> dict[str, Any]:
    """CTWing's profile has one status for both: with open it says nothing of shaking, with loose nothing of open."""
    if speech == "ctwing-ad19prof" and values["open"]:
        return {**values, "vibration": None}
    if speech == "ctwing-ad19prof" and values["vibration"]:
        return {**values, "open": None}
    return dict(values)


@pytest.mark.parametrize(("speech", "family"), SPOKEN)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), late_ms=st.integers(0, 5_000), seq=st.integers(0, 2**40) | st.none())
def test_what_is_read_is_what_was_meant(speech: str, family: str, seed: int, late_ms: int, seq: int | None) -> None:
    writer, values = SPEECHES[speech], meant(family, seed)
    one = of(speech, family)
    said = Said(one, START_MS - 1500, START_MS + late_ms, seq, writer.speakable(one, values))
    part = read(writer, said)
    assert part.device_id == one.device.device_id
    assert part.family == family
    assert part.area in (None, one.device.district)
    assert part.gateway_id == (one.gateway_id or None)
    told, set_aside = judge_values(FAMILIES[family].model, part.report["values"])
    assert set_aside == {}
    assert not told.__pydantic_extra__
    for name, value in expected(speech, said.values).items():
        got = getattr(told, name)
        if value is None or isinstance(value, bool) or FAMILIES[family].column[name].choices:
            assert got == value, name
        else:
            assert got == pytest.approx(value, abs=writer.steps.get(name, 1e-9) / 2 + 1e-9), name
    assert {name for name in FAMILIES[family].fields if getattr(told, name) is not None} <= said.values.keys()


@pytest.mark.parametrize(("speech", "family"), SPOKEN)
def test_its_time_is_the_device_s_or_its_platform_s_or_none(speech: str, family: str) -> None:
    writer, one = SPEECHES[speech], of(speech, family)
    said = Said(one, START_MS - 1501, START_MS + 700, 5, writer.speakable(one, VALUES[family]))
    ts_us, mark = event_time(read(writer, said).report.get("ts"), RECEIVED_US)
    if not writer.timed:
        assert mark
    else:
        assert not mark
        wanted_ms = START_MS - 1501 if writer.own_clock else START_MS + 700
        assert ts_us == wanted_ms // writer.step_ms * writer.step_ms * 1000


def test_time_as_text_is_the_same_time() -> None:
    one = site("pipe", 3, model="ZY-F3")
    said = Said(one, START_MS, START_MS, 5, VALUES["pipe"])
    assert b"+08:00" in native.JSON.write(said)
    assert event_time(read(native.JSON, said).report["ts"], RECEIVED_US) == (START_MS * 1000, 0)


def test_the_numbers_of_cbor_are_the_protocol_s() -> None:
    assert {family: tuple(numbers) for family, numbers in native._NUMBERS.items()} == FIELDS
    for family, numbers in native._NUMBERS.items():
        assert list(numbers.values()) == list(range(len(FAMILIES[family].fields)))
    assert [REPORT_KEYS[place] for place in (native._TS, native._SEQ, native._VALUES)] == ["ts", "seq", "values"]


def test_every_mapping_that_ships_is_spoken_for_the_families_and_fields_that_it_reads() -> None:
    assert set(SPEECHES) == {"json", "cbor", "gateway"} | set(shipped())
    for name, mapping in shipped().items():
        (form,) = mapping.reports
        assert isinstance(form.family, str)
        assert {form.family: set(form.values)} == {
            family: set(names) for family, names in SPEECHES[name].carries.items()
        }
        assert SPEECHES[name].push == (mapping.http is True)
        assert SPEECHES[name].timed == bool(form.time)


def test_who_can_speak_what() -> None:
    assert speaks("dtu-hj212-pipe", "pipe")
    assert not speaks("dtu-hj212-pipe", "cover")
    assert carried(site("cover", 1, speech="mqtt-well-status")) == ("tilt_deg", "battery_pct", "open")
    assert carried(site("lamp", 1, speech="mqtt-well-status")) == ()
    assert (
        SPEECHES["mqtt-well-status"].speakable(of("mqtt-well-status", "cover"), {"h2s_mg_m3": 3.0, "open": None}) == {}
    )


@pytest.mark.parametrize(("speech", "family"), [pair for pair in SPOKEN if pair[0] != "gateway"])
def test_a_damaged_message_is_one_part_that_is_refused(speech: str, family: str) -> None:
    writer, one = SPEECHES[speech], of(speech, family)
    topic, payload = written(writer, Said(one, START_MS, START_MS, 5, writer.speakable(one, VALUES[family])))
    codec = CODECS.of(topic, None)
    assert codec is not None
    random = Random(speech)
    for number in range(60):
        broken = damaged(Message("D", topic.encode(), payload, "heartbeat"), writer.damage, random, number)
        (part,) = codec(arrival(topic, broken))
        assert isinstance(part, Unusable), broken
