"""The form of an audit row in bytes: anything that changes in a row changes its seal, and every one after it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from underfoot.audit.chain import BEGINNING, Entry, Head, canonical, link
from underfoot.audit.sealer import in_form

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
ENTRY = st.builds(
    Entry, audit_key=st.integers(1, 2**63 - 1), at=TEXT, actor=TEXT, action=TEXT, subject=TEXT, detail=TEXT
)


def test_the_form_is_what_the_documentation_says() -> None:
    """docs/audit.md shows this very row: whoever has written a program by it would find out."""
    entry = Entry(
        7, "2026-11-22T05:10:51.53Z", "control-room", "alarm.acknowledge", "episode:4711", '{"note": "已电话通知"}'
    )
    form = canonical(entry, "2026-11-22T05:10:53.000001Z")
    assert form.decode() == (
        '["underfoot-audit-1","7","2026-11-22T05:10:51.53Z","control-room","alarm.acknowledge","episode:4711",'
        '"{\\"note\\": \\"已电话通知\\"}","2026-11-22T05:10:53.000001Z"]'
    )
    sealed = link(BEGINNING, entry, "2026-11-22T05:10:53.000001Z")
    assert sealed == hashlib.sha256(bytes(32) + form).digest()
    assert sealed.hex() == "34499a19f7cd828ae16e9a1b7ae0309095c1b56ca837412abc3f68b64a5fc4f7"


@given(ENTRY, TEXT)
def test_the_form_is_json_as_every_language_writes_it(entry: Entry, sealed_at: str) -> None:
    strings = ["underfoot-audit-1", str(entry.audit_key), *entry[1:], sealed_at]
    assert canonical(entry, sealed_at) == json.dumps(strings, ensure_ascii=False, separators=(",", ":")).encode()


@given(ENTRY, st.sampled_from(Entry._fields), st.data())
def test_a_change_of_any_field_changes_the_seal(entry: Entry, field: str, data: st.DataObject) -> None:
    value: Any = data.draw(st.integers(1, 2**63 - 1) if field == "audit_key" else TEXT)
    assume(value != getattr(entry, field))
    assert link(BEGINNING, entry._replace(**{field: value}), "s") != link(BEGINNING, entry, "s")


@given(ENTRY, st.sampled_from(Entry._fields[1:-1]), st.data())
def test_nothing_moves_from_one_field_to_the_next_unseen(entry: Entry, field: str, data: st.DataObject) -> None:
    following = Entry._fields[Entry._fields.index(field) + 1]
    both = getattr(entry, field) + getattr(entry, following)
    cut = data.draw(st.integers(0, len(both)))
    moved = entry._replace(**{field: both[:cut], following: both[cut:]})
    assume(moved != entry)
    assert canonical(moved, "s") != canonical(entry, "s")


@given(ENTRY, TEXT, TEXT, st.binary(min_size=32, max_size=32))
def test_a_seal_covers_when_it_was_made_and_what_it_follows(
    entry: Entry, sealed_at: str, other: str, previous: bytes
) -> None:
    assume(other != sealed_at and previous != BEGINNING)
    assert link(BEGINNING, entry, other) != link(BEGINNING, entry, sealed_at)
    assert link(previous, entry, sealed_at) != link(BEGINNING, entry, sealed_at)


@given(st.lists(ENTRY, min_size=2, max_size=6), st.data())
def test_a_change_of_one_row_changes_every_seal_after_it(entries: list[Entry], data: st.DataObject) -> None:
    def chain(rows: list[Entry]) -> list[bytes]:
        hashes = [BEGINNING]
        for row in rows:
            hashes.append(link(hashes[-1], row, "s"))
        return hashes[1:]

    at = data.draw(st.integers(0, len(entries) - 1))
    changed = [*entries]
    changed[at] = entries[at]._replace(actor=entries[at].actor + "x")
    before, after = chain(entries), chain(changed)
    assert before[:at] == after[:at]
    assert all(a != b for a, b in zip(before[at:], after[at:], strict=True))


@given(st.integers(1, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_a_noted_head_is_read_as_it_was_written(key: int, seal: bytes) -> None:
    assert Head.parse(f" {Head(key, seal)}\n") == Head(key, seal)


@pytest.mark.parametrize("text", ["", "7", "7:ab", f"0:{'0' * 64}", f"7:{'g' * 64}", f"7:{'A' * 64}", f"-7:{'0' * 64}"])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a head looks like 4711:"):
        Head.parse(text)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 22, 5, 10, 51, 530000, tzinfo=UTC), "2026-11-22T05:10:51.53Z"),
        (datetime(2026, 11, 22, 5, 10, 0, tzinfo=UTC), "2026-11-22T05:10:00Z"),
        (datetime(2026, 11, 22, 5, 10, 0, 1, tzinfo=UTC), "2026-11-22T05:10:00.000001Z"),
    ],
)
def test_times_are_written_as_postgresql_writes_them(moment: datetime, text: str) -> None:
    assert in_form(moment) == text
