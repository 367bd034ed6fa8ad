"""Configurations that ship with a channel, one YAML file each; a city's own says what is other than in one of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files
from typing import Any

from underfoot.plain_yaml import read_yaml

GENERIC = "generic"
"""What a configuration is based on that does not say it."""
MOST_BYTES = 256 * 1024


class Shipped:
    """Those in a package, by name and in its order."""

    def __init__(self, package: str) -> None:
        self._package = package

    @cached_property
    def texts(self) -> dict[str, str]:
        found = [entry for entry in files(self._package).iterdir() if entry.name.endswith(".yaml")]
        return {
            entry.name.removesuffix(".yaml"): entry.read_text("utf-8") for entry in sorted(found, key=lambda e: e.name)
        }

    @cached_property
    def configs(self) -> dict[str, dict[str, Any]]:
        return {name: read_yaml(text.encode(), name, at_most=MOST_BYTES).value for name, text in self.texts.items()}

    def base_of(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ValueError: that does not ship."""
        base = given.get("based_on", GENERIC)
        if base not in self.configs:
            raise ValueError(f"based_on = {base!r}: that does not ship; there are {', '.join(self.configs)}")
        return self.configs[base]
