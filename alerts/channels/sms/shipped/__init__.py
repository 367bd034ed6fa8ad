"""The SMS gateways that ship: one YAML file each."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from underfoot.plain_yaml import read_yaml

MOST_BYTES = 64 * 1024


@cache
def shipped() -> dict[str, dict[str, Any]]:
    found = sorted((entry for entry in files(__name__).iterdir() if entry.name.endswith(".yaml")), key=lambda e: e.name)
    return {
        entry.name.removesuffix(".yaml"): read_yaml(entry.read_bytes(), entry.name, at_most=MOST_BYTES).value
        for entry in found
    }
