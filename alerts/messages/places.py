"""Where it is, as people say it: an asset's address and name, without what they know and without codes.

Used by every kind of message (alerts/messages/notice.py, alerts/storm).
"""

from __future__ import annotations

import re
from collections.abc import Collection

from alerts.messages.wording import kept_end, plain


def address_and_name(address: str, name: str, *, area: str, codes: Collection[str] = ()) -> tuple[str, str]:
    """What to say of an asset's `address` and `name` in the area named `area`; where both are empty, the area."""
    area = plain(area)
    address, name = (_without(codes, plain(text)) for text in (address, name))
    # The crew knows its own district: what stands before and at the area's name is left out.
    before, found, after = address.partition(area) if area else (address, "", "")
    if found and len(before) <= 12 and after:
        address = after
    if address and address in name:
        address = ""
    elif name and name in address:
        name = ""
    return (address, name) if address or name else (area, "")


def _without(codes: Collection[str], text: str) -> str:
    for known in codes:
        text = text.replace(known, "")
    return _LONG_NUMBER.sub("", text).strip(" ，,-_#")


_LONG_NUMBER = re.compile(r"[0-9A-Za-z_-]*[0-9]{8,}[0-9A-Za-z_-]*|[0-9]{1,3}\.[0-9]{4,}")
"""Codes, ids and coordinates, which ledgers have in their names and addresses."""


def joined(address: str, name: str) -> str:
    return f"{address} {name}" if address and name else address or name


def fitted(address: str, name: str, room: int) -> str:
    whole = joined(address, name)
    if len(whole) <= room:
        return whole
    if address and name and room - len(name) - 1 >= 8:
        return joined(kept_end(address, room - len(name) - 1), name)
    return kept_end(address or name, room)
