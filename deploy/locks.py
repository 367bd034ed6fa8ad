"""File locks that end with the process that holds them, so that a crash never leaves one behind.

A lock passed on to a child process lives as long as any process that inherited it: that is how the local stack
knows, without trusting a written process id, whether a server is alive.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.errors import StackError


@contextmanager
def exclusive(path: Path, *, patience: float, waiting: Callable[[], None] | None = None) -> Iterator[int]:
    """Hold `path`'s lock alone; yields its file descriptor.

    Waits up to `patience` seconds for another holder, and says so once by `waiting`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + patience
        while not _take(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise StackError(f"{path} is still locked by another process after {patience:.0f} s")
            if waiting is not None:
                waiting()
                waiting = None
            time.sleep(0.02)
        yield descriptor
    finally:
        # Closing, never unlocking: a child that inherited the descriptor keeps the lock.
        os.close(descriptor)


def held(path: Path) -> bool:
    """Whether some process holds `path`'s lock."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not _take(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _take(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
