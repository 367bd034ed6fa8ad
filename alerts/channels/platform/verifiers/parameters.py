"""appKey and sorted parameters, signed by the platform in the way in which we sign for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from alerts.channels.platform.signers.parameters import ParameterSigner
from alerts.channels.platform.verifiers.incoming import (
    Incoming,
    NotVerifiedError,
    Opened,
    VerifierSettings,
    given,
    in_time,
    same,
    seconds,
)
from underfoot.city_time import CITY_ZONE


class ParameterVerifier(ParameterSigner, VerifierSettings):
    """The signer's settings, read the other way: `app_key` and `app_secret` are those with which the platform signs."""

    def opened(self, incoming: Incoming, now_s: float) -> Opened:
        body, names = incoming.body, self.names
        own = [name for name in (names.app_key, names.timestamp, names.nonce) if name is not None]
        where: Mapping[str, Any] = incoming.query
        if self.place == "body":
            where = body
        elif self.place == "headers":
            where = {
                name: incoming.headers[name.lower()] for name in [*own, names.sign] if name.lower() in incoming.headers
            }
        said = {name: given(where, name) for name in [*own, names.sign]}
        if said[names.app_key] != self.app_key:
            raise NotVerifiedError("stranger", f"{names.app_key} = {said[names.app_key][:64]!r}: is not known")
        in_time(names.timestamp, self._moment(said[names.timestamp]), said[names.timestamp], now_s)
        rest = {name: value for name, value in body.items() if self.place != "body" or name not in said}
        covered = {**(rest if self.covers_body else {}), **{name: where[name] for name in own}}
        same(names.sign, said[names.sign], self.signature(covered))
        return Opened(rest, said[names.nonce if names.nonce is not None else names.sign])

    def _moment(self, text: str) -> float | None:
        match self.time:
            case "seconds":
                return seconds(text)
            case "milliseconds":
                return seconds(text, 1000)
            case "text":
                try:
                    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=CITY_ZONE).timestamp()
                except ValueError:
                    return None
