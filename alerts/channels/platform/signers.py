"""How a request to a city's platform is signed. Cities differ; a new way is a new class in `Signer`."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class _Signer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GatewaySigner(_Signer):
    """The API gateway of many government clouds (`x-tif-*`, `x-rio-*`).

    signature = upper(SHA256(timestamp + token + nonce + timestamp)).
    """

    kind: Literal["tif", "rio"]
    paasid: str = Field(min_length=1, pattern=r"^[\x21-\x7e]+$")
    token: SecretStr = Field(min_length=1)

    def headers(self) -> dict[str, str]:
        # The gateway allows 180 s of skew and refuses a nonce it has seen in the last 10 minutes.
        return self.sign(int(time.time()), secrets.token_hex(16))

    def sign(self, now_s: int, nonce: str) -> dict[str, str]:
        plain = f"{now_s}{self.token.get_secret_value()}{nonce}{now_s}"
        return {
            f"x-{self.kind}-paasid": self.paasid,
            f"x-{self.kind}-timestamp": str(now_s),
            f"x-{self.kind}-nonce": nonce,
            f"x-{self.kind}-signature": hashlib.sha256(plain.encode()).hexdigest().upper(),
        }


class NoSigner(_Signer):
    """Nothing but the sink's fixed headers."""

    kind: Literal["none"] = "none"

    def headers(self) -> dict[str, str]:
        return {}


Signer = Annotated[GatewaySigner | NoSigner, Field(discriminator="kind")]
