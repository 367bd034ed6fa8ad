"""Help of every command, as a stranger reads it: a sentence that says what it is for, and every option explained."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from underfoot import cli

WANTED = {
    *("up", "down", "status", "db", "devices", "ingest", "alerts", "api", "simulate", "demo", "settings", "keys"),
    *("city", "standin", "platform", "sinks", "outbox", "grafana", "shards"),
}


@pytest.fixture
def whole() -> Iterator[typer.Typer]:
    """The command with all that packages bring. It sets the level of its process's log."""
    level = logging.getLogger().level
    cli.mount("")
    yield cli.app
    logging.getLogger().setLevel(level)


def _below(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from _below(inner, (*words, name))


def test_every_command_has_help(whole: typer.Typer) -> None:
    commands = list(_below(get_command(whole)))
    assert {words[0] for words in commands if words} >= WANTED
    assert len(commands) > 100
    for words in commands:
        said = CliRunner().invoke(whole, [*words, "--help"], env={"COLUMNS": "250", "TERM": "dumb"}).stdout
        assert f"{' '.join(('', *words))} " in next(line for line in said.splitlines() if "Usage:" in line)
        sentence = [line for line in said.splitlines() if line.strip() and "Usage:" not in line and "│" not in line]
        assert len(sentence[0].strip()) > 20, f"underfoot {' '.join(words)} --help says nothing:\n{said}"
        for option, meaning in re.findall(r"^│ +\*? *(--[a-z-]+)(.*)│$", said, re.MULTILINE):
            assert len(re.sub(r"<[^>]*>|\s", "", meaning)) > 4, f"{' '.join(words)}: {option} is not explained"
