"""The two CRC-16 of field buses: Modbus' own, and the variant that HJ 212-2017 prints."""

from __future__ import annotations


def _row(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
    return value


_TABLE = tuple(_row(value) for value in range(256))


def crc16_modbus(data: bytes) -> int:
    """CRC-16/MODBUS. On the wire of Modbus RTU its low byte comes first."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def crc16_hj212(data: bytes) -> int:
    """As HJ 212-2017 (appendix A) computes it: the register's upper half moves down before each byte goes in."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ byte
        crc = crc >> 8 ^ _TABLE[crc & 0xFF]
    return crc
