"""Which devices speak through which gateway: as the mapping says, or a share of all, those around a crossing by one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from random import Random

from simulators.network.addresses import Addresses
from simulators.network.mapping import Mapping, fits
from simulators.site import Site

DEVICES_A_GATEWAY = 50


def bound_to_gateways(
    sites: Sequence[Site], share: float, mapping: Mapping, addresses: Addresses, random: Random
) -> dict[str, str]:
    """Device → gateway, in the order of the sites."""
    if mapping.gateways is not None:
        bound: dict[str, str] = {}
        for gateway, patterns in mapping.gateways.items():
            for site in sites:
                if site.node and fits(site.node, patterns):
                    bound.setdefault(site.device.device_id, gateway)
        return bound
    chosen = sorted(random.sample(range(len(sites)), round(share * len(sites))))
    around: dict[tuple[str, int], list[str]] = defaultdict(list)
    for place in chosen:
        site = sites[place]
        around[site.device.district, addresses.number(site.lon, site.lat)].append(site.device.device_id)
    made: Counter[str] = Counter()
    found: dict[str, str] = {}
    for (district, _), devices in sorted(around.items()):
        for begins in range(0, len(devices), DEVICES_A_GATEWAY):
            made[district] += 1
            gateway = f"{district}-G{made[district] + mapping.first_serial - 1:04d}"
            found |= dict.fromkeys(devices[begins : begins + DEVICES_A_GATEWAY], gateway)
    return found


def by_gateway(bound: dict[str, str]) -> dict[str, tuple[str, ...]]:
    gateways: dict[str, list[str]] = defaultdict(list)
    for device, gateway in bound.items():
        gateways[gateway].append(device)
    return {gateway: tuple(devices) for gateway, devices in gateways.items()}
