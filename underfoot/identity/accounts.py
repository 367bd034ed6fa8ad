"""Who is there: an account, found by the user name and the secret that somebody shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from psycopg.rows import dict_row

from underfoot.identity.hashes import verify
from underfoot.identity.names import Kind, UserName, parse_user_name
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

Duty = Literal["ingest", "reader", "commands"]

# A longer one is nobody's, and not worth a look.
_LONGEST_USER_NAME = 160
_LONGEST_SECRET = 128


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may speak to us. What it may do on MQTT is said by `underfoot.identity.rights`."""

    account_key: int
    kind: Kind
    name: str
    """A device's device_id, a gateway's gateway_id; what an administrator called a vendor's or service's account."""
    area: str | None = None
    """The district that a device's or gateway's topics name."""
    family: str | None = None
    """A device's."""
    vendor: str | None = None
    """Of a vendor account: it speaks for the devices of this vendor only."""
    mappings: tuple[str, ...] = ()
    """Of a vendor account: names of the mappings that it may use."""
    duty: Duty | None = None
    """Of a service account."""

    def user_name(self, slot: int) -> str:
        if self.kind == "device":
            return str(UserName(self.kind, self.name, slot, self.area, self.family))
        return str(UserName(self.kind, self.name, slot))


def authenticate(connection: Connection, username: str, secret: str) -> Account | None:
    """The account that `username` and `secret` open now; None where they open nothing. One indexed query.

    A wrong secret never locks an account: 256 random bits are not guessed, and whoever could lock a device out by
    guessing would have silenced it.
    """
    if len(username) > _LONGEST_USER_NAME or len(secret) > _LONGEST_SECRET:
        return None
    wanted = parse_user_name(username)
    if wanted is None:
        return None
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            statement("identity.find_credential"), {"kind": wanted.kind, "name": wanted.name, "slot": wanted.slot}
        ).fetchone()
    if row is None or not verify(secret, row.pop("secret_hash")):
        return None
    account = account_of(row)
    # The name of a device says where it is: one that was moved has another name.
    return account if (account.area, account.family) == (wanted.area, wanted.family) or wanted.area is None else None


def account_of(row: dict[str, object]) -> Account:
    """The account in a row of sql/identity.sql; what else stands in the row is left alone."""
    known = {name: row[name] for name in Account.__slots__ if name in row}
    known["mappings"] = tuple(row["mappings"])  # type: ignore[arg-type]
    return Account(**known)  # type: ignore[arg-type]
