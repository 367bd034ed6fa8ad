"""Folders for servers that a test starts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOM = 6 * 1024**3


@contextmanager
def folder_of_servers(prefix: str) -> Iterator[Path]:
    """A new folder, removed at the end.

    In memory where there is room: a database a test is some 20 MB to write and sync, which on a disk takes longer than
    the tests. Nothing here crashes the machine, so nothing of what is tested is lost by that.
    """
    memory = Path("/dev/shm")  # noqa: S108
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM
    with tempfile.TemporaryDirectory(prefix=prefix, dir=memory if roomy else None) as name:
        yield Path(name)
