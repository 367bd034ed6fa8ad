"""Client certificates of accounts: issued by our authority, known again by their serial number."""

from __future__ import annotations

from datetime import timedelta

from underfoot.identity.accounts import account_of
from underfoot.identity.certificates import CLIENT_FOR, Authority, CommonNameError, Pair, Void
from underfoot.identity.credentials import CredentialError, append_audit, fetch, lock_accounts
from underfoot.identity.names import Kind
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement


def certify(
    connection: Connection,
    authority: Authority,
    kind: Kind,
    name: str,
    actor: str,
    *,
    good_for: timedelta = CLIENT_FOR,
) -> tuple[str, Pair]:
    """A new client certificate for the account, and the user name it stands for. Others that it has stay good."""
    keys = lock_accounts(connection, kind, [name])
    [row] = fetch(connection, "identity.accounts_of", {"keys": list(keys.values())})
    if row["retired"]:
        raise CredentialError(f"device = {name!r}: is retired; no credential opens anything for it")
    account = account_of(row)
    user_name = account.user_name(0)
    try:
        pair = authority.issue_client(user_name, good_for)
    except CommonNameError as error:
        raise CredentialError(str(error)) from None
    connection.execute(
        statement("identity.keep_certificate"),
        {
            "account_key": account.account_key,
            "serial": pair.serial,
            "common_name": user_name,
            "issued_by": actor,
            "expires_at": pair.expires_at,
        },
    )
    append_audit(connection, actor, "credential.certify", kind, [name], {"serial": pair.serial})
    return user_name, pair


def void_certificates(connection: Connection) -> dict[str, tuple[Void, str]]:
    """By serial number, certificates that open nothing although their own time is not over, with their user name."""
    rows = connection.execute(statement("identity.void_certificates"))
    return {serial: (Void(serial, since), common_name) for serial, common_name, since in rows}
