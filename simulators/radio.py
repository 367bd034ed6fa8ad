"""Radio: how long a report takes from the device to the broker's side of the air, and whether it comes at all.

NB-IoT units sleep, and wake to send. A message takes a lognormal time; some are lost, many under a flooded cover.
Events and heartbeats are confirmed: they go again after 10, 20, 40 … seconds, four times at most, and nothing overtakes
them. So do all messages of most devices; the others send what is regular in between once, and what is lost is lost.
What has not come through after all that is kept, and follows the next message that does: a backlog. Mains have none of
this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulators.devices.chance import Flags, Floats, Ints, Keys, moments_of, normal, share
from simulators.habits import ADAPTIVE, Moments
from simulators.scenario.model import Radio

CONFIRMS_ALL = 0.6
"""The share of devices that have every message confirmed (proposed)."""
RETRIES = 4
"""As CoAP has it (RFC 7252, MAX_RETRANSMIT)."""
_FIRST_RETRY_S = 10.0
_MAINS_MEDIAN_S, _MAINS_SIGMA = 0.15, 0.5
_AFTER_ANOTHER_S = 0.25
"""Between two messages of one device that have waited for each other."""


@dataclass(frozen=True)
class Journeys:
    """For each of the moments: when its report comes, NaN where never; and what its device has sent by then, retries
    counted. `backlog`: it came with a later one."""

    sent_s: Floats
    transmissions: Floats
    backlog: Flags


def journeys(moments: Moments, keys: Keys, on_mains: Flags, flooded: Flags, radio: Radio) -> Journeys:
    """`keys` and `on_mains` are by site, `flooded` by moment."""
    index, at_s = moments.index, moments.at_s
    mains = on_mains[index]
    when = moments_of(at_s)
    loss = np.where(mains, 0.0, np.where(flooded, radio.loss_flooded, radio.loss))
    lost = _lost_before(share(keys[index], "lost", when), loss)
    confirmed = (moments.kind != ADAPTIVE) | (share(keys, "confirms") < CONFIRMS_ALL)[index]
    arrives = lost <= np.where(confirmed, RETRIES, 0)
    attempts = np.where(confirmed, np.minimum(lost, RETRIES) + 1, 1)
    waited_s = np.where(arrives, _FIRST_RETRY_S * (2.0 ** np.where(arrives, lost, 0) - 1), 0.0)
    median_s = np.where(mains, _MAINS_MEDIAN_S, radio.latency_median_s)
    sigma = np.where(mains, _MAINS_SIGMA, radio.latency_sigma)
    takes_s = median_s * np.exp(sigma * normal(keys[index], "latency", when))
    sent_s = np.where(arrives, at_s + waited_s + takes_s, np.nan)
    _in_turn(sent_s, index)
    backlog = confirmed & ~arrives
    _behind_the_next(sent_s, index, backlog)
    return Journeys(sent_s, _so_far(attempts, index), backlog & ~np.isnan(sent_s))


def _lost_before(chance: Floats, loss: Floats) -> Ints:
    """How many attempts are lost before one is not, each with this chance."""
    with np.errstate(divide="ignore"):
        lost = np.floor(np.log(1.0 - chance) / np.log(np.clip(loss, 1e-12, 1 - 1e-12)))
    return np.asarray(np.minimum(lost, 1000).astype(np.int64))


def _in_turn(sent_s: Floats, index: Ints) -> None:
    """Nothing overtakes what its own device is still sending again. In place, device by device, so that one more device
    changes nothing for the others, not even in the last bit."""
    came = np.flatnonzero(~np.isnan(sent_s))
    own, times = index[came], sent_s[came]
    early = (own[1:] == own[:-1]) & (times[1:] < times[:-1] + _AFTER_ANOTHER_S)
    for place in (np.flatnonzero(early) + 1).tolist():
        while place < len(came) and own[place] == own[place - 1] and times[place] < times[place - 1] + _AFTER_ANOTHER_S:
            times[place] = times[place - 1] + _AFTER_ANOTHER_S
            place += 1
    sent_s[came] = times


def _behind_the_next(sent_s: Floats, index: Ints, backlog: Flags) -> None:
    """What was kept follows the device's next message that came through, oldest last. In place."""
    came = np.flatnonzero(~np.isnan(sent_s))
    for row in np.flatnonzero(backlog)[::-1].tolist():
        place = int(np.searchsorted(came, row))
        if place < len(came) and index[came[place]] == index[row]:
            behind = int(came[place]) - row
            sent_s[row] = sent_s[came[place]] + behind * _AFTER_ANOTHER_S


def _so_far(attempts: Ints, index: Ints) -> Floats:
    """Each device's attempts up to and with each of its reports."""
    total = np.cumsum(attempts)
    first = np.searchsorted(index, index)
    return (total - (total[first] - attempts[first])).astype(np.float64)
