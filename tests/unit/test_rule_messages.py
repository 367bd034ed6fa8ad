"""Every message of the shipped rules, as it stands in messages.txt: short, and without what is not for people."""

from __future__ import annotations

import re

from alerts.messages.wording import LONGEST
from tests.unit.rule_messages import FILE, rules, text

_FOR_NOBODY = re.compile(r"[a-z]+_[a-z]+|\d{8,}|\d{2,3}\.\d{4,}|C-\d|-0312|4105")


def test_the_file_is_what_people_read_today() -> None:
    """After a change on purpose: `python -m tests.unit.rule_messages`, and read what has changed."""
    assert text() == FILE.read_text(encoding="utf-8")


def test_each_fits_and_has_no_ids_coordinates_or_field_names() -> None:
    said = [line for line in text().splitlines() if line.startswith("【")]
    assert len(said) > 2 * len(rules()) > 100
    for line in said:
        assert len(line) <= LONGEST, line
        assert line.endswith("▸"), line
        own = line.replace("rain.hour", "").replace("410502", "")  # which rule, which shard: of failures of our own
        assert not _FOR_NOBODY.search(own), line


def test_what_a_crew_is_sent_to_has_act_and_deadline() -> None:
    for line in text().splitlines():
        if line.endswith("接单▸"):
            assert re.search(r"\d\d:\d\d前\S+。接单▸$", line), line
