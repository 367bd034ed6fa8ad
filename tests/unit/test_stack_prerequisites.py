"""deploy/prerequisites.sh on machines that lack this or that; apt and sudo are stand-ins that write down their call."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "deploy" / "prerequisites.sh"


class Machine:
    """A machine with only the programs that a test puts there."""

    def __init__(self, folder: Path, uid: int) -> None:
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        self.bin.mkdir()
        self.calls.touch()
        for name in ("mktemp", "rm", "cat", "env"):
            found = shutil.which(name)
            assert found is not None
            (self.bin / name).symlink_to(found)
        self.put("python3", f'exec {sys.executable} "$@"')
        self.put("id", f"echo {uid}")

    def put(self, name: str, script: str = "exit 0") -> None:
        (self.bin / name).write_text(f"#!/bin/bash\n{script}\n")
        (self.bin / name).chmod(0o755)

    def put_recorder(self, name: str, then: str = "exit 0") -> None:
        self.put(name, f'echo "{name} $*" >> {self.calls}\n{then}')

    def run(self, *named: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/bash", str(SCRIPT), *named],
            env={"PATH": str(self.bin), **environment},
            capture_output=True,
            text=True,
            check=False,
        )


def test_nothing_is_installed_where_nothing_is_missing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=0)
    for name in ("mmdebstrap", "bwrap", "faketime"):
        machine.put(name)
    machine.put_recorder("apt-get")
    done = machine.run()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.calls.read_text() == ""


@pytest.mark.parametrize(("uid", "sudo"), [(0, ""), (1000, "sudo ")])
def test_root_installs_and_others_by_sudo(tmp_path: Path, uid: int, sudo: str) -> None:
    machine = Machine(tmp_path, uid=uid)
    machine.put("bwrap")
    machine.put("faketime")
    machine.put_recorder("apt-get")
    machine.put("sudo", f'echo -n "sudo " >> {machine.calls}\nexec "$@"')
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert machine.calls.read_text().splitlines() == [
        f"{sudo}apt-get update",
        f"{sudo}apt-get install --yes --no-install-recommends mmdebstrap",
    ]


def test_what_it_is_named_comes_on_top(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=0)
    for name in ("mmdebstrap", "bwrap", "faketime", "there-already"):
        machine.put(name)
    machine.put_recorder("apt-get")
    done = machine.run("chromium", "there-already")
    assert done.returncode == 0, done.stderr
    assert machine.calls.read_text().splitlines()[-1] == "apt-get install --yes --no-install-recommends chromium"


def test_neither_root_nor_sudo_is_told_what_root_must_run(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=1000)
    machine.put("apt-get")
    done = machine.run()
    assert done.returncode == 1
    assert "apt-get install --no-install-recommends mmdebstrap bubblewrap faketime" in done.stderr


def test_a_failed_install_shows_what_apt_said(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=0)
    machine.put("apt-get", "echo E: Unable to locate package >&2; exit 100")
    done = machine.run()
    assert done.returncode == 1
    assert "E: Unable to locate package" in done.stderr


def test_an_old_or_absent_python_is_named(tmp_path: Path) -> None:
    machine = Machine(tmp_path, uid=0)
    machine.put("python3.9", 'if [ "$1" = --version ]; then echo Python 3.9.2; else exit 1; fi')
    old = machine.run(PYTHON="python3.9")
    assert old.returncode == 1
    assert "Python 3.9.2" in old.stderr
    assert "3.11 or newer" in old.stderr
    absent = machine.run(PYTHON="python3.99")
    assert absent.returncode == 1
    assert "python3.99 is not there" in absent.stderr
