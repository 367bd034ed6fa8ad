"""What a broker asks that keeps no files: may this client come in, may it do that now? One indexed query each, so that
what was revoked a moment ago opens nothing any more."""

from __future__ import annotations

from typing import Any

from psycopg.rows import dict_row

from underfoot.identity.accounts import Account, account_of, authenticate
from underfoot.identity.names import UserName, parse_user_name
from underfoot.identity.rights import Action, Bound, Surroundings, rights_of
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_OF_SHARDS = "underfoot-"  # begins the client id of every shard's session
_DEVICE_LEVEL = 4  # of `underfoot/v1/{area}/{family}/{device_id}/…`


def may_come_in(
    connection: Connection, username: str, secret: str, *, client_id: str = "", common_name: str = ""
) -> Account | None:
    """The account that may connect; None: nobody may. `common_name` is of a client certificate that the broker has
    verified; with one, no secret is needed.

    Nobody but ingest may connect under the client id of a shard's session: whoever does takes that session over, with
    all that waits in it.
    """
    if common_name:
        account = _certified(connection, common_name) if username in ("", common_name) else None
    else:
        account = authenticate(connection, username, secret)
    if account is None or account.duty == "ingest" or not client_id.startswith(_OF_SHARDS):
        return account
    taken = connection.execute(statement("identity.session_of_shard"), {"client_id": client_id}).fetchone()
    return None if taken is not None and taken[0] else account


def may_do(connection: Connection, username: str, action: Action, topic: str) -> bool:
    """Whether the user may publish to the topic, or subscribe to the filter, now."""
    wanted = parse_user_name(username)
    if wanted is None or "\0" in topic:
        return False
    levels = topic.split("/")
    about = levels[_DEVICE_LEVEL] if len(levels) > _DEVICE_LEVEL else None
    row = _row(connection, "identity.find_rights", wanted, topic_device_id=about)
    if row is None:
        return False
    account = account_of(row)
    if not _is_where(account, wanted):
        return False
    bound = Bound(row["bound_district"], row["bound_family"], row["bound_device_id"])
    around = Surroundings([bound] if bound.device_id is not None else [], row["mapping_topics"])
    return rights_of(account, around).may(action, topic)


def _certified(connection: Connection, common_name: str) -> Account | None:
    wanted = parse_user_name(common_name)
    if wanted is None:
        return None
    row = _row(connection, "identity.certified_account", wanted)
    account = account_of(row) if row is not None else None
    return account if account is not None and _is_where(account, wanted) else None


def _is_where(account: Account, wanted: UserName) -> bool:
    """A device's user name says where it is: one that was moved has another."""
    return account.kind != "device" or (account.area, account.family) == (wanted.area, wanted.family)


def _row(connection: Connection, name: str, wanted: UserName, **more: object) -> dict[str, Any] | None:
    params = {"kind": wanted.kind, "name": wanted.name, "slot": wanted.slot, "user_name": str(wanted), **more}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(name), params).fetchone()
