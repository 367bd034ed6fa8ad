"""Help of every command, as a stranger reads it: a sentence that says what it is for, and every option explained."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import pytest
import typer
from typer.main import get_command

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


def test_every_command_has_help(whole: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("TERM", "dumb")
    command = get_command(whole)  # once: a runner would put it all together for each of them
    commands = list(_below(command))
    assert {words[0] for words in commands if words} >= WANTED
    assert len(commands) > 100
    options = 0
    for words in commands:
        with redirect_stdout(StringIO()) as printed:
            command.main([*words, "--help"], prog_name="underfoot", standalone_mode=False)
        said = printed.getvalue()
        assert f"{' '.join(('', *words))} " in next(line for line in said.splitlines() if "Usage:" in line)
        sentence = [line for line in said.splitlines() if line.strip() and "Usage:" not in line and "│" not in line]
        assert len(sentence[0].strip()) > 20, f"underfoot {' '.join(words)} --help says nothing:\n{said}"
        for option, meaning in re.findall(r"^│ +\*? *(--[a-z-]+)(.*)│$", said, re.MULTILINE):
            assert len(re.sub(r"<[^>]*>|\s", "", meaning)) > 4, f"{' '.join(words)}: {option} is not explained"
            options += 1
    assert options > 300
