"""What devices are called: as their vendor numbers them, or by district, family and serial."""

from __future__ import annotations

from simulators.city import ID_LETTERS


def device_id_of(speech: str, district: str, family: str, serial: int) -> str:
    """An IMEI for what CTWing pushes, an MN for a data logger of HJ 212; else `410502-C000001`."""
    if speech.startswith("ctwing-"):
        digits = f"86{district}{serial:06d}"
        return digits + _luhn(digits)
    letter = ID_LETTERS[family]
    return f"{district}{letter}{serial:08d}" if "hj212" in speech else f"{district}-{letter}{serial:06d}"


def _luhn(digits: str) -> str:
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(digits)]
    return str(-sum(number // 10 + number % 10 for number in doubled) % 10)
