"""Named SQL: every statement lives in `underfoot/storage/sql/*.sql` under `-- name:`, with its purpose."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString

_HEADER = re.compile(r"^-- name: (?P<name>[a-z0-9_]+)\n-- purpose: (?P<purpose>.+)\n", re.MULTILINE)


@cache
def _file(stem: str) -> dict[str, LiteralString]:
    text = (files("underfoot.storage") / "sql" / f"{stem}.sql").read_text(encoding="utf-8")
    headers = list(_HEADER.finditer(text))
    if not headers or len(headers) != text.count("-- name:"):
        raise ValueError(f"{stem}.sql: every statement needs a '-- name:' line and a '-- purpose:' line")
    ends = [header.start() for header in headers[1:]] + [len(text)]
    found: dict[str, LiteralString] = {}
    for header, end in zip(headers, ends, strict=True):
        if header["name"] in found:
            raise ValueError(f"{stem}.sql: {header['name']} stands there twice")
        found[header["name"]] = text[header.end() : end].strip().rstrip(";")
    return found


def statement(name: str) -> LiteralString:
    """The SQL of `file.statement_name`, e.g. `ledger.upsert_area`."""
    stem, _, key = name.partition(".")
    try:
        return _file(stem)[key]
    except KeyError:
        raise KeyError(f"{stem}.sql has no statement named {key!r}") from None


def names(stem: str) -> list[str]:
    """Every statement of one file, for tests that EXPLAIN them."""
    return [f"{stem}.{key}" for key in _file(stem)]
