"""A command of the ledger as a person types it: what it prints, or the JSON that it is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner


class Command:
    """`underfoot {name} …`, with a file to import, written as spreadsheets of cities are."""

    def __init__(self, commands: typer.Typer, name: str, file: Path, text: str) -> None:
        self._commands, self._name = commands, name
        self.file = file
        self.file.write_bytes(text.encode("gb18030"))

    def __call__(self, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(self._commands, [self._name, *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result.output

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code))
