"""Processes that a demo starts never outlive it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.children import Child, ChildEndedError, Children, Interrupted, Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    with Signals() as entered:
        yield entered


@pytest.fixture
def children(signals: Signals, tmp_path: Path) -> Iterator[Children]:
    made = Children(signals, logs=tmp_path / "logs", folder=tmp_path, environment=os.environ)
    yield made
    with signals.held():
        made.end()


def eventually(condition: Callable[[], bool], within_s: float = 20) -> bool:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def at_work(child: Child) -> bool:
    return b"/events" in child.log.read_bytes()


def group_exists(number: int) -> bool:
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_they_run_in_groups_of_their_own_and_are_ended(children: Children) -> None:
    started = [children.start(name, "standin", "--port", "0") for name in ("one", "two")]
    assert all(eventually(lambda child=child: at_work(child)) for child in started)  # type: ignore[misc]
    assert [os.getpgid(child.pid) for child in started] == [child.pid for child in started]
    children.check()
    children.end()
    assert not any(group_exists(child.pid) for child in started)


def test_one_that_does_not_listen_is_killed_with_its_group(children: Children, signals: Signals) -> None:
    child = children.start("stubborn", "standin", "--port", "0")
    assert eventually(lambda: at_work(child))
    child.process.send_signal(signal.SIGSTOP)
    signals.count = 2  # the user is impatient
    children.end()
    assert child.process.returncode == -signal.SIGKILL
    assert not group_exists(child.pid)


def test_one_that_ends_is_noticed_with_the_last_lines_of_its_log(children: Children) -> None:
    child = children.start("wrong", "standin", "--port", "70000")
    assert eventually(child.ended)
    with pytest.raises(ChildEndedError, match=r"wrong has ended with code 2(.|\n)*65535"):
        children.check()


def test_one_that_may_end_is_a_fault_only_if_it_failed(children: Children) -> None:
    child = children.start("brief", "settings", "--json", ends_by_itself=True)
    assert eventually(child.ended)
    children.check()
    failed = children.start("failed", "settings", "--nonsense", ends_by_itself=True)
    assert eventually(failed.ended)
    with pytest.raises(ChildEndedError, match="failed has ended"):
        children.check()


def test_waiting_for_what_never_comes_has_an_end(children: Children) -> None:
    with pytest.raises(ChildEndedError, match="the moon"):
        children.until(lambda: False, "the moon", 0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_but_never_in_the_middle(signals: Signals, number: signal.Signals) -> None:
    with pytest.raises(Interrupted) as interruption:
        os.kill(os.getpid(), number)
    assert interruption.value.exit_code == 128 + number
    done: list[str] = []

    def held() -> None:
        with signals.held():
            os.kill(os.getpid(), number)
            done.append("the rest")

    with pytest.raises(Interrupted):
        held()
    assert done


def test_they_end_even_if_we_are_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from deploy.children import Children, Signals\n"
        "folder = Path(sys.argv[1])\n"
        "children = Children(Signals(), logs=folder, folder=folder, environment=os.environ)\n"
        "print(children.start('orphan', 'standin', '--port', '0').pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as starter:
        assert starter.stdout is not None
        orphan = int(starter.stdout.readline())
        log = tmp_path / "orphan.log"
        assert eventually(lambda: b"/events" in log.read_bytes())
        starter.kill()
    assert eventually(lambda: not group_exists(orphan))
