"""Who may push: nobody is asked, or a bearer token, or the signature that many government gateways want."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

_SKEW_S = 180
_NONCE_S = 600


@dataclass
class Access:
    """`token`: `Authorization: Bearer …`. `gateway_token`: the secret behind `x-tif-*` or `x-rio-*` signatures."""

    token: str | None = None
    gateway_token: str | None = None
    _nonces: dict[str, float] = field(default_factory=dict)

    def refusal(self, headers: Mapping[str, str]) -> str | None:
        """Why a request with these headers is not let in; None if it is."""
        if self.token is not None:
            given = headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
                return "Authorization: the bearer token is missing or wrong"
        if self.gateway_token is not None:
            return self._signature_refusal(headers, self.gateway_token)
        return None

    def _signature_refusal(self, headers: Mapping[str, str], token: str) -> str | None:
        kind = "rio" if "x-rio-signature" in headers else "tif"
        timestamp, nonce, signature = (
            headers.get(f"x-{kind}-{name}", "") for name in ("timestamp", "nonce", "signature")
        )
        now = time.time()
        if not timestamp.isdecimal() or abs(now - int(timestamp)) > _SKEW_S:
            return f"x-{kind}-timestamp: {timestamp!r} is not within {_SKEW_S} s of our clock, in seconds"
        signed = hashlib.sha256(f"{timestamp}{token}{nonce}{timestamp}".encode()).hexdigest().upper()
        if not hmac.compare_digest(signature.encode(), signed.encode()):
            return f"x-{kind}-signature: wrong"
        for old in [old for old, since in self._nonces.items() if now - since > _NONCE_S]:
            del self._nonces[old]
        if nonce in self._nonces:
            return f"x-{kind}-nonce: used already within {_NONCE_S // 60} min"
        self._nonces[nonce] = now
        return None
