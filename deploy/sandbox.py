"""How a program of `deploy.rootfs` is run: bubblewrap gives it that file system and one writable folder, no more."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from deploy.errors import StackError
from deploy.rootfs import UID


def command(
    rootfs: Path, program: Sequence[str], *, folder: Path | None = None, status_descriptor: int | None = None
) -> list[str]:
    """The command line that runs `program` in `rootfs`, with `folder` as its `/data`.

    With `status_descriptor` it is a server that outlives its starter: bubblewrap writes the server's process id there.
    Without, it dies with its starter. Either way it is process 1 of a process namespace: when it ends, however it ends,
    every process it had started is gone, and a stale `postmaster.pid` can never name somebody else's process.
    """
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise StackError("bubblewrap is not installed: run `make setup`, or `apt-get install mmdebstrap bubblewrap`")
    # No network namespace: the servers listen on this machine's 127.0.0.1.
    line = [bwrap, "--unshare-user", "--uid", str(UID), "--gid", str(UID)]
    line += ["--unshare-pid", "--as-pid-1", "--unshare-ipc"]
    line += ["--ro-bind", str(rootfs / "usr"), "/usr", "--ro-bind", str(rootfs / "etc"), "/etc"]
    for name in ("bin", "sbin", "lib", "lib64"):
        line += ["--symlink", f"usr/{name}", f"/{name}"]
    # No /proc: none of the programs needs it, and inside a container mounting it is often forbidden.
    line += ["--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108
    if folder is not None:
        line += ["--bind", str(folder), "/data", "--chdir", "/data"]
    line += ["--clearenv", "--setenv", "PATH", "/usr/bin", "--setenv", "LC_ALL", "C.UTF-8", "--setenv", "TZ", "UTC"]
    line += ["--die-with-parent"] if status_descriptor is None else ["--json-status-fd", str(status_descriptor)]
    return [*line, "--", *program]
