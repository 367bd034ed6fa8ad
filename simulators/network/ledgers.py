"""A network as a city: the devices in its streets, the ledgers that register them, and what ties both to the network.

`city` makes it; `write` and `load_city` keep it in a folder; `register` imports that folder's ledgers as people would:
assets, devices, gateways, codecs, then pipes.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from simulators.network.model import NetworkError
from simulators.roster import RosterDevice
from simulators.site import Site
from underfoot.ledger.importer import ImportSummary, import_ledger
from underfoot.ledger.pipe_importer import PipesSummary, import_pipes
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

ASSETS, PIPES, SITES = "assets.csv", "pipes.csv", "sites.json"
_FORMAT = 1
_OWN_SPEECHES = frozenset({"json", "cbor", "gateway"})


class AssetRow(NamedTuple):
    """A row of the ledger of assets, under its own column names; without a device_id: an asset without a sensor."""

    device_id: str
    family: str
    area_code: str
    area_name: str
    asset_code: str
    asset_name: str
    address: str
    lon: str
    lat: str
    place: str
    network: str
    owner_unit: str
    maintenance_unit: str
    tags: str
    vendor: str
    model: str
    expected_interval_s: str
    codec: str
    gateway: str
    rim_level_m: str
    gauge_zero_m: str


class PipeLine(NamedTuple):
    """A row of the ledger of pipes."""

    pipe_id: str
    from_asset: str
    to_asset: str
    kind: str
    diameter_mm: str
    length_m: str
    invert_up_m: str
    invert_down_m: str
    roughness: str


@dataclass(frozen=True)
class NetworkCity:
    """`node_assets`: node → asset code; `pipe_ids`: link → pipe_id, of the links that are pipes (`left_out` says why
    the others are not). `gateways`: gateway → its devices. `ponds`: node → over what area its water stands on the road,
    m². `gages`, `places`: where gages and nodes are, metres east and north of `lon`, `lat`."""

    title: str
    lon: float
    lat: float
    sites: tuple[Site, ...]
    node_assets: dict[str, str]
    pipe_ids: dict[str, str]
    left_out: dict[str, str]
    gateways: dict[str, tuple[str, ...]]
    ponds: dict[str, float]
    gages: dict[str, tuple[float, float]]
    places: dict[str, tuple[float, float]]
    assets: tuple[AssetRow, ...]
    pipes: tuple[PipeLine, ...]

    @property
    def mappings(self) -> tuple[str, ...]:
        """The vendors' mappings that have to be in force for all of its devices to be understood."""
        return tuple(sorted({site.speech for site in self.sites} - _OWN_SPEECHES))

    def write(self, folder: Path) -> None:
        """Write assets.csv, pipes.csv and sites.json; what stood there is replaced."""
        kept = {
            "format": _FORMAT,
            "title": self.title,
            "lon": self.lon,
            "lat": self.lat,
            "node_assets": self.node_assets,
            "pipe_ids": self.pipe_ids,
            "left_out": self.left_out,
            "gateways": self.gateways,
            "ponds": self.ponds,
            "gages": self.gages,
            "places": self.places,
            "sites": self.sites,
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write_rows(folder / ASSETS, AssetRow._fields, self.assets)
            _write_rows(folder / PIPES, PipeLine._fields, self.pipes)
            (folder / SITES).write_bytes(orjson.dumps(kept, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            raise NetworkError(f"{folder}: cannot be written: {error.strerror}") from None


def load_city(folder: Path) -> NetworkCity:
    """The city that was written there."""
    path = folder / SITES
    try:
        kept: dict[str, Any] = orjson.loads(path.read_bytes())
        assets = tuple(AssetRow(*row) for row in _read_rows(folder / ASSETS, AssetRow._fields))
        pipes = tuple(PipeLine(*row) for row in _read_rows(folder / PIPES, PipeLine._fields))
    except FileNotFoundError as error:
        raise NetworkError(f"{error.filename}: there is no such file: is {folder} the folder of a city?") from None
    except ValueError as error:
        raise NetworkError(f"{path}: is not what a city was written as: {error}") from None
    if kept.get("format") != _FORMAT:
        raise NetworkError(f"{path}: format = {kept.get('format')!r}; {_FORMAT} is read")
    return NetworkCity(
        title=kept["title"],
        lon=kept["lon"],
        lat=kept["lat"],
        sites=tuple(Site(**{**site, "device": RosterDevice(**site["device"])}) for site in kept["sites"]),
        node_assets=kept["node_assets"],
        pipe_ids=kept["pipe_ids"],
        left_out=kept["left_out"],
        gateways={name: tuple(devices) for name, devices in kept["gateways"].items()},
        ponds=kept["ponds"],
        gages={name: (x, y) for name, (x, y) in kept["gages"].items()},
        places={name: (x, y) for name, (x, y) in kept["places"].items()},
        assets=assets,
        pipes=pipes,
    )


def register(connection: Connection, folder: Path, actor: str) -> tuple[ImportSummary, PipesSummary]:
    """Import the city's ledgers into the database, each in a transaction of its own: what is known already stays.

    Vendors' mappings that its devices speak have to be in force: it is said before anything is imported.
    """
    needed = load_city(folder).mappings
    in_force = {name for name, *_ in connection.execute(statement("mappings.in_force"))}
    connection.rollback()
    if missing := [name for name in needed if name not in in_force]:
        commands = "; ".join(f"underfoot codec add {name}" for name in missing)
        raise NetworkError(f"{folder}: its devices speak what no mapping in force reads: {commands}")
    return (
        import_ledger(connection, folder / ASSETS, actor=actor),
        import_pipes(connection, folder / PIPES, actor=actor),
    )


def _write_rows(path: Path, columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def _read_rows(path: Path, columns: tuple[str, ...]) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    if not rows or tuple(rows[0]) != columns:
        raise NetworkError(f"{path}: its columns are not {', '.join(columns)}")
    return rows[1:]
