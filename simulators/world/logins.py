"""With what devices log in where the broker knows its clients: as `underfoot credentials issue --csv` wrote it."""

from __future__ import annotations

import csv
from pathlib import Path

from simulators.publisher import Login
from simulators.world.folder import RunError

_COLUMNS = ("kind", "name", "user_name", "secret")


def read_logins(path: Path) -> dict[str, Login]:
    """By name: of devices, gateways, vendors and services alike; the last one counts where a name has several."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise RunError(
                    f"credentials: {path} has no column {', '.join(missing)}: a file of"
                    " `underfoot credentials issue … --csv` is wanted"
                )
            return {row["name"]: Login(row["user_name"], row["secret"]) for row in reader}
    except OSError as error:
        raise RunError(f"credentials: {path}: {error.strerror}") from None
