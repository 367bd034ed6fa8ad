"""Credentials: issued, rotated, revoked, listed. A secret is returned once, to whoever asked for it; its hash is kept.

Everything happens in the caller's transaction, with its lines in the audit log; no secret is ever logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from underfoot.identity.accounts import Account, Duty, account_of
from underfoot.identity.hashes import hash_secret, new_secret
from underfoot.identity.names import NAME, Kind
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

OVERLAP = timedelta(days=7)
"""How long an old secret is good beside the new one, unless something else is asked for."""

_ADVICE = {
    "device": "it must be in the ledger and in service",
    "gateway": "it must be in the ledger",
    "vendor": "",
    "service": "",
}


class CredentialError(Exception):
    """What was asked for cannot be done; says which field, its value and why."""


class AccountExistsError(CredentialError):
    """The name is taken."""


class UnknownAccountError(CredentialError):
    """There is no such device, gateway, account or credential."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new credential, with its secret this once."""

    account: Account
    credential_key: int
    user_name: str
    secret: str
    expires_at: datetime | None
    old_until: datetime | None = None
    """Until when the secret before it is good."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential without its secret."""

    credential_key: int
    account: Account
    user_name: str
    certificate: bool
    issued_at: datetime
    issued_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    good: bool
    """It opens something now."""


def open_account(
    connection: Connection,
    kind: Kind,
    name: str,
    actor: str,
    *,
    vendor: str | None = None,
    mappings: Sequence[str] = (),
    duty: Duty | None = None,
) -> None:
    """Make the account of a vendor or a service. A device's and a gateway's is made with its first credential."""
    if not NAME.fullmatch(name):
        raise CredentialError(f"name = {name!r}: 1 to 64 of A-Z a-z 0-9 _ - are allowed")
    if (kind == "vendor") != bool(vendor):
        raise CredentialError(
            f"vendor = {vendor!r}: a vendor's account, and no other, says whose devices it speaks for"
        )
    if (kind == "service") != (duty is not None):
        raise CredentialError(f"duty = {duty!r}: a service's account, and no other, says what it is for")
    if mappings and kind != "vendor":
        raise CredentialError(f"mappings = {', '.join(mappings)}: only a vendor's account uses mappings")
    known = {found for (found,) in connection.execute(statement("identity.known_mappings"), {"names": list(mappings)})}
    for mapping in mappings:
        if mapping not in known:
            raise CredentialError(f"mappings = {mapping!r}: no mapping in force has this name")
    made = connection.execute(
        statement("identity.open_account"),
        {"kind": kind, "name": name, "vendor": vendor, "mappings": list(mappings), "duty": duty},
    ).fetchone()
    if made is None:
        raise AccountExistsError(f"name = {name!r}: there is a {kind} account of this name already; rotate its secret")
    detail = {"vendor": vendor, "mappings": list(mappings), "duty": duty}
    append_audit(connection, actor, "account.open", kind, [name], {key: said for key, said in detail.items() if said})


def issue(
    connection: Connection, kind: Kind, names: Sequence[str], actor: str, *, good_for: timedelta | None = None
) -> list[Issued]:
    """A first secret for each of these accounts, in their order. One that has a secret is an error: rotate it."""
    keys = lock_accounts(connection, kind, names)
    held = _held(connection, keys.values())
    if taken := [name for name, key in keys.items() if any(each["good"] for each in held.get(key, ()))]:
        raise CredentialError(
            f"{kind} = {_some(taken)}: has a secret already; rotate it, or revoke it before a new one is issued"
        )
    issued = _keep(connection, keys, dict.fromkeys(keys.values(), 0), held, actor, good_for)
    append_audit(connection, actor, "credential.issue", kind, [each.account.name for each in issued], {})
    return issued


def rotate(
    connection: Connection,
    kind: Kind,
    names: Sequence[str],
    actor: str,
    *,
    overlap: timedelta = OVERLAP,
    good_for: timedelta | None = None,
) -> list[Issued]:
    """A new secret under the other user name for each account; the one before it is good for `overlap` more."""
    if overlap < timedelta(0):
        raise CredentialError(f"overlap = {overlap}: it cannot be negative")
    keys = lock_accounts(connection, kind, names, open_missing=False)
    held = _held(connection, keys.values())
    slots: dict[int, int] = {}
    old: list[int] = []
    for name, key in keys.items():
        good = [each for each in held.get(key, ()) if each["good"]]
        if not good:
            raise CredentialError(f"{kind} = {name!r}: has no secret that could be rotated; issue one")
        if len(good) == 2:
            until = min(each["expires_at"] for each in good if each["expires_at"] is not None)
            raise CredentialError(
                f"{kind} = {name!r}: is being rotated already: its old secret is good until {until.isoformat()};"
                " revoke that one first"
            )
        slots[key] = 1 - good[0]["slot"]
        old.append(good[0]["credential_key"])
    ends: dict[int, datetime] = dict(
        connection.execute(
            statement("identity.limit_overlap"), {"credential_keys": old, "seconds": overlap.total_seconds()}
        ).fetchall()
    )
    issued = _keep(connection, keys, slots, held, actor, good_for, ends)
    detail = {"overlap_s": overlap.total_seconds()}
    append_audit(connection, actor, "credential.rotate", kind, [each.account.name for each in issued], detail)
    return issued


