"""The local stack with identities: who may connect, and where. `underfoot up --secure`.

What production needs is here in small: an authority of our own, a broker that knows every client by name, and four
listeners, since who may choose his client id must not be a device: whoever connects under the id of ingest's session
takes over what waits in it. mosquitto's `per_listener_settings` stays off: with it, what comes for a session that is
not connected is dropped (seen with 2.0.21). So one access list and one password file hold for all listeners.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from deploy.errors import StackError
from deploy.ports import any_free, refusal
from underfoot.identity import authenticate
from underfoot.identity.certificates import Authority, expiry, write_private
from underfoot.identity.credentials import AccountExistsError, issue, listed, open_account, revoke
from underfoot.identity.files import write_all
from underfoot.storage.connect import Connection, connect

HOSTS = ("localhost", "127.0.0.1")
LOCAL = "local"
"""The service account of this machine's own processes."""

_RENEW_BEFORE = timedelta(days=30)

_TLS = "cafile /data/tls/ca.crt\ncertfile /data/tls/server.crt\nkeyfile /data/tls/server.key\ntls_version tlsv1.2\n"
# A client's id is its user name, so that it can take over nobody's session but its own.
_OWN_ID = "use_username_as_clientid true\n"
_LISTENERS = (
    "listener {devices} 127.0.0.1\n"
    + _TLS
    + _OWN_ID
    + "\nlistener {certificates} 127.0.0.1\n"
    + _TLS
    + _OWN_ID
    + "crlfile /data/identity/revoked.crl\nrequire_certificate true\nuse_identity_as_username true\n"
    + "\nlistener {services} 127.0.0.1\n"
    + _TLS
    + "\nlistener {port} 127.0.0.1\n\n"
    + "allow_anonymous false\npassword_file /data/identity/passwords\nacl_file /data/identity/access\n"
)


@dataclass(frozen=True)
class Listeners:
    """Ports of the TLS listeners. Production opens only the first two to the world."""

    devices: int
    """By user name and secret; the client id is the user name."""
    certificates: int
    """By client certificate; its common name is the user name and the client id."""
    services: int
    """By user name and secret, under any client id: for ingest on another machine."""

    def configuration(self, port: int) -> str:
        return _LISTENERS.format(port=port, **asdict(self))


@dataclass(frozen=True)
class Identities:
    """What the secure stack keeps under its home."""

    home: Path

    @property
    def authority(self) -> Authority:
        return Authority(self.home / "authority")

    @property
    def folder(self) -> Path:
        """The broker's files, kept in step with the database."""
        return self.home / "mosquitto" / "identity"

    @property
    def ca(self) -> Path:
        return self.authority.certificate_file

    @property
    def _record(self) -> Path:
        return self.home / "mosquitto" / "listeners.json"

    @property
    def _login(self) -> Path:
        return self.home / "mosquitto-login"

    def listeners(self) -> Listeners | None:
        """Where the broker listens for TLS; None: it is open, as by default."""
        if not self._record.exists():
            return None
        try:
            return Listeners(**json.loads(self._record.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise StackError(
                f"{self._record} was changed ({error}): `underfoot down`, remove it, `underfoot up`"
            ) from None

    def login(self) -> str:
        """What stands before the host in the URL of this machine's own processes."""
        return self._login.read_text(encoding="utf-8")

    def close(self, database_url: str) -> None:
        """Make all that a broker which asks for credentials needs. What is there already is kept."""
        self.authority.make()
        self._certify_server()
        with connect(database_url, "broker") as connection:
            self._open_door(connection)
            connection.commit()
            write_all(connection, self.folder, self.authority)
        known = self.listeners()
        if known is None or any(refusal(port) is not None for port in asdict(known).values()):
            ports = Listeners(any_free(), any_free(), any_free())
            self._record.write_text(json.dumps(asdict(ports)), encoding="utf-8")

    def open(self) -> None:
        """The broker lets anybody on this machine in from its next start on."""
        self._record.unlink(missing_ok=True)

    def _certify_server(self) -> None:
        folder = self.home / "mosquitto" / "tls"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        certificate, key, ca = folder / "server.crt", folder / "server.key", folder / "ca.crt"
        ours = self.ca.read_bytes()
        if (
            key.exists()
            and certificate.exists()
            and ca.exists()
            and ca.read_bytes() == ours
            and expiry(certificate.read_bytes()) > datetime.now(UTC) + _RENEW_BEFORE
        ):
            return
        pair = self.authority.issue_server(HOSTS)
        write_private(key, pair.key)
        certificate.write_bytes(pair.certificate)
        ca.write_bytes(ours)

    def _open_door(self, connection: Connection) -> None:
        """An account for this machine's own processes, and its secret where only we can read it."""
        if self._login.exists():
            user_name, _, secret = self.login().partition(":")
            if authenticate(connection, user_name.replace("%2F", "/"), secret) is not None:
                return
        actor = f"stack:{os.getuid()}"
        try:
            open_account(connection, "service", LOCAL, actor, duty="ingest")
        except AccountExistsError:
            # Its secret is lost: the file was removed, or the database is older than the file.
            if listed(connection, kind="service", name=LOCAL, limit=1):
                revoke(connection, "service", LOCAL, actor)
        [issued] = issue(connection, "service", [LOCAL], actor)
        write_private(self._login, f"{quote(issued.user_name, safe='')}:{quote(issued.secret, safe='')}".encode())
