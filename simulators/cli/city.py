"""`underfoot city`: the ledger of a made-up city."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simulators.city import City, CityError
from simulators.cli.terminal import Seed, out, plain_errors
from underfoot.families import FAMILIES

commands = typer.Typer()


@commands.command()
def city(
    file: Annotated[Path, typer.Argument(help="The CSV file to write.")],
    devices: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many sensors the city has.")] = 600,
    seed: Seed = 1,
    bare: Annotated[
        float, typer.Option(min=0, max=20, help="Covers without a sensor, for each cover that has one.")
    ] = 2.0,
    pace: Annotated[
        float, typer.Option(help="How many times faster than life its devices are expected to report (for demos).")
    ] = 1.0,
    area_names: Annotated[
        bool, typer.Option("--area-names", help="Add a column area_name, so that an import names the areas, too.")
    ] = False,
) -> None:
    """Write the ledger of a made-up city: covers, low roads, underpasses, pipes, pumps, rain gauges, lampposts.

    The same seed and size give the same file. Import it with `underfoot devices import`, and let it report with
    `underfoot simulate rehearsal`.
    """
    with plain_errors():
        try:
            counts = City(devices, seed, bare, pace).write(file, with_area_names=area_names)
        except OSError as error:
            raise CityError(f"{file}: cannot be written: {error.strerror}") from None
    shown = "、".join(f"{FAMILIES[name].label} {count}" for name, count in sorted(counts.items()) if name)
    out.print(f"{file}: {shown}；无传感器部件 {counts['']}", highlight=False)
