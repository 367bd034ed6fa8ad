"""Secrets of accounts and what is kept of them: a line as mosquitto's password file has it, `$7$…` (PBKDF2, SHA-512).

A secret is 256 random bits and nobody may choose one, so there is nothing to guess, however fast a guess is: stretching
it would protect nothing and would be paid by the broker, which hashes once a connection and, at every reload, once more
for every client that is connected, while all others wait (docs/adr/0006 has figures). So: one iteration.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from base64 import b64decode, b64encode

ITERATIONS = 1
_SALT_BYTES = 12  # all that mosquitto 2.0 reads back
_PREFIX = "ufd_"  # so that whoever scans for leaked secrets can tell ours


def new_secret() -> str:
    return _PREFIX + secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    salt = os.urandom(_SALT_BYTES)
    return f"$7${ITERATIONS}${b64encode(salt).decode()}${b64encode(_digest(secret, salt, ITERATIONS)).decode()}"


def verify(secret: str, kept: str) -> bool:
    _, _, iterations, salt, digest = kept.split("$")
    return hmac.compare_digest(_digest(secret, b64decode(salt), int(iterations)), b64decode(digest))


def _digest(secret: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", secret.encode("utf-8", "surrogatepass"), salt, iterations)
