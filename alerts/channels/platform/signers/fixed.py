"""Nothing is signed: the platform knows us by our address, or by a key and a secret in fixed headers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from alerts.channels.answers import SecretHeaders
from alerts.channels.platform.signers.draft import Attempt, Draft, SignerSettings


class NoSigner(SignerSettings):
    """Nothing but the configuration's fixed headers."""

    kind: Literal["none"] = "none"

    def sign(self, draft: Draft, attempt: Attempt) -> Draft:
        return draft.explained("nothing is signed")


class HeaderSigner(SignerSettings):
    """A key and a secret in headers, the same in every request."""

    kind: Literal["headers"]
    headers: SecretHeaders = Field(description="E.g. appKey and appSecret, by the platform's names")

    @field_validator("headers")
    @classmethod
    def _some(cls, headers: SecretHeaders) -> SecretHeaders:
        if not headers:
            raise ValueError("at least one header is needed; without any, the signer is `none`")
        return headers

    def sign(self, draft: Draft, attempt: Attempt) -> Draft:
        sent = {name: value.get_secret_value() for name, value in self.headers.items()}
        return draft.with_headers(sent).explained(f"fixed headers {', '.join(self.headers)}; nothing is signed")
