"""What mosquitto is told: a password file, an access list and a list of revoked certificates, all made of the
database's accounts.

A device's rights follow from its user name by one pattern; only gateways, vendors and services have lines of their own.
Mosquitto looks a user up in that part from its beginning at each line it reads, so that a line for each of 100 000
devices would take minutes at every reload, while a pattern takes none (docs/adr/0006 has the figures).
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from psycopg.rows import dict_row

from underfoot.identity.accounts import Account, account_of
from underfoot.identity.certificates import Authority, serials
from underfoot.identity.certify import void_certificates
from underfoot.identity.names import SECOND
from underfoot.identity.rights import Bound, Rights, Surroundings, rights_of
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement
from underfoot.topics import ROOT

log = logging.getLogger(__name__)

PASSWORDS = "passwords"
ACCESS = "access"
REVOKED = "revoked.crl"
MOST_DEVICES = 5000
"""So many devices of one gateway or vendor are listed at most: mosquitto walks the list at each of their publishes."""

_MODE = 0o640

# A device's user name stands where %u does: `410502/cover/NB-00312`, or in the second slot `v1/410502/cover/NB-00312`.
_STEMS = (ROOT, ROOT.removesuffix(f"/{SECOND[:-1]}"))
_PATTERNS = [
    f"pattern {access} {stem}/%u/{last}\n"
    for stem in _STEMS
    for access, last in (("write", "report"), ("write", "cbor"), ("read", "command"))
]
_HEADER = "# Written by `underfoot broker`; what is changed here by hand is lost at the next change of an account.\n"


class Texts(NamedTuple):
    """The contents of both files."""

    passwords: str
    access: str


def render(connection: Connection) -> Texts:
    """Both files as they must be now."""
    with connection.cursor(row_factory=dict_row) as cursor:
        secrets = cursor.execute(statement("identity.live_secrets"), prepare=False).fetchall()
        listed = cursor.execute(statement("identity.live_listed"), prepare=False).fetchall()
    passwords = (f"{account_of(row).user_name(row['slot'])}:{row['secret_hash']}\n" for row in secrets)
    accounts = [(account_of(row), int(row["slot"])) for row in listed]
    return Texts("".join(passwords), access_text(_with_rights(connection, accounts)))


def access_text(users: Iterable[tuple[str, Rights]]) -> str:
    """The access list for these users, beside every device."""
    return "".join((_HEADER, *_PATTERNS, *(line for user, rights in users for line in _user(user, rights))))


def _user(user: str, rights: Rights) -> Iterator[str]:
    yield f"user {user}\n"
    yield from (f"topic write {topic}\n" for topic in rights.publish)
    yield from (f"topic read {topic}\n" for topic in rights.receive)


def _with_rights(connection: Connection, accounts: list[tuple[Account, int]]) -> Iterator[tuple[str, Rights]]:
    bound: dict[int, list[Bound]] = defaultdict(list)
    for name, params in (("devices_of_gateways", {}), ("devices_of_vendors", {"most": MOST_DEVICES})):
        for account_key, *device in connection.execute(statement(f"identity.{name}"), params):
            bound[account_key].append(Bound(*device))
    topics: dict[str, list[str]] = defaultdict(list)
    for mapping, pattern in connection.execute(statement("identity.mapping_topics"), {"names": None}):
        topics[mapping].append(pattern)
    for account, slot in accounts:
        devices = bound[account.account_key]
        if len(devices) > MOST_DEVICES:
            log.warning(
                "%s %s speaks for more than %d devices: none of them is listed for mosquitto. Give the devices"
                " credentials of their own, or use batches, a mapping's topics or HTTP push",
                account.kind,
                account.name,
                MOST_DEVICES,
            )
            devices = []
        usable = topics if account.kind == "service" else account.mappings
        mapped = [pattern for mapping in usable for pattern in topics.get(mapping, ())]
        yield account.user_name(slot), rights_of(account, Surroundings(devices, mapped))


def write_if_changed(path: Path, wanted: bytes) -> bool:
    """Replace the file as a whole, where its content is another. Its group is its folder's: a broker that runs as
    somebody else reads it by that."""
    if path.exists() and path.read_bytes() == wanted:
        return False
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(wanted)
        group = path.parent.stat().st_gid
        if os.fstat(file.fileno()).st_gid != group:
            os.fchown(file.fileno(), -1, group)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    return True


def write_all(connection: Connection, folder: Path, authority: Authority | None = None) -> list[str]:
    """Bring the files in `folder` up to date; the names of those that changed."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    texts = render(connection)
    wanted = {PASSWORDS: texts.passwords, ACCESS: texts.access}
    changed = [name for name, text in wanted.items() if write_if_changed(folder / name, text.encode())]
    if authority is not None and authority.exists:
        void = [each for each, _ in void_certificates(connection).values()]
        # Signed anew it would be another file each time: only what stands in it is compared.
        path = folder / REVOKED
        if not path.exists() or serials(path.read_bytes()) != {each.serial for each in void}:
            write_if_changed(path, authority.revocations(void))
            changed.append(REVOKED)
    return changed
