"""Processes that a demo starts and that never outlive it: each in its own group, its output in a log.

Unlike the servers of the local stack (`deploy.processes`) nobody is to find these again. They are ended in order; one
that does not end is killed with its group; and should the demo itself be killed, the kernel ends them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

from deploy.rootfs import tail

_PATIENCE_S = 12
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Somebody asked the demo to end: Ctrl-C, SIGTERM, or the terminal was closed."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class ChildEndedError(Exception):
    """A process that was to go on has ended."""


class Signals:
    """While entered, signals that ask to end raise `Interrupted`, but not while `held`: then at its end."""

    def __init__(self) -> None:
        self.count = 0
        self._number = 0
        self._holders = 0
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in _ENDING}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]  # what signal() returned it also takes

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self._number = number
        if not self._holders:
            raise Interrupted(number)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing in between is torn apart."""
        self._holders += 1
        before = self.count
        try:
            yield
        finally:
            self._holders -= 1
        if self.count > before and not self._holders:
            raise Interrupted(self._number)


@dataclass(frozen=True)
class Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    ends_by_itself: bool

    @property
    def pid(self) -> int:
        return self.process.pid

    def ended(self) -> bool:
        """Whether it has ended. It is not reaped, so that its process group still is nobody else's."""
        if self.process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def exit_code(self) -> int:
        return self.process.wait()


class Children:
    """`underfoot` commands at work, in the order in which they were started."""

    def __init__(self, signals: Signals, *, logs: Path, folder: Path, environment: Mapping[str, str]) -> None:
        self._signals = signals
        self._logs = logs
        self._folder = folder
        self._environment = dict(environment)
        self._children: list[Child] = []

    def start(self, name: str, *arguments: str, ends_by_itself: bool = False) -> Child:
        """Start `underfoot ARGUMENTS`; its output goes to `NAME.log`."""
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self._logs / f"{name}.log"
        command = str(Path(sysconfig.get_path("scripts")) / "underfoot")
        with self._signals.held(), path.open("wb") as log:
            process = subprocess.Popen(
                # The kernel sends SIGTERM should we die without a chance to.
                ["setpriv", "--pdeathsig", "TERM", command, *arguments],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            child = Child(name, process, path, ends_by_itself)
            self._children.append(child)
        return child

    def check(self) -> None:
        """Raise if one has ended that was to go on, or has failed."""
        for child in self._children:
            if child.ended() and (not child.ends_by_itself or child.exit_code() != 0):
                code = child.exit_code()
                raise ChildEndedError(
                    f"{child.name} 已退出（代码 {code}）· {child.name} has ended with code {code};"
                    f" the last lines of {child.log}:\n{tail(child.log)}"
                )

    def until(self, done: Callable[[], bool], what: str, patience_s: float) -> None:
        """Wait for something that the children are to bring about."""
        deadline = time.monotonic() + patience_s
        while not done():
            self.check()
            if time.monotonic() > deadline:
                raise ChildEndedError(
                    f"{what}：{patience_s:g} 秒内未完成 · not within {patience_s:g} s; logs: {self._logs}"
                )
            time.sleep(0.05)

    def end_one(self, child: Child) -> None:
        """Ask one to end and wait until it has."""
        self._end([child])

    def end(self) -> None:
        """End all of them; at a second Ctrl-C at once."""
        self._end(self._children)

    def _end(self, children: list[Child]) -> None:
        for child in reversed(children):
            if not child.ended():
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _PATIENCE_S
        while not all(child.ended() for child in children):
            if time.monotonic() > deadline or self._signals.count > 1:
                break
            time.sleep(0.02)
        for child in children:
            with suppress(ProcessLookupError):  # an earlier call has reaped it
                if child.process.returncode is None:
                    os.killpg(child.pid, signal.SIGKILL)
            child.process.wait()
