"""What decides, for nearly every report, that it changes nothing: one byte a device and rule, in one row a device.

A batch touches a device's row once for all rules: with a million devices the memory's latency is what judging costs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]

MOST_LEVELS = 4
BUSY = MOST_LEVELS + 1
"""Every report matters, whatever it says; a lower code is the level of an episode at which nothing is on its way."""


class Watch:
    def __init__(self, rules: int) -> None:
        self.codes: Codes = np.zeros((0, rules), np.uint8)

    def grow(self, slots: int) -> None:
        more = slots - len(self.codes)
        self.codes = np.concatenate([self.codes, np.zeros((more, self.codes.shape[1]), np.uint8)])
