"""Why something went to quarantine: the named reasons, written down once. docs/protocol.md shows them."""

from __future__ import annotations

from enum import StrEnum


class Rejection(StrEnum):
    unknown_topic = "unknown_topic"
    undecodable = "undecodable"
    empty = "empty"
    not_an_object = "not_an_object"
    values_missing = "values_missing"
    unknown_device = "unknown_device"
    family_mismatch = "family_mismatch"
    area_mismatch = "area_mismatch"
    retained_without_time = "retained_without_time"
    rejected_by_database = "rejected_by_database"


MEANING: dict[Rejection, str] = {
    Rejection.unknown_topic: "the topic is not underfoot/v1/{area}/{family}/{device_id}/report",
    Rejection.undecodable: "the payload is not JSON in UTF-8, nested too deeply, or says a name twice, differently",
    Rejection.empty: "the payload is empty, or an array without items",
    Rejection.not_an_object: "the payload, or this item of its array, is not a JSON object",
    Rejection.values_missing: "the report has no `values` object",
    Rejection.unknown_device: "no device of that device_id is in the ledger",
    Rejection.family_mismatch: "the topic's family is not the device's",
    Rejection.area_mismatch: "the topic's area is not the device's district",
    Rejection.retained_without_time: "a retained message without a usable `ts`: nobody can tell when it was true",
    Rejection.rejected_by_database: "the database refused this row and no other of its batch",
}
