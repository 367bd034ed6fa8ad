"""Chain: the form of an audit row in bytes, and the seal over it and the seal before it. No I/O.

The form is part of what an inspector holds: it never changes. Another one would get another `FORM`.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

import orjson

FORM = "underfoot-audit-1"
BEGINNING = bytes(32)
"""What the first seal follows."""

_HEAD = re.compile(r"(?P<key>[1-9]\d{0,18}):(?P<hash>[0-9a-f]{64})", re.ASCII)


class Entry(NamedTuple):
    """An audit row. Times are UTC as `2026-11-22T05:10:51.53Z`; `detail` is the JSON text as PostgreSQL writes it."""

    audit_key: int
    at: str
    actor: str
    action: str
    subject: str
    detail: str


class Seal(NamedTuple):
    """What the sealer said of a row: when, which seal it follows, and the hash over all of it."""

    audit_key: int
    sealed_at: str
    previous: bytes
    hash: bytes


def canonical(entry: Entry, sealed_at: str) -> bytes:
    """A JSON array of strings in UTF-8, written as RFC 8785 has it: no blanks, nothing escaped that need not be."""
    return orjson.dumps([FORM, str(entry.audit_key), *entry[1:], sealed_at])


def link(previous: bytes, entry: Entry, sealed_at: str) -> bytes:
    """SHA-256 over the seal before it and the row."""
    return hashlib.sha256(previous + canonical(entry, sealed_at)).digest()


class Head(NamedTuple):
    """A seal as somebody notes it elsewhere: who holds one can tell later whether what was before it is as it was."""

    audit_key: int
    hash: bytes

    @classmethod
    def parse(cls, text: str) -> Head:
        found = _HEAD.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r}: a head looks like 4711:9f86…, a number and 64 hexadecimal digits")
        return cls(int(found["key"]), bytes.fromhex(found["hash"]))

    def __str__(self) -> str:
        return f"{self.audit_key}:{self.hash.hex()}"
