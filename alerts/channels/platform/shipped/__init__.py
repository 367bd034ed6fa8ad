"""The configurations that ship: one YAML file each."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from underfoot.plain_yaml import read_yaml

MOST_BYTES = 256 * 1024


@cache
def shipped() -> dict[str, dict[str, Any]]:
    return {name: read_yaml(text.encode(), name, at_most=MOST_BYTES).value for name, text in texts().items()}


@cache
def texts() -> dict[str, str]:
    found = [entry for entry in files(__name__).iterdir() if entry.name.endswith(".yaml")]
    return {entry.name.removesuffix(".yaml"): entry.read_text("utf-8") for entry in sorted(found, key=lambda e: e.name)}
