"""Offline: which of the shard's devices have been silent for longer than they may be. Judged in the holder's memory,
which knows all that is committed, whenever it has caught up further.

Never against now: while reports wait for us, silence proves nothing. A device may also report by main (pushed, or by a
mapping) or by its gateway's shard: while these are behind, or a message waits in an inbox, it may be its report.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alerts.judge.evaluate import Evaluator
from alerts.judge.outcome import Outcome
from ingest.registry import FamilyDevices
from ingest.tenure import Tenure
from underfoot.reports import microseconds
from underfoot.storage.statements import statement

MOST_AT_ONCE = 1000
_AT_A_TIME = 1 << 15
"""So many devices' numbers fit into a processor's cache."""


@dataclass
class Found:
    """Who is offline from now on; `more`: not all of them were looked at."""

    outcomes: list[tuple[Evaluator, Outcome]] = field(default_factory=list)
    more: bool = False


def find_silent(tenure: Tenure) -> Found:
    """Within a batch's transaction. At most `MOST_AT_ONCE`, so that no report waits for long."""
    found = Found()
    until_us, by_gateway = _known_until(tenure)
    room = MOST_AT_ONCE
    for devices in tenure.registry.families.values():
        slots = overdue(devices, until_us, by_gateway, tenure.silence_from_us)
        found.more |= len(slots) > room
        for slot in _in_service(tenure, devices, slots[:room]):
            since_us = max(
                int(devices.evaluator.last_received_us[slot]), int(devices.registered_us[slot]), tenure.silence_from_us
            )
            outcome = devices.evaluator.judge_offline(slot, since_us, tenure.caught_up_us)
            found.outcomes.append((devices.evaluator, outcome))
        room -= min(len(slots), room)
    return found


def overdue(
    devices: FamilyDevices, until_us: int, by_gateway: dict[int, int], silence_from_us: int
) -> NDArray[np.int64]:
    """The slots of devices that are missed. `until_us`: all that came by then is committed; `by_gateway`: of these
    gateways, by gateway_key, only what came by then."""
    evaluator = devices.evaluator
    silent = evaluator.silent
    if silent is None or not len(devices):
        return np.zeros(0, np.int64)
    found = []
    for first in range(0, len(devices), _AT_A_TIME):
        some = slice(first, first + _AT_A_TIME)
        due_us = np.maximum(evaluator.last_received_us[some], devices.registered_us[some])
        np.maximum(due_us, silence_from_us, out=due_us)
        due_us += silent.allowed_us(evaluator.interval_s, some)
        missed = due_us < until_us
        missed &= devices.in_service[some]
        missed &= ~silent.offline[some]
        places = np.flatnonzero(missed)
        if by_gateway and len(places):
            gateways = devices.gateway_key[some][places].tolist()
            places = places[due_us[places] < np.array([by_gateway.get(key, until_us) for key in gateways])]
        found.append(places + first)
    return np.concatenate(found)


def _known_until(tenure: Tenure) -> tuple[int, dict[int, int]]:
    connection, params = tenure.connection, {"shard": tenure.shard}
    ((main, waiting),) = connection.execute(statement("shard.known_until"), params).fetchall()
    until_us = min(tenure.caught_up_us, microseconds(main) if main is not None else 0)
    if waiting is not None:
        until_us = min(until_us, microseconds(waiting))
    by_gateway = {
        gateway_key: min(until_us, microseconds(caught_up_to) if caught_up_to is not None else 0)
        for gateway_key, caught_up_to in connection.execute(statement("shard.gateways_known_until"), params)
    }
    return until_us, by_gateway


def _in_service(tenure: Tenure, devices: FamilyDevices, slots: NDArray[np.int64]) -> list[int]:
    """Those that the ledger has in service at this moment."""
    if not len(slots):
        return []
    keys = devices.evaluator.device_key[slots]
    rows = tenure.connection.execute(statement("registry.in_service"), {"device_keys": keys.tolist()})
    serving = np.isin(keys, [device_key for (device_key,) in rows])
    devices.in_service[slots[~serving]] = False
    kept: list[int] = slots[serving].tolist()
    return kept
