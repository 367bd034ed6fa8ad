"""SM2 signatures (GB/T 32918.2, curve of GB/T 32918.5) over SM3 digests. The curve's arithmetic is GmSSL's.

The digest that GmSSL signs is made here: its own call for a whole message prepares 32 nonces, and takes ten times as
long for one signature.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SM3, Hash
from gmssl_pyx import InvalidValueError, sm2_sign_sm3_digest, sm2_verify_sm3_digest

USER_ID = b"1234567812345678"
"""What GM/T 0009 prescribes where nothing else was agreed."""

_CURVE = bytes.fromhex(
    "FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFC"  # a
    "28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93"  # b
    "32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7"  # x of the generator
    "BC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0"  # y of it
)


_P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_A, _B = int.from_bytes(_CURVE[:32], "big"), int.from_bytes(_CURVE[32:64], "big")


class KeyPair:
    """Keys as platforms hand them out: the private one 32 bytes, the public one 64 bytes, or 65 that begin with 04."""

    def __init__(self, private: bytes, public: bytes, user_id: bytes = USER_ID) -> None:
        public = _plain(public)
        if len(private) != 32 or len(public) != 64:
            raise ValueError("SM2: a private key of 32 bytes and a public key of 64 bytes (or 65, from 04) are needed")
        self._private = private
        self._identity = _identity(public, user_id)
        probe = bytes(31) + b"\1"
        try:
            pair = sm2_verify_sm3_digest(public, probe, sm2_sign_sm3_digest(private, probe))
        except InvalidValueError as error:
            raise ValueError(f"SM2: {error}") from None
        if not pair:
            raise ValueError("SM2: the public key is not that of the private key")

    def sign(self, message: bytes) -> bytes:
        """The signature in DER, r and s in a sequence."""
        der: bytes = sm2_sign_sm3_digest(self._private, self.digest(message))
        return der

    def digest(self, message: bytes) -> bytes:
        return _sm3(self._identity + message)


class PublicKey:
    """Somebody else's: what was signed with its private key is told from what was not."""

    def __init__(self, public: bytes, user_id: bytes = USER_ID) -> None:
        self._public = _plain(public)
        if len(self._public) != 64:
            raise ValueError("SM2: a public key of 64 bytes (or 65, from 04) is needed")
        self._identity = _identity(self._public, user_id)
        x, y = int.from_bytes(self._public[:32], "big"), int.from_bytes(self._public[32:], "big")
        if (y * y - (x * x * x + _A * x + _B)) % _P:
            raise ValueError("SM2: the public key is no point of the curve")

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """`signature` in DER. What is none verifies nothing."""
        try:
            decode_dss_signature(signature)
            return bool(sm2_verify_sm3_digest(self._public, _sm3(self._identity + message), signature))
        except InvalidValueError as error:
            raise ValueError(f"SM2: {error}") from None
        except ValueError:
            return False


def der(raw_signature: bytes) -> bytes:
    """A signature of 64 bytes, r and s, as DER; of another length it is none, and nothing."""
    if len(raw_signature) != 64:
        return b""
    return encode_dss_signature(int.from_bytes(raw_signature[:32], "big"), int.from_bytes(raw_signature[32:], "big"))


def _plain(public: bytes) -> bytes:
    return public[1:] if len(public) == 65 and public[0] == 4 else public


def _identity(public: bytes, user_id: bytes) -> bytes:
    """All that precedes the message in its digest."""
    return _sm3((len(user_id) * 8).to_bytes(2, "big") + user_id + _CURVE + public)


def raw(der: bytes) -> bytes:
    """A signature as 64 bytes, r and s."""
    r, s = decode_dss_signature(der)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _sm3(data: bytes) -> bytes:
    made = Hash(SM3())
    made.update(data)
    return made.finalize()
