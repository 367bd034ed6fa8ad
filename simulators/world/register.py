"""Puts a run's city into an installation, as people would: vendors' mappings, ledgers, accounts of those who push.

city → `underfoot codec add`, import of assets, devices and pipes, `vendor/simulated-…` accounts → the logins of pushes
"""

from __future__ import annotations

import re
import subprocess
import sysconfig
import time
from collections import defaultdict
from pathlib import Path

from simulators.network.city import NetworkCity, register
from simulators.publisher import Login
from simulators.speech import SPEECHES
from simulators.world.folder import RunError, RunFolder
from underfoot.identity.credentials import AccountExistsError, issue, listed, open_account, revoke
from underfoot.ledger.importer import ImportSummary
from underfoot.ledger.pipe_importer import PipesSummary
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

REGISTERED_PER_S = 300.0
"""Assets and devices, on an ordinary machine."""

_SUBSCRIBES_WITHIN_S = 30.0
_PLACEHOLDER = re.compile(r"\{[^{}/]*\}")
"""In a mapping's topic: a name in braces stands for a whole level."""


def register_city(
    connection: Connection, city: NetworkCity, folder: RunFolder, actor: str
) -> tuple[ImportSummary, PipesSummary]:
    """All of the city, in one go; what is registered already stays."""
    in_force = {name for name, *_ in connection.execute(statement("mappings.in_force"))}
    connection.commit()
    for mapping in city.mappings:
        if mapping not in in_force:
            _put_in_force(mapping)
    made = register(connection, folder.city, actor)
    if city.mappings:
        _wait_for_subscriptions(connection)
    return made


def push_logins(connection: Connection, city: NetworkCity, actor: str) -> dict[str, Login]:
    """With what each device's pushes log in: an account for each mapping and vendor, its secret issued anew."""
    vendor_of = {row.device_id: row.vendor for row in city.assets if row.device_id}
    together: dict[tuple[str, str], list[str]] = defaultdict(list)
    for site in city.sites:
        if SPEECHES[site.speech].push:
            together[site.speech, vendor_of[site.device.device_id]].append(site.device.device_id)
    logins: dict[str, Login] = {}
    for number, ((mapping, vendor), devices) in enumerate(sorted(together.items()), start=1):
        login = _fresh_login(connection, f"simulated-{mapping}-{number}", mapping, vendor, actor)
        logins |= dict.fromkeys(devices, login)
    connection.commit()
    return logins


def _fresh_login(connection: Connection, name: str, mapping: str, vendor: str, actor: str) -> Login:
    try:
        with connection.transaction():
            open_account(connection, "vendor", name, actor, vendor=vendor, mappings=[mapping])
    except AccountExistsError:
        # Of an earlier run: nobody knows its secret any more.
        if any(credential.good for credential in listed(connection, kind="vendor", name=name)):
            revoke(connection, "vendor", name, actor)
    (issued,) = issue(connection, "vendor", [name], actor)
    return Login(issued.user_name, issued.secret)


def _wait_for_subscriptions(connection: Connection) -> None:
    """What comes on a mapping's topics before ingest has subscribed to them is nobody's, and lost."""
    give_up = time.monotonic() + _SUBSCRIBES_WITHIN_S
    while True:
        topics = connection.execute(statement("mappings.topics_in_force")).fetchall()
        subscribed: dict[str, list[str]] = dict(connection.execute(statement("simulated.subscribed")).fetchall())
        connection.rollback()
        wanted = {(shard, _PLACEHOLDER.sub("+", topic)) for shard, patterns in topics for topic in patterns}
        missing = sorted(topic for shard, topic in wanted if shard in subscribed and topic not in subscribed[shard])
        if not missing:
            return
        if time.monotonic() > give_up:
            raise RunError(f"ingest has not subscribed to {', '.join(missing)} within {_SUBSCRIBES_WITHIN_S:.0f} s")
        time.sleep(0.2)


def _put_in_force(mapping: str) -> None:
    """As people do it: simulators know nothing of how ingest reads a mapping."""
    command = [str(Path(sysconfig.get_path("scripts")) / "underfoot"), "codec", "add", mapping]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError(f"{' '.join(command[1:])}: {done.stderr.strip() or done.stdout.strip()}")
