"""The file of the OIDC provider: who it is, and what whom its claims make. Who fits no line has no rights here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from api.people.rights import PERSONS_ROLES
from api.roles import Role
from underfoot.plain_yaml import read_yaml

_Word = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_AT_MOST = 256 * 1024
_LOCAL = ("localhost", "127.0.0.1", "::1")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Line(_Strict):
    """Who has `value` in the claim (or among it, of a list), has these rights. Of several lines the first that fits."""

    claim: _Word
    value: _Word
    role: Role
    areas: tuple[Annotated[str, StringConstraints(pattern=r"^[0-9]{2,12}$")], ...] | None = Field(None, min_length=1)
    units: tuple[_Word, ...] | None = Field(None, min_length=1)

    @field_validator("role")
    @classmethod
    def _a_persons(cls, role: Role) -> Role:
        if role not in PERSONS_ROLES:
            raise ValueError(f"a person is one of {', '.join(PERSONS_ROLES)}")
        return role

    def fits(self, claims: dict[str, Any]) -> bool:
        found: Any = claims
        # Some providers nest: realm_access.roles
        for part in self.claim.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return self.value in found if isinstance(found, list) else found == self.value


class OidcFile(_Strict):
    issuer: _Word
    client_id: _Word
    scopes: tuple[_Word, ...] = ("openid", "profile")
    name: _Word = "preferred_username"
    """The claim that becomes the login name, the actor in the audit log."""
    display_name: _Word = "name"
    rights: tuple[Line, ...] = Field(min_length=1)

    @field_validator("issuer")
    @classmethod
    def _safe(cls, issuer: str) -> str:
        parts = urlsplit(issuer)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
            raise ValueError("an https:// URL (http:// only on this machine)")
        return issuer

    @field_validator("scopes")
    @classmethod
    def _openid(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes:
            raise ValueError("openid must be among them")
        return scopes

    def line_of(self, claims: dict[str, Any]) -> Line | None:
        return next((line for line in self.rights if line.fits(claims)), None)


def read(path: Path) -> OidcFile:
    """Raises OSError, and ValueError that says where and what is wrong."""
    try:
        return OidcFile.model_validate(read_yaml(path.read_bytes(), str(path), at_most=_AT_MOST).value)
    except ValidationError as error:
        told = (f"{'.'.join(map(str, item['loc']))} = {item['input']!r}: {item['msg']}" for item in error.errors())
        raise ValueError("; ".join(told)) from None
