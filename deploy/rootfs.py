"""The file system that the local servers run in: Debian packages, unpacked but neither installed nor configured.

TimescaleDB is not in every Debian; so its packages, and mosquitto's, are unpacked from the release that has both into
the user's cache, once for all checkouts, read-only. `deploy.sandbox` runs programs in it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from deploy.errors import StackError
from deploy.locks import exclusive

SUITE = "trixie"
PACKAGES = ("postgresql-17-timescaledb", "mosquitto", "mosquitto-clients", "dash")
# Not needed by any of them, and 40 % of the size. (libLLVM and libz3 serve PostgreSQL's JIT, which is off.)
LEFT_OUT = (
    "*/libLLVM*",
    "*/libz3.so*",
    "*/lib/bitcode",
    "*/share/doc",
    "*/share/man",
    "*/share/locale",
    "*/share/i18n",
)
UID = 1000
ETC = {
    "passwd": f"underfoot:x:{UID}:{UID}:Underfoot:/data:/bin/sh\n",
    "group": f"underfoot:x:{UID}:\n",
    "hosts": "127.0.0.1 localhost\n",
}

Say = Callable[[str], None]  # tells whoever waits what is being done


def silent(text: str) -> None:
    """For callers that tell nobody."""


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/underfoot`, by default `~/.cache/underfoot`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "underfoot"


def cached_path() -> Path:
    """Where this version's file system lies: a change of what goes into it changes its name."""
    recipe = repr((SUITE, PACKAGES, LEFT_OUT, sorted(ETC.items())))
    return cache_folder() / f"rootfs-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def ensure(override: Path | None, say: Say) -> Path:
    """The file system's folder, built now if it is not there yet. `override` is a ready one (UNDERFOOT_ROOTFS)."""
    if override is not None:
        if not (override / "usr/lib/postgresql").is_dir():
            raise StackError(f"UNDERFOOT_ROOTFS = {override}: there is no usr/lib/postgresql in it")
        return override
    ready = cached_path()
    if not ready.is_dir():
        with exclusive(
            ready.with_suffix(".lock"), patience=900, waiting=lambda: say("Another process is unpacking it")
        ):
            if not ready.is_dir():
                say("Unpacking TimescaleDB and mosquitto (once, about 15 s)")
                _build(ready)
    return ready


def _build(ready: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        raise StackError("mmdebstrap is not installed: run `make setup`, or `apt-get install mmdebstrap bubblewrap`")
    building = ready.with_suffix(".building")
    if building.exists():
        shutil.rmtree(building)  # an earlier build was interrupted
    building.mkdir()
    log = ready.with_suffix(".log")
    # Through a tar stream, so that files belong to whoever builds, and without a mode that needs subordinate user ids.
    mode = "root" if os.geteuid() == 0 else "chrootless"
    unpack = ["tar", "-x", "-C", str(building), "--no-same-owner", *(f"--exclude={name}" for name in LEFT_OUT), "./usr"]
    with log.open("wb") as messages:
        fetch = subprocess.Popen(
            [
                "mmdebstrap",
                f"--mode={mode}",
                "--format=tar",
                "--variant=extract",
                f"--include={','.join(PACKAGES)}",
                SUITE,
                "-",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=messages,
        )
        with fetch:
            unpacked = subprocess.run(unpack, stdin=fetch.stdout, stderr=messages, check=False)
    if fetch.returncode != 0 or unpacked.returncode != 0:
        shutil.rmtree(building)
        raise StackError(f"TimescaleDB and mosquitto could not be unpacked; the last lines of {log}:\n{tail(log)}")
    (building / "etc").mkdir()
    for name, content in ETC.items():
        (building / "etc" / name).write_text(content, encoding="utf-8")
    building.rename(ready)
    log.unlink()


def tail(log: Path, lines: int = 12) -> str:
    """The last lines of a log, for an error message."""
    if not log.exists():
        return "(nothing was logged)"
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


if __name__ == "__main__":
    try:
        named = os.environ.get("UNDERFOOT_ROOTFS")
        ensure(Path(named) if named else None, lambda text: print(f"{text} ...", flush=True))  # noqa: T201
    except StackError as error:
        sys.exit(str(error))
