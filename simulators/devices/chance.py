"""Chance that belongs to one device: a number that follows from the run's seed, the device's id, its purpose, and when.

Nothing is drawn in turn, so it does not matter who else is in the fleet, who speaks first, or how many are computed at
once: the same device sees the same noise at the same moment.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Keys = NDArray[np.uint64]

_WEYL = 0x9E3779B97F4A7C15
_MOMENT = 0xD1342543DE82EF95
_MASK = (1 << 64) - 1
_SIXTEEN = np.uint64(0xFFFF)


def keys_of(seed: int, device_ids: Sequence[str]) -> Keys:
    """A device's own key, from which all its chance follows."""
    digests = b"".join(hashlib.blake2b(f"{seed} {one}".encode(), digest_size=8).digest() for one in device_ids)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def moments_of(at_s: Floats) -> Keys:
    """Moments to the millisecond, as a report's time has them."""
    return np.rint(at_s * 1000).astype(np.int64).astype(np.uint64) * np.uint64(_MOMENT)


def _drawn(keys: Keys, purpose: str, moments: Keys | None) -> Keys:
    """splitmix64's mixing of key, purpose and moment."""
    mixed = keys + np.uint64(zlib.crc32(purpose.encode()) * _WEYL & _MASK)
    if moments is not None:
        mixed = mixed + moments
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def share(keys: Keys, purpose: str, moments: Keys | None = None) -> Floats:
    """Evenly from 0 to below 1. Without moments: what the device has for good."""
    return (_drawn(keys, purpose, moments) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def between(keys: Keys, purpose: str, low: float, high: float, moments: Keys | None = None) -> Floats:
    return np.asarray(low + (high - low) * share(keys, purpose, moments))


def bell(keys: Keys, purpose: str, moments: Keys | None = None) -> Floats:
    """Like a bell from −1 to 1 (σ 0.29), and never beyond: a true bell would, once in a long run, cross a limit."""
    drawn = _drawn(keys, purpose, moments)
    total = (
        (drawn & _SIXTEEN)
        + ((drawn >> np.uint64(16)) & _SIXTEEN)
        + ((drawn >> np.uint64(32)) & _SIXTEEN)
        + (drawn >> np.uint64(48))
    )
    return np.asarray(total.astype(np.float64) / (2 * 0xFFFF) - 1.0)


def normal(keys: Keys, purpose: str, moments: Keys | None = None) -> Floats:
    """A normal deviate (Box and Muller): for how long messages take, where long tails are meant."""
    first = 1.0 - share(keys, f"{purpose} radius", moments)
    angle = share(keys, f"{purpose} angle", moments)
    return np.asarray(np.sqrt(-2.0 * np.log(first)) * np.cos(2.0 * np.pi * angle))
