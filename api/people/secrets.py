"""Secrets that we hand out: 256 random bits behind a prefix that says what they are. Only their SHA-256 is kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from enum import StrEnum


class Kind(StrEnum):
    key = "uf"
    access = "ua"
    refresh = "ur"
    invitation = "ui"
    login = "ul"


_FORM = re.compile(r"(uf|ua|ur|ui|ul)_[A-Za-z0-9_-]{43}", re.ASCII)


def new(kind: Kind) -> str:
    return f"{kind}_{secrets.token_urlsafe(32)}"


def kind_of(secret: str) -> Kind | None:
    """What it says that it is; None where it cannot be one of ours."""
    form = _FORM.fullmatch(secret)
    return Kind(form[1]) if form is not None else None


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