def revoke(
    connection: Connection, kind: Kind, name: str, actor: str, *, credential_key: int | None = None
) -> list[Credential]:
    """Make a credential of the account useless, or all it has. Again is the same as once."""
    lock_accounts(connection, kind, [name], open_missing=False)
    found = [
        each
        for each in listed(connection, kind=kind, name=name, limit=None)
        if credential_key is None or each.credential_key == credential_key
    ]
    if not found:
        which = "credential" if credential_key is None else f"credential {credential_key}"
        raise UnknownAccountError(f"{kind} = {name!r}: has no {which}")
    if live := [each.credential_key for each in found if each.revoked_at is None]:
        connection.execute(statement("identity.release"), {"credential_keys": live})
        append_audit(connection, actor, "credential.revoke", kind, [name], {"credentials": live})
    keys = {each.credential_key for each in found}
    now = listed(connection, kind=kind, name=name, limit=None)
    return [each for each in now if each.credential_key in keys]


def listed(
    connection: Connection,
    *,
    kind: Kind | None = None,
    name: str | None = None,
    after: int = 0,
    limit: int | None = 1000,
) -> list[Credential]:
    """Credentials in the order of their issue, revoked and expired ones among them."""
    params = {"kind": kind, "name": name, "after": after, "limit": limit}
    return [
        Credential(
            row["credential_key"],
            account := account_of(row),
            row["common_name"] or account.user_name(row["slot"]),
            row["certificate"],
            row["issued_at"],
            row["issued_by"],
            row["expires_at"],
            row["revoked_at"],
            row["good"],
        )
        for row in fetch(connection, "identity.list_credentials", params)
    ]


def devices_without(connection: Connection, *, vendor: str | None, district: str | None) -> list[str]:
    """Devices in service for which no credential was ever issued."""
    rows = connection.execute(statement("identity.devices_without"), {"vendor": vendor, "district": district})
    return [device_id for (device_id,) in rows]


def lock_accounts(
    connection: Connection, kind: Kind, names: Sequence[str], *, open_missing: bool = True
) -> dict[str, int]:
    """The keys of these accounts, in their order, held until the end of the transaction."""
    wanted = list(dict.fromkeys(names))
    if not wanted:
        raise CredentialError(f"{kind}: none was named")
    if open_missing and kind in ("device", "gateway"):
        connection.execute(statement(f"identity.open_{kind}_accounts"), {"names": wanted})
    found = connection.execute(statement("identity.accounts_for_update"), {"kind": kind, "names": wanted})
    by_name = {name: key for key, name in found.fetchall()}
    if missing := [name for name in wanted if name not in by_name]:
        advice = f": {_ADVICE[kind]}" if open_missing and _ADVICE[kind] else ""
        raise UnknownAccountError(f"{kind} = {_some(missing)}: there is no such account{advice}")
    return {name: by_name[name] for name in wanted}


def _held(connection: Connection, keys: Any) -> dict[int, list[dict[str, Any]]]:
    held: dict[int, list[dict[str, Any]]] = {}
    for row in fetch(connection, "identity.secrets_of", {"keys": list(keys)}):
        held.setdefault(row["account_key"], []).append(row)
    return held


def _keep(
    connection: Connection,
    keys: dict[str, int],
    slots: dict[int, int],
    held: dict[int, list[dict[str, Any]]],
    actor: str,
    good_for: timedelta | None,
    ends: dict[int, datetime] | None = None,
) -> list[Issued]:
    """Keep new secrets for these accounts, each in its slot, in which at most an expired one is left."""
    if good_for is not None and good_for <= timedelta(0):
        raise CredentialError(f"expiry = {good_for}: it must lie in the future")
    rows = fetch(connection, "identity.accounts_of", {"keys": list(keys.values())})
    if retired := [row["name"] for row in rows if row["retired"]]:
        raise CredentialError(f"device = {_some(retired)}: is retired; no credential opens anything for it")
    accounts = {row["account_key"]: account_of(row) for row in rows}
    over = [each["credential_key"] for key in keys.values() for each in held.get(key, ()) if not each["good"]]
    connection.execute(statement("identity.release"), {"credential_keys": over})
    secrets = {key: new_secret() for key in keys.values()}
    kept = connection.execute(
        statement("identity.keep_secrets"),
        {
            "issued_by": actor,
            "expires_in_s": good_for.total_seconds() if good_for is not None else None,
            "account_keys": list(secrets),
            "slots": [slots[key] for key in secrets],
            "hashes": [hash_secret(secret) for secret in secrets.values()],
        },
    ).fetchall()
    made = {key: (credential_key, expires_at) for key, credential_key, expires_at in kept}
    return [
        Issued(
            accounts[key],
            made[key][0],
            accounts[key].user_name(slots[key]),
            secrets[key],
            made[key][1],
            (ends or {}).get(key),
        )
        for key in keys.values()
    ]


def fetch(connection: Connection, name: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(name), params, prepare=False).fetchall()


def append_audit(
    connection: Connection, actor: str, action: str, kind: Kind, names: Sequence[str], detail: dict[str, Any]
) -> None:
    subjects = [f"{kind}:{name}" for name in names]
    connection.execute(
        statement("identity.audit_many"),
        {"actor": actor, "action": action, "subjects": subjects, "detail": Jsonb(detail)},
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
