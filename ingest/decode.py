"""Decode: from a message's bytes to the reports in it. Nothing is judged yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic_core import from_json

from ingest.reasons import Rejection
from ingest.subscribe import Arrival
from underfoot.reports import canonical


class Item(NamedTuple):
    """One report of a message, still as JSON. `payload` is its bytes as they came (re-encoded, where it was one of an
    array), `raw` its canonical bytes."""

    arrival: Arrival
    report: dict[str, Any]
    payload: bytes
    raw: bytes


class Rejected(NamedTuple):
    """What could not be understood, whole: for an item of an array, `payload` is that item."""

    arrival: Arrival
    payload: bytes
    reason: Rejection
    detail: str
    device_id: str | None = None


def decode(arrivals: Iterable[Arrival]) -> tuple[list[Item], list[Rejected]]:
    """Every report in these messages, and what is none. An array is taken apart; each of its items stands alone."""
    items: list[Item] = []
    rejected: list[Rejected] = []
    for arrival in arrivals:
        try:
            # JSON as devices write it: NaN and Infinity are let in here, to be set aside value by value later.
            content = from_json(arrival.payload, allow_inf_nan=True)
        except ValueError as error:
            reason = Rejection.undecodable if arrival.payload else Rejection.empty
            rejected.append(Rejected(arrival, arrival.payload, reason, str(error)))
            continue
        if isinstance(content, dict):
            items.append(Item(arrival, content, arrival.payload, canonical(content)))
        elif isinstance(content, list):
            if not content:
                rejected.append(Rejected(arrival, arrival.payload, Rejection.empty, "an array without items"))
            for report in content:
                if isinstance(report, dict):
                    raw = canonical(report)
                    items.append(Item(arrival, report, raw, raw))
                else:
                    detail = f"an item of type {type(report).__name__}"
                    rejected.append(Rejected(arrival, canonical(report), Rejection.not_an_object, detail))
        else:
            detail = f"JSON of type {type(content).__name__}"
            rejected.append(Rejected(arrival, arrival.payload, Rejection.not_an_object, detail))
    return items, rejected
