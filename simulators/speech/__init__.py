"""How devices speak: protocol v1 in JSON and CBOR, through a gateway, and each vendor's that a mapping ships for.

Between `faults` on the way and the wire. Written from the protocol's and the vendors' pages: nothing of ingest's own
reading is here, so that a mistake there is found and not repeated.
"""

from __future__ import annotations

from simulators.site import Site
from simulators.speech.frames import HJ212_PIPE, MODBUS_COVER
from simulators.speech.native import CBOR, GATEWAY, JSON
from simulators.speech.vendors import CTWING_BYTES, CTWING_PROFILE, WELL_STATUS
from simulators.speech.writer import Said, Writer

SPEECHES: dict[str, Writer] = {
    writer.name: writer
    for writer in (JSON, CBOR, GATEWAY, WELL_STATUS, MODBUS_COVER, HJ212_PIPE, CTWING_PROFILE, CTWING_BYTES)
}


def speaks(speech: str, family: str) -> bool:
    """Whether devices of this family can speak so."""
    return family in SPEECHES[speech].carries


def carried(site: Site) -> tuple[str, ...]:
    """The fields that this device's reports can have, as far as its speech goes."""
    return SPEECHES[site.speech].carries.get(site.device.family, ())


__all__ = ["SPEECHES", "Said", "Writer", "carried", "speaks"]
