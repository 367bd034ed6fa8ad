"""A body that the platform has encrypted with SM4 and signed with its SM2 key (国密)."""

from __future__ import annotations

import base64
import binascii
from functools import cached_property
from typing import Literal, Self

import orjson
from cryptography.hazmat.primitives.padding import PKCS7
from pydantic import Field, model_validator

from alerts.channels.platform.signers.sealed import Sealed, hexadecimal
from alerts.channels.platform.signers.sm2 import PublicKey, der
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


class SealedVerifier(Sealed, VerifierSettings):
    """Sealed with the platform's key pair."""

    public_key: str = Field(description="The platform's SM2 key, 128 hexadecimal digits, or 130 that begin with 04")

    @model_validator(mode="after")
    def _verifies(self) -> Self:
        _ = self._key
        return self

    def opened(self, incoming: Incoming, now_s: float) -> Opened:
        names = self.names
        own = (names.data, names.app_code, names.version, names.cipher, names.signer, names.timestamp)
        parts = {name: given(incoming.body, name) for name in own}
        said = given(incoming.body, names.signature)
        if parts[names.app_code] != self.app_code:
            raise NotVerifiedError("stranger", f"{names.app_code} = {parts[names.app_code][:64]!r}: is not known")
        same(names.cipher, parts[names.cipher], "SM4")
        same(names.signer, parts[names.signer], "SM2")
        in_time(names.timestamp, seconds(parts[names.timestamp], 1000), parts[names.timestamp], now_s)
        plain = "&".join(f"{name}={parts[name]}" for name in sorted(parts))
        signature = _bytes(said, self.signature_written, names.signature)
        if not self._key.verifies(plain.encode(), signature if self.signature_form == "der" else der(signature)):
            raise NotVerifiedError("bad_signature", f"{names.signature}: is wrong")
        # Once is what was signed: the same signature can be written in several ways.
        return Opened(self._decrypted(_bytes(parts[names.data], self.data_written, names.data)), plain)

    @cached_property
    def _key(self) -> PublicKey:
        return PublicKey(hexadecimal(self.public_key, "public_key"), self.user_id.encode())

    def _decrypted(self, sealed: bytes) -> dict[str, object]:
        opening = self.cipher.decryptor()
        unpadder = PKCS7(128).unpadder()
        try:
            padded = opening.update(sealed) + opening.finalize()
            body = orjson.loads(unpadder.update(padded) + unpadder.finalize())
        except ValueError:
            raise NotVerifiedError("unreadable", f"{self.names.data}: is not JSON encrypted with our key") from None
        if not isinstance(body, dict):
            raise NotVerifiedError("unreadable", f"{self.names.data}: no JSON object is in it")
        return body


def _bytes(text: str, written: Literal["base64", "hex"], name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if written == "base64" else bytes.fromhex(text)
    except (binascii.Error, ValueError):
        raise NotVerifiedError("unreadable", f"{name}: is not {written}") from None
