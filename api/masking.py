"""Masking of what identifies people (GB/T 35273): names for roles that need not see them, phones for everybody.

Whole phone numbers are shown by `underfoot duty export --with-phones` alone, which enters it in the audit log; but
what somebody wrote into a note stays as it is to those who see names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from alerts.duty.roster import masked as masked_phone
from api.roles import Role
from api.rows import Row, fetch_all
from underfoot.storage.connect import Connection

SEE_NAMES = frozenset((Role.operator, Role.crew, Role.administrator))
"""Whoever works with them: the rest see that it was somebody."""

_HALF = str.maketrans({n: n - 0xFEE0 for n in range(0xFF01, 0xFF5F)} | {0x3000: " ", 0x00A0: " "})
"""One for one: what is found in the result stands at the same place in the text."""
_PHONE = re.compile(
    r"""
    (?<![0-9])                                   # of a longer number it is no part: of an IMEI, a code, a time
    (?:
        (?:(?:\+|00)?86{s}?|0)?                  # a mobile
        1[3-9][0-9](?:[0-9]{{8}}|[0-9]{{4}}-[0-9]{{4}})
    |   (?<![A-Za-z_])(?<![A-Za-z0-9]-)          # from here on a device's id looks the same
        (?:
            (?:(?:\+|00)?86{s}?)?
            1[3-9][0-9]{s}(?!{date})[0-9]{{4}}{s}?[0-9]{{4}}
        |   (?:(?:(?:\+|00)?86{s}?)?(?:0{area}{s}?|\(0{area}\){s}?)|(?:\+|00)86{s}?{area}{s}?)
            (?!{date})[1-9][0-9]{{2,3}}{s}?[0-9]{{4}}
        )
    )
    (?![0-9])
    """.format(s=r"[-\ \u2010-\u2015\u2212]", area="(?:10|2[0-9]|[3-9][0-9]{2})", date="20[0-9]{2}[01][0-9][0-3][0-9]"),
    re.VERBOSE,
)
_HAN = re.compile(r"[\u3400-\u9fff]")
_NAMING = re.compile(r"姓名|责任人|联系人|负责人")
_PHONING = re.compile(r"电话|手机|phone|mobile", re.IGNORECASE)


def sees_names(role: Role) -> bool:
    return role in SEE_NAMES


def masked_name(name: str) -> str:
    """李强 → 李*."""
    return f"{name[:1]}{'*' * max(len(name) - 1, 1)}"


def name_for(role: Role, name: str) -> str:
    return name if sees_names(role) else masked_name(name)


def masked_told(role: Role, proof: dict[str, Any] | None) -> dict[str, Any] | None:
    """A transition's proof; an escalation's says whom it told, also in its label."""
    if sees_names(role) or proof is None or not isinstance(told := proof.get("told"), list):
        return proof
    names = {one[name] for one in told for name in ("person", "instead_of") if name in one}
    label = proof.get("label") or ""
    for name in sorted(names, key=len, reverse=True):
        label = label.replace(name, masked_name(name))
    return proof | {
        "label": label,
        "told": [
            one | {name: masked_name(one[name]) for name in ("person", "instead_of") if name in one} for one in told
        ],
    }


def discreet(
    connection: Connection, role: Role, rows: Iterable[Row], *fields: str, texts: tuple[str, ...] = ()
) -> list[Row]:
    """Rows in whose `fields` people are not named to who need not know, and in whose `texts`, which somebody wrote, no
    phone number is left to them. A key's name, or `engine`, stays: nobody's."""
    found = list(rows)
    if sees_names(role):
        return found
    said = {row[name] for row in found for name in fields if row.get(name)}
    asked = fetch_all(connection, "people.named", {"names": sorted(said)}) if said else []
    people = {row["name"] for row in asked} | {name for name in said if _HAN.search(name)}
    return [
        row
        | {name: masked_name(row[name]) for name in fields if row.get(name) in people}
        | {name: _masked_within(row[name]) for name in texts if name in row}
        for row in found
    ]


def masked_text(text: str) -> str:
    """The text with every phone number in it masked."""
    parts, end = [], 0
    for found in _PHONE.finditer(text.translate(_HALF)):
        parts += [text[end : found.start()], masked_phone(text[found.start() : found.end()]) or ""]
        end = found.end()
    return "".join([*parts, text[end:]])


def _masked_within(said: Any) -> Any:
    """The same of a JSON value, wherever a text stands in it."""
    if isinstance(said, str):
        return masked_text(said)
    if isinstance(said, dict):
        return {name: _masked_within(value) for name, value in said.items()}
    return [_masked_within(value) for value in said] if isinstance(said, list) else said


def masked_columns(columns: dict[str, Any], role: Role) -> dict[str, Any]:
    """Columns of a city's own ledger, which may name whom to ask, and how to reach them."""
    return {name: _masked_column(name, value, role) for name, value in columns.items()}


def _masked_column(column: str, value: Any, role: Role) -> Any:
    if not isinstance(value, str | int):
        return value
    if _PHONING.search(column):
        shown = masked_text(str(value))
        return shown if shown != str(value) else masked_phone(str(value))
    if _NAMING.search(column) and isinstance(value, str) and value:
        return name_for(role, value)
    return masked_text(value) if isinstance(value, str) else value
