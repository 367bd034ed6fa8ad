"""`underfoot COMMAND` imports the one package that has it: only if an entry point is named after every command."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import pytest
from typer.main import get_group

ENTRIES = entry_points(group="underfoot.commands")
PACKAGES = {entry.value: entry for entry in ENTRIES}


@pytest.mark.parametrize("entry", PACKAGES.values(), ids=PACKAGES)
def test_every_command_has_an_entry_of_its_name(entry: EntryPoint) -> None:
    named = {other.name for other in ENTRIES if other.value == entry.value}
    assert named == set(get_group(entry.load()).commands)
