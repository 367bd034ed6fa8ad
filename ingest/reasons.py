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
    unknown_gateway = "unknown_gateway"
    not_of_gateway = "not_of_gateway"
    vendor_mismatch = "vendor_mismatch"
    too_large = "too_large"
    nested_too_deep = "nested_too_deep"
    checksum = "checksum"
    unsupported_frame = "unsupported_frame"
    rate_limited = "rate_limited"
    mapping_failed = "mapping_failed"


MEANING: dict[Rejection, str] = {
    Rejection.unknown_topic: "the topic is none of protocol v1's, and no mapping in force has it",
    Rejection.undecodable: "the payload is not JSON in UTF-8, nested too deeply, or says a name twice, differently",
    Rejection.empty: "the payload is empty, or an array without items",
    Rejection.not_an_object: "the payload, or this item of its array, is not a JSON object",
    Rejection.values_missing: "the report has no `values` object",
    Rejection.unknown_device: "no device of that device_id is in the ledger",
    Rejection.family_mismatch: "the topic's family is not the device's",
    Rejection.area_mismatch: "the topic's area is not the device's district",
    Rejection.retained_without_time: "a retained message without a usable `ts`: nobody can tell when it was true",
    Rejection.rejected_by_database: "the database refused this row and no other of its batch",
    Rejection.unknown_gateway: "no gateway of that gateway_id is in the ledger",
    Rejection.not_of_gateway: "the ledger binds the device to another gateway, or to none",
    Rejection.vendor_mismatch: "pushed by the account of a vendor whose device it is not",
    Rejection.too_large: "the message is larger, or holds more reports, than is taken at once",
    Rejection.nested_too_deep: "the payload is nested deeper than any report is",
    Rejection.checksum: "the frame's checksum is wrong: it was damaged on its way",
    Rejection.unsupported_frame: "the frame is not of the kind that is read here: another function, or an error reply",
    Rejection.rate_limited: "the device sends far more than any sensor does; its flood is not taken",
    Rejection.mapping_failed: "the vendor's mapping finds no device_id or no values in it, or is not in force",
}
