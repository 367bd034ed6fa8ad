"""The folder of a run: everything that is needed to repeat it, and all that it leaves for `score`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simulators.hydraulics.hydrographs import Hydrographs


class RunError(ValueError):
    """A run that cannot be: says which value, and what is allowed."""


class RunFolder:
    """`path` is made where it is not there yet; what an earlier run left in it is overwritten, but for hydrographs,
    which are computed anew only where what they follow from has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.city.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"run: {path} cannot be a folder: {error.strerror}") from None

    @property
    def network(self) -> Path:
        return self.path / "network.inp"

    @property
    def scenario(self) -> Path:
        return self.path / "scenario.yaml"

    @property
    def city(self) -> Path:
        return self.path / "city"

    @property
    def water(self) -> Path:
        """What SWMM leaves: its report, and the file that it ran."""
        return self.path / "swmm"

    @property
    def load_ledger(self) -> Path:
        """Whose reports are sent beside the fleet's."""
        return self.city / "load.csv"

    @property
    def truth(self) -> Path:
        return self.path / "truth.json"

    @property
    def fleet(self) -> Path:
        return self.path / "fleet.json"

    @property
    def run(self) -> Path:
        return self.path / "run.json"

    @property
    def hydrographs(self) -> Path:
        return self.path / "hydrographs.npz"

    @property
    def _hydrographs_key(self) -> Path:
        return self.path / "hydrographs.key"

    def write_json(self, path: Path, content: dict[str, Any]) -> None:
        """Whole or not at all: a run that is ended while it writes leaves what was there."""
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        unfinished.replace(path)

    def hydrographs_of(self, key: str) -> Hydrographs | None:
        """Those that are there, if they follow from the same."""
        try:
            if self._hydrographs_key.read_text(encoding="ascii") == key:
                return Hydrographs.load(self.hydrographs)
        except FileNotFoundError:
            return None
        return None

    def keep_hydrographs(self, key: str, hydrographs: Hydrographs) -> None:
        self._hydrographs_key.unlink(missing_ok=True)
        unfinished = self.path / "unfinished.npz"
        hydrographs.save(unfinished)
        unfinished.replace(self.hydrographs)
        self._hydrographs_key.write_text(key, encoding="ascii")


def fingerprint(parts: Sequence[object]) -> str:
    """Of everything that a result follows from."""
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        said = (
            part if isinstance(part, bytes) else part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode()
        )
        made.update(len(said).to_bytes(8, "big") + said)
    return made.hexdigest()
