"""User names: what an account logs in with, at the broker and at the push endpoint.

Every account has two, one a slot. A broker knows one secret a user name, so that a rotated credential takes the free
name while the old one still works. A device's name is the middle of its topic: a broker derives all that the device may
do from the name, by one pattern, instead of keeping a list of its own for each of a million devices (docs/adr/0006).
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from underfoot.families import FAMILIES
from underfoot.topics import DEVICE_ID, DISTRICT

Kind = Literal["device", "gateway", "vendor", "service"]
KINDS: tuple[Kind, ...] = ("device", "gateway", "vendor", "service")
SECOND = "v1/"
"""Before the user name of the second slot. It is the level of a topic that stands before a device's district."""

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class UserName(NamedTuple):
    """A user name taken apart. `area` and `family` are those of a device's topic."""

    kind: Kind
    name: str
    slot: int = 0
    area: str | None = None
    family: str | None = None

    def __str__(self) -> str:
        stem = f"{self.area}/{self.family}" if self.kind == "device" else self.kind
        return f"{SECOND if self.slot else ''}{stem}/{self.name}"


def parse_user_name(text: str) -> UserName | None:
    """The parts of a user name; None where no account can have it."""
    slot = int(text.startswith(SECOND))
    parts = text[len(SECOND) * slot :].split("/")
    if len(parts) == 2 and NAME.fullmatch(parts[1]):
        for kind in ("gateway", "vendor", "service"):
            if parts[0] == kind:
                return UserName(kind, parts[1], slot)
    elif len(parts) == 3 and DISTRICT.fullmatch(parts[0]) and parts[1] in FAMILIES and DEVICE_ID.fullmatch(parts[2]):
        return UserName("device", parts[2], slot, parts[0], parts[1])
    return None
