"""The body encrypted by SM4 and signed by SM2: platforms that follow the 国密 rules for government systems."""

from __future__ import annotations

import base64
from functools import cached_property
from typing import Literal, Self

import orjson
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from cryptography.hazmat.primitives.padding import PKCS7
from pydantic import Field, SecretStr, model_validator

from alerts.channels.platform.signers.draft import Attempt, Draft, SignerSettings
from alerts.channels.platform.signers.sm2 import USER_ID, KeyPair, raw
from alerts.channels.platform.strict import Strict


class SealedNames(Strict):
    """The platform's names for the parts of its envelope."""

    data: str = "encData"
    app_code: str = "appCode"
    version: str = "version"
    cipher: str = "encType"
    signer: str = "signType"
    timestamp: str = "timestamp"
    signature: str = "signData"


class Sealed(Strict):
    """What both sides have agreed on: encData = SM4 of the JSON; signData = SM2 over the other parts, sorted, as
    name=value&…"""

    kind: Literal["sm4-sm2"]
    app_code: str = Field(min_length=1)
    sm4_key: SecretStr = Field(description="16 bytes: 32 hexadecimal digits, or 16 characters")
    sm4_mode: Literal["ecb", "cbc"] = "ecb"
    sm4_iv: SecretStr | None = Field(None, description="Of cbc: 16 bytes, written like the key")
    user_id: str = Field(USER_ID.decode(), min_length=1, max_length=64)
    data_written: Literal["base64", "hex"] = "base64"
    signature_written: Literal["base64", "hex"] = "base64"
    signature_form: Literal["raw", "der"] = Field("raw", description="raw: r and s, 64 bytes")
    names: SealedNames = SealedNames()

    @model_validator(mode="after")
    def _opens(self) -> Self:
        sixteen(self.sm4_key, "sm4_key")
        if self.sm4_mode == "cbc" and self.sm4_iv is None:
            raise ValueError("sm4_iv is needed for sm4_mode 'cbc'")
        if self.sm4_mode == "ecb" and self.sm4_iv is not None:
            raise ValueError("sm4_iv belongs to sm4_mode 'cbc'; 'ecb' has none")
        if self.sm4_iv is not None:
            sixteen(self.sm4_iv, "sm4_iv")
        return self

    @property
    def cipher(self) -> Cipher[ECB | CBC]:
        mode = ECB() if self.sm4_iv is None else CBC(sixteen(self.sm4_iv, "sm4_iv"))  # noqa: S305 - the platform's
        return Cipher(SM4(sixteen(self.sm4_key, "sm4_key")), mode)


class SealedSigner(Sealed, SignerSettings):
    """Sealed with our key pair."""

    version: str = "1.0.0"
    private_key: SecretStr = Field(description="Our SM2 private key, 64 hexadecimal digits")
    public_key: str = Field(description="Its public key, 128 hexadecimal digits, or 130 that begin with 04")

    @model_validator(mode="after")
    def _signs(self) -> Self:
        _ = self._keys
        return self

    @cached_property
    def _keys(self) -> KeyPair:
        return KeyPair(
            hexadecimal(self.private_key.get_secret_value(), "private_key"),
            hexadecimal(self.public_key, "public_key"),
            self.user_id.encode(),
        )

    def sign(self, draft: Draft, attempt: Attempt) -> Draft:
        parts = {
            self.names.data: _written(self.encrypted(orjson.dumps(draft.body)), self.data_written),
            self.names.app_code: self.app_code,
            self.names.version: self.version,
            self.names.cipher: "SM4",
            self.names.signer: "SM2",
            self.names.timestamp: str(int(attempt.at_s * 1000)),
        }
        plain = "&".join(f"{name}={parts[name]}" for name in sorted(parts))
        der = self._keys.sign(plain.encode())
        signature = _written(raw(der) if self.signature_form == "raw" else der, self.signature_written)
        return draft.with_body({**parts, self.names.signature: signature}).explained(
            f"{self.names.data} = SM4-{self.sm4_mode.upper()} of the body, {self.data_written}",
            f"{self.names.signature} = SM2 over {', '.join(sorted(parts))}, sorted, as name=value&…,"
            f" {self.signature_form}, {self.signature_written}",
        )

    def encrypted(self, plain: bytes) -> bytes:
        padder = PKCS7(128).padder()
        made = self.cipher.encryptor()
        return made.update(padder.update(plain) + padder.finalize()) + made.finalize()


def sixteen(given: SecretStr, name: str) -> bytes:
    text = given.get_secret_value()
    if len(text) == 32:
        return hexadecimal(text, name)
    if len(text.encode()) == 16:
        return text.encode()
    raise ValueError(f"{name}: 16 bytes are needed, as 32 hexadecimal digits or 16 characters, not {len(text)}")


def hexadecimal(text: str, name: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ValueError(f"{name}: hexadecimal digits are needed") from None


def _written(data: bytes, how: Literal["base64", "hex"]) -> str:
    return data.hex() if how == "hex" else base64.b64encode(data).decode()
