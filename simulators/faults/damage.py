"""What a message is when it arrives damaged: one report of it goes to quarantine, whatever it was written in."""

from __future__ import annotations

from random import Random

import orjson

from simulators.message import Message
from simulators.poison import poison
from simulators.speech.writer import Damage

_KINDS_OF_JSON = ("truncated", "not_json", "undecodable")


def damaged(message: Message, damage: Damage, random: Random, number: int) -> bytes:
    """The payload of the `number`-th message that breaks; each is another."""
    payload = message.payload
    if damage == "json":
        return poison(random.choice(_KINDS_OF_JSON), message, number).payload
    if damage == "cut":
        return payload[: random.randint(len(payload) // 2, len(payload) - 1)]
    at = random.randrange(len(payload) // 4, len(payload) * 3 // 4)
    return payload[:at] + bytes((payload[at] ^ 1,)) + payload[at + 1 :]


def damaged_member(member: bytes, random: Random, number: int) -> bytes:
    """Of a gateway's batch: it passes on what it heard, as text."""
    heard = member[: random.randint(len(member) // 2, len(member) - 1)].decode("utf-8", "replace")
    return orjson.dumps(f"{number} {heard}")
