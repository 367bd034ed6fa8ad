"""What befalls the fleet's own connections: many drop at once, and come back. Between struck and play."""

from __future__ import annotations

import math
from random import Random

from simulators.faults.struck import Struck
from simulators.play import Happening
from simulators.publisher import Publisher


def reconnect_storms(struck: Struck, publisher: Publisher, *, speed: float, seed: int) -> list[Happening]:
    """Each storm of the scenario, upon the connections there are; a share of them is one at least."""
    return [
        Happening(during.begins_s, _Storm(publisher, during.fault.share, during.fault.within_s / speed, seed, number))
        for number, during in enumerate(struck.connections)
    ]


class _Storm:
    def __init__(self, publisher: Publisher, share: float, within_s: float, seed: int, number: int) -> None:
        self.publisher = publisher
        self.share = share
        self.within_s = within_s
        self.random = Random(f"reconnect storm {seed} {number}")

    def __call__(self) -> None:
        lanes = range(self.publisher.lanes)
        struck = sorted(self.random.sample(lanes, math.ceil(len(lanes) * self.share)))
        self.publisher.hang_up(struck, [self.random.uniform(0, self.within_s) for _ in struck])
