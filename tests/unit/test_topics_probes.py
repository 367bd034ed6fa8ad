"""A shard's probes: each comes by one of its filters, and no device's topic is one."""

from __future__ import annotations

import pytest

from underfoot.identity.rights import within
from underfoot.topics import DEVICE_ID, PROBE_FILTERS, filters_of, is_probe, probe_topics, shard_filter

MAPPED = ["/city/+/well/status/+", "dtu/+/up", "vendor/#", "+/data"]


@pytest.mark.parametrize("districts", [None, ["410502"], ["410502", "410503"]])
def test_each_filter_has_a_probe_of_its_own(districts: list[str] | None) -> None:
    filters = [*filters_of(districts), *MAPPED[:2]]
    topics = probe_topics(filters)
    assert len(topics) == len(filters)
    for topic, own in zip(topics, filters, strict=True):
        assert [each for each in filters if within(topic, each)] == [own]


def test_ingest_may_send_those_of_protocol_v1() -> None:
    topics = probe_topics([*filters_of(None), *filters_of(["410502"]), shard_filter("main")])
    assert all(any(within(topic, granted) for granted in PROBE_FILTERS) for topic in topics)


def test_anybodys_probe_is_told_from_a_message() -> None:
    assert all(map(is_probe, probe_topics([*filters_of(["410502"]), *MAPPED, shard_filter("north")])))
    assert not any(map(is_probe, ["underfoot/v1/410502/cover/C-1/report", "vendor/~probes", "dtu/x~probe/up", ""]))


def test_no_id_can_be_a_probes() -> None:
    assert not DEVICE_ID.fullmatch("~probe")
    assert probe_topics(["vendor/#"]) == ["vendor/~probe"]
    assert probe_topics(["one/topic/only"]) == [], "there a probe could not be told from a message"
