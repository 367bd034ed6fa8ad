"""The open API of Alibaba Cloud in its RPC form, which SMS gateways after its manner take too."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field, SecretStr

from alerts.channels.platform.signers.draft import Attempt, Draft, SignerSettings, parameter


class AliyunSigner(SignerSettings):
    """Signature = base64(HMAC-SHA1(secret + "&", method & "/" & all parameters, sorted, percent-encoded)), version 1.0.
    The body is a form."""

    kind: Literal["aliyun-rpc"]
    access_key_id: str = Field(min_length=1)
    access_key_secret: SecretStr = Field(min_length=1)

    @property
    def needs_object(self) -> bool:
        return True

    def sign(self, draft: Draft, attempt: Attempt) -> Draft:
        covered: dict[str, Any] = {
            **draft.body,
            "AccessKeyId": self.access_key_id,
            "Timestamp": f"{datetime.fromtimestamp(attempt.at_s, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "SignatureNonce": attempt.nonce,
            "SignatureMethod": "HMAC-SHA1",
            "SignatureVersion": "1.0",
        }
        signature = self.signature(draft.method, covered)
        return draft.with_body({**covered, "Signature": signature}).explained(
            f"Signature = base64(HMAC-SHA1) of {', '.join(sorted(covered))}, sorted, percent-encoded"
        )

    def signature(self, method: str, parameters: Mapping[str, Any]) -> str:
        query = "&".join(f"{_encoded(name)}={_encoded(parameter(parameters[name]))}" for name in sorted(parameters))
        plain = f"{method}&{_encoded('/')}&{_encoded(query)}"
        key = f"{self.access_key_secret.get_secret_value()}&"
        return base64.b64encode(hmac.digest(key.encode(), plain.encode(), "sha1")).decode()


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")
