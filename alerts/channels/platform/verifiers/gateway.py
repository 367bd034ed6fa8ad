"""The API gateway of many government clouds (`x-tif-*`, `x-rio-*`), as it signs what it passes on to us."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import Field, SecretStr

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


class GatewayVerifier(VerifierSettings):
    """signature = upper(SHA256(timestamp + token + nonce + timestamp)); the body is not signed."""

    kind: Literal["tif", "rio"]
    token: SecretStr = Field(min_length=1)
    paasid: str | None = Field(None, description="Whose alone; null: whoever has the token")

    def opened(self, incoming: Incoming, now_s: float) -> Opened:
        prefix = f"x-{self.kind}"
        timestamp, nonce, signature = (
            given(incoming.headers, f"{prefix}-{name}") for name in ("timestamp", "nonce", "signature")
        )
        in_time(f"{prefix}-timestamp", seconds(timestamp), timestamp, now_s)
        plain = f"{timestamp}{self.token.get_secret_value()}{nonce}{timestamp}"
        same(f"{prefix}-signature", signature.upper(), hashlib.sha256(plain.encode()).hexdigest().upper())
        if self.paasid is not None and incoming.headers.get(f"{prefix}-paasid") != self.paasid:
            raise NotVerifiedError("stranger", f"{prefix}-paasid: is not the one agreed on")
        return Opened(incoming.body, nonce)
