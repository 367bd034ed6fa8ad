"""`underfoot COMMAND` imports the one package that has it: only if an entry point is named after every command."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import pytest
from typer.main import get_group
from typer.testing import CliRunner

from underfoot.cli import app
from underfoot.settings import Settings

ENTRIES = entry_points(group="underfoot.commands")
PACKAGES = {entry.value: entry for entry in ENTRIES}


@pytest.mark.parametrize("entry", PACKAGES.values(), ids=PACKAGES)
def test_every_command_has_an_entry_of_its_name(entry: EntryPoint) -> None:
    named = {other.name for other in ENTRIES if other.value == entry.value}
    assert named == set(get_group(entry.load()).commands)


def test_every_setting_is_shown() -> None:
    """Numbers in a row, as those of UNDERFOOT_REALARM_MIN, too."""
    shown = CliRunner().invoke(app, ["settings", "--json"])
    assert shown.exit_code == 0, shown.output
    assert [name for name in Settings.model_fields if f"UNDERFOOT_{name.upper()}" not in shown.output] == []
