"""The platform's own check of an SM2 signature (GB/T 32918.2), in plain arithmetic: slow, and nobody else's code."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SM3, Hash

_P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_A = _P - 3
_B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
_N = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
_G = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)

Point = tuple[int, int] | None
"""None: the point at infinity."""


def verified(public_key: bytes, message: bytes, signature: bytes, user_id: bytes) -> bool:
    """`public_key` and `signature` are 64 bytes each: x and y, r and s."""
    if len(public_key) != 64 or len(signature) != 64:
        return False
    x, y = (int.from_bytes(public_key[at : at + 32], "big") for at in (0, 32))
    r, s = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
    if not (0 < r < _N and 0 < s < _N) or (y * y - (x * x * x + _A * x + _B)) % _P:
        return False
    t = (r + s) % _N
    if t == 0:
        return False
    point = _sum(_times(s, _G), _times(t, (x, y)))
    e = int.from_bytes(digest(public_key, message, user_id), "big")
    return point is not None and (e + point[0]) % _N == r


def digest(public_key: bytes, message: bytes, user_id: bytes) -> bytes:
    """SM3 of Z and the message; Z names the signer and the curve."""
    numbers = b"".join(number.to_bytes(32, "big") for number in (_A, _B, *_G))
    return _sm3(_sm3((8 * len(user_id)).to_bytes(2, "big") + user_id + numbers + public_key) + message)


def _sum(one: Point, other: Point) -> Point:
    if one is None or other is None:
        return other if one is None else one
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % _P == 0:
        return None
    slope = (3 * x1 * x1 + _A) * pow(2 * y1, -1, _P) if one == other else (y2 - y1) * pow(x2 - x1, -1, _P)
    x = (slope * slope - x1 - x2) % _P
    return x, (slope * (x1 - x) - y1) % _P


def _times(factor: int, point: Point) -> Point:
    made: Point = None
    while factor:
        if factor & 1:
            made = _sum(made, point)
        point = _sum(point, point)
        factor >>= 1
    return made


def _sm3(data: bytes) -> bytes:
    made = Hash(SM3())
    made.update(data)
    return made.finalize()
