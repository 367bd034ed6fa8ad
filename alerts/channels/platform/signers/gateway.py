"""The API gateway of many government clouds (`x-tif-*`, `x-rio-*`)."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import Field, SecretStr

from alerts.channels.platform.signers.draft import Attempt, Draft, SignerSettings


class GatewaySigner(SignerSettings):
    """signature = upper(SHA256(timestamp + token + nonce + timestamp)); the body is not signed.

    The gateway allows 180 s of skew and refuses a nonce that it has seen in the last 10 minutes.
    """

    kind: Literal["tif", "rio"]
    paasid: str = Field(min_length=1, pattern=r"^[\x21-\x7e]+$")
    token: SecretStr = Field(min_length=1)

    def sign(self, draft: Draft, attempt: Attempt) -> Draft:
        at_s = int(attempt.at_s)
        plain = f"{at_s}{self.token.get_secret_value()}{attempt.nonce}{at_s}"
        prefix = f"x-{self.kind}"
        return draft.with_headers(
            {
                f"{prefix}-paasid": self.paasid,
                f"{prefix}-timestamp": str(at_s),
                f"{prefix}-nonce": attempt.nonce,
                f"{prefix}-signature": hashlib.sha256(plain.encode()).hexdigest().upper(),
            }
        ).explained(f"{prefix}-signature = upper(SHA256(timestamp + token + nonce + timestamp)), not the body")
