"""People whom the OIDC provider names: their account is made, or brought up to date, at each log-in.

A provider's name is never taken for that of somebody who has an account here already: whoever may choose names there
would be whoever they like.
"""

from __future__ import annotations

from typing import Any

from api.people import accounts
from api.people.accounts import PersonExistsError, clean_name
from api.people.oidc_file import OidcFile
from api.people.rights import RightsError
from api.rows import Row, fetch_one
from underfoot.storage.connect import Connection


class NoRightsError(Exception):
    """The provider knows them, and they may do nothing here; says why."""


def person_of(connection: Connection, config: OidcFile, claims: dict[str, Any]) -> Row:
    """The account of who has these verified claims, with the rights that they have now. Raises NoRightsError."""
    subject = claims["sub"]
    known = fetch_one(connection, "people.lock_subject", {"issuer": config.issuer, "subject": subject})
    if known is not None and known["disabled_at"] is not None:
        raise NoRightsError(f"{known['name']} is disabled")
    line = config.line_of(claims)
    if line is None:
        raise NoRightsError(f"no line of the provider's file fits subject {subject!r}")
    display_name = str(claims.get(config.display_name, ""))[:64]
    actor = "system"
    try:
        if known is not None:
            return accounts.change(
                connection,
                known["name"],
                actor,
                role=line.role,
                areas=line.areas,
                units=line.units,
                display_name=display_name,
            )
        return accounts.add(
            connection,
            clean_name(str(claims.get(config.name, ""))),
            line.role,
            actor,
            display_name=display_name,
            areas=line.areas,
            units=line.units,
            issuer=config.issuer,
            subject=subject,
        )
    except (RightsError, PersonExistsError, accounts.RefusedError) as error:
        raise NoRightsError(str(error)) from None
