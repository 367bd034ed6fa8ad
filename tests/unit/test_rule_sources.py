"""Each number that ships has its source: its rule's own; for what is the same everywhere, docs/rules.md has a table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alerts.rulebook.files import read_rules
from alerts.rules import Rule, parse_rule, shipped_pack

DOCUMENT = Path(__file__).parents[2] / "docs" / "rules.md"

# Stand in the document's table, once for all rules.
SAME_EVERYWHERE = frozenset(
    {"dead_band", "samples", "off_samples", "on_delay_s", "calm_s", "max_age_s", "every_s", "make_safe_min"}
)
# States, not numbers: what they mean is the family's declaration, or the standard's (0 一般, 1 重要, 2 重大).
STATES = frozenset({"equals", "when", "unless", "commanded", "level"})


def numbers(body: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], float]]:
    if isinstance(body, dict):
        for name, value in body.items():
            if name not in STATES:
                yield from numbers(value, (*path, name))
    elif isinstance(body, list):
        for value in body:
            yield from numbers(value, path)
    elif isinstance(body, int | float) and not isinstance(body, bool):
        yield path, float(body)


def names(source: str, value: float) -> bool:
    """Whether the source has the number: as it is, in minutes, hours, days, kilometres, centimetres or percent."""
    said = {float(number) for number in re.findall(r"\d+(?:\.\d+)?", source.replace(" 000", "000"))}
    if any(word in source for word in ("last hour", "an hour", "1 h")):
        said.add(1.0)
    scales = (1, 1 / 60, 1 / 3600, 1 / 86_400, 1 / 1000, 100, 1000)
    return any(abs(abs(value) * scale - number) < 1e-6 for scale in scales for number in said)


@pytest.mark.parametrize("rule", shipped_pack(), ids=lambda rule: rule.rule_id)
def test_a_shipped_rule_names_the_source_of_its_numbers(rule: Rule) -> None:
    assert rule.source.strip()
    body = rule.model_dump(mode="json", exclude_defaults=True)
    unnamed = [
        (".".join(path), value)
        for path, value in numbers(body)
        if path[-1] not in SAME_EVERYWHERE and path[0] != "params" and not names(rule.source, value)
    ]
    assert unnamed == []


def test_what_is_the_same_everywhere_stands_in_the_document() -> None:
    table = DOCUMENT.read_text(encoding="utf-8").partition("## Where the numbers come from")[2]
    for name in SAME_EVERYWHERE:
        assert re.search(rf"^\|[^|]*`{name}`[^|]*\|[^|]+\|[^|]+\|$", table, re.MULTILINE), name


def test_a_number_that_its_source_does_not_name_is_found() -> None:
    ponding = next(rule for rule in shipped_pack() if rule.rule_id == "road.ponding").model_dump(mode="json")
    other = parse_rule(ponding | {"off_delay_s": 777})
    found = [value for _, value in numbers(other.model_dump(mode="json")) if not names(other.source, value)]
    assert 777 in found


def test_the_document_s_examples_are_rules() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    known = {rule.rule_id: rule for rule in shipped_pack()}
    for block in blocks:
        assert read_rules(block.encode(), "docs/rules.md", known).problems == []


def test_the_document_names_every_kind() -> None:
    table = DOCUMENT.read_text(encoding="utf-8").partition("## Kinds")[2].partition("## ")[0]
    for kind in {rule.kind for rule in shipped_pack()}:
        assert f"`{kind}`" in table, kind
