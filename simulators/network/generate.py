"""Makes drainage networks that nobody built: OUT.inp for SWMM and OUT.yaml, its mapping, by style, size and seed.

style → plan → sizing (diameters, levels) → writing (.inp, .yaml)
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from simulators.network.model import NetworkError
from simulators.network.plan import Style
from simulators.network.sizing import design
from simulators.network.styles.demo import demo
from simulators.network.styles.hillside import hillside
from simulators.network.styles.old_town import old_town
from simulators.network.styles.plain import plain
from simulators.network.writing import write

STYLES: dict[str, Style] = {"demo": demo, "hillside": hillside, "plain": plain, "old-town": old_town}

FEWEST_NODES, MOST_NODES = 24, 20_000


def generate_network(out: Path, *, style: str, nodes: int, seed: int) -> None:
    """Write the network to `out` (….inp) and its mapping beside it (….yaml). The same values give the same bytes."""
    if style not in STYLES:
        raise NetworkError(f"style: {style!r}; one of {', '.join(STYLES)}")
    if not FEWEST_NODES <= nodes <= MOST_NODES:
        raise NetworkError(f"nodes: {nodes}; {FEWEST_NODES} to {MOST_NODES}")
    if out.suffix.lower() != ".inp":
        raise NetworkError(f"{out}: the file of a network ends in .inp")
    plan = STYLES[style](nodes, Random(f"network {style} {nodes} {seed}"))
    design(plan)
    try:
        write(plan, out, out.with_suffix(".yaml"))
    except OSError as error:
        raise NetworkError(f"{out}: cannot be written: {error.strerror}") from None
