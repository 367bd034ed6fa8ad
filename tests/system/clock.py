"""A clock that can be set while a process works: libfaketime between it and the system's.

Only the time of day is set. The monotonic clock goes on as it does when an operator or NTP sets the clock of a machine.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
_SHIM = """#!/bin/sh
# Before `--` stands what the sandbox is, after it what runs in it.
count=$#
while [ "$count" -gt 0 ]; do
    if [ "$1" = -- ] && [ -z "$seen" ]; then
        seen=yes
        set -- "$@" --ro-bind '{library}' /faketime.so --ro-bind '{folder}' /clock --setenv LD_PRELOAD /faketime.so
        set -- "$@" {variables}
    fi
    set -- "$@" "$1"
    shift
    count=$((count - 1))
done
exec '{bwrap}' "$@"
"""


class WrongClock:
    """Whoever has `environment` reads this clock, at most a second after it was set."""

    def __init__(self, parent: Path) -> None:
        assert _LIBRARIES, "libfaketime is not installed: run `make setup`, or `apt-get install faketime`"
        self._library = _LIBRARIES[0]
        self._folder = Path(tempfile.mkdtemp(prefix="clock-", dir=parent))
        self.set(0)

    def set(self, hours: int) -> None:
        """So many hours wrong from now on."""
        new = self._folder / "new"
        new.write_text(f"{hours * 3600:+d}\n", encoding="ascii")
        new.replace(self._folder / "offset")

    def _variables(self, file: str) -> dict[str, str]:
        return {
            "FAKETIME_TIMESTAMP_FILE": file,
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), **self._variables(str(self._folder / "offset"))}

    def servers_too(self) -> dict[str, str]:
        """For the command that starts the servers: the sandbox that they run in gives them this clock."""
        bwrap = shutil.which("bwrap")
        assert bwrap is not None
        shims = self._folder / "bin"
        shims.mkdir()
        variables = " ".join(f"--setenv {name} {value}" for name, value in self._variables("/clock/offset").items())
        shim = shims / "bwrap"
        shim.write_text(
            _SHIM.format(library=self._library, folder=self._folder, variables=variables, bwrap=bwrap), encoding="ascii"
        )
        shim.chmod(0o755)
        return {"PATH": f"{shims}:{os.environ['PATH']}"}
