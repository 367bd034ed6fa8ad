"""Signers against published vectors of SM2, SM3 and SM4, and against values made with openssl, not with this code."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SM3, Hash
from gmssl_pyx import sm2_verify_sm3_digest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from alerts.channels.platform.signers.draft import Attempt, Draft
from alerts.channels.platform.signers.fixed import HeaderSigner, NoSigner
from alerts.channels.platform.signers.parameters import ParameterSigner, hmac_sm3
from alerts.channels.platform.signers.sealed import SealedSigner
from alerts.channels.platform.signers.sm2 import USER_ID, KeyPair, raw
from simulators.platform import sm2 as theirs

# GB/T 32918.5-2017, annex A.2: the curve's own example of a signature.
PRIVATE = bytes.fromhex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8")
PUBLIC = bytes.fromhex(
    "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
    "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
)
MESSAGE = b"message digest"
DIGEST = bytes.fromhex("F0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640")
SIGNATURE = bytes.fromhex(
    "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
    "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
)


def sm3(data: bytes) -> str:
    made = Hash(SM3())
    made.update(data)
    return made.finalize().hex()


def test_sm3_of_the_standard() -> None:
    """GB/T 32905-2016, annex A.1 and A.2."""
    assert sm3(b"abc") == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert sm3(b"abcd" * 16) == "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"


def test_hmac_sm3_of_the_standard() -> None:
    """GM/T 0042-2015, annex D.3."""
    text = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq" * 2
    made = hmac_sm3(bytes(range(1, 33)), text)
    assert made.hex() == "ca05e144ed05d1857840d1f318a4a8669e559fc8391f414485bfdf7bb408963a"


def sealed(**changes: Any) -> SealedSigner:
    return SealedSigner.model_validate(
        {
            "kind": "sm4-sm2", "app_code": "underfoot", "sm4_key": "0123456789abcdeffedcba9876543210",
            "private_key": PRIVATE.hex(), "public_key": PUBLIC.hex(), **changes,
        }
    )  # fmt: skip


def test_sm4_of_the_standard() -> None:
    """GB/T 32907-2016, annex A.1: key and plain text are the same."""
    made = sealed().encrypted(bytes.fromhex("0123456789abcdeffedcba9876543210"))
    assert made[:16].hex() == "681edf34d206965e86b3e94f536e4246"
    assert len(made) == 32, "a whole block is padded by a block"


def test_sm2_of_the_standard() -> None:
    """GB/T 32918.5-2017, annex A.2: its digest, and its signature is good to both sides."""
    assert KeyPair(PRIVATE, PUBLIC).digest(MESSAGE) == DIGEST
    assert theirs.digest(PUBLIC, MESSAGE, USER_ID) == DIGEST
    assert theirs.verified(PUBLIC, MESSAGE, SIGNATURE, USER_ID)
    r, s = int.from_bytes(SIGNATURE[:32], "big"), int.from_bytes(SIGNATURE[32:], "big")
    assert sm2_verify_sm3_digest(PUBLIC, DIGEST, encode_dss_signature(r, s))


@settings(max_examples=15, deadline=None)
@given(st.binary(max_size=300), st.binary(min_size=1, max_size=40))
def test_what_we_sign_the_other_side_verifies_and_nothing_else(message: bytes, user_id: bytes) -> None:
    made = raw(KeyPair(PRIVATE, b"\x04" + PUBLIC, user_id).sign(message))
    assert theirs.verified(PUBLIC, message, made, user_id)
    assert not theirs.verified(PUBLIC, message + b"!", made, user_id)
    assert not theirs.verified(PUBLIC, message, made[:-1] + bytes([made[-1] ^ 1]), user_id)


def test_no_two_signatures_are_alike() -> None:
    """A nonce that comes twice, or can be guessed, gives the private key away."""
    keys = KeyPair(PRIVATE, PUBLIC)
    assert len({decode_dss_signature(keys.sign(MESSAGE))[0] for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("private", "public", "said"),
    [
        (PRIVATE[1:], PUBLIC, "32 bytes"),
        (PRIVATE, PUBLIC[1:], "64 bytes"),
        (bytes(32), PUBLIC, "private key"),
        (bytes(31) + b"\5", PUBLIC, "not that of the private key"),
        (PRIVATE, bytes(63) + b"\1", "SM2"),
    ],
)
def test_keys_that_are_no_pair_are_refused(private: bytes, public: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        KeyPair(private, public)


def signed(**changes: Any) -> Draft:
    given = {"kind": "parameters", "app_key": "underfoot", "app_secret": "SEC1", "algorithm": "md5", **changes}
    body = {"b": "井盖", "a": 2, "empty": "", "none": None, "list": [1, {"x": "y"}], "yes": True}
    draft = Draft("POST", "https://c.example/e?v=1", {}, body)
    return ParameterSigner.model_validate(given).sign(draft, Attempt(1700000000.25, "n0"))


# plain='a=2&appKey=underfoot&b=井盖&list=[1,{"x":"y"}]&nonce=n0&timestamp=1700000000250&yes=true'
@pytest.mark.parametrize(
    ("changes", "signature"),
    [
        # printf '%sSEC1' "$plain" | openssl md5
        ({}, "0E56369658E17E89D97847A5A72A1E0B"),
        # printf 'SEC1%sSEC1' "$plain" | openssl md5
        ({"secret": "around", "written": "lower-hex"}, "ab5fe4d4b4fd8566e07e7d265f4e242c"),
        # printf '%s&key=SEC1' "$plain" | openssl md5
        ({"secret": "&key="}, "75884B679BC9116284C5541E44BA3A84"),
        # printf '%s' "$plain" | openssl dgst -sha256 -hmac SEC1
        ({"algorithm": "hmac-sha256"}, "41723DF9E425FEF078D2CD6B0BD6365BDC8213008DFC83754DB1817699B7FC39"),
        # printf '%s' "$plain" | openssl dgst -sm3 -hmac SEC1 -binary | base64
        ({"algorithm": "hmac-sm3", "written": "base64"}, "Ba3i7VN08YI4SJN4gq0QUhScogRBA3f7fk/ncQPS5/E="),
        # the same without = and &
        ({"joined": "namevalue"}, "A830FC52072E35F117B959867A91F259"),
    ],
)
def test_sorted_parameters(changes: dict[str, Any], signature: str) -> None:
    body = signed(**changes).body
    assert body.pop("sign") == signature
    assert (body["appKey"], body["timestamp"], body["nonce"], body["a"]) == ("underfoot", "1700000000250", "n0", 2)


def test_the_signature_may_stand_in_the_query_or_in_headers() -> None:
    in_query = signed(place="query", time="seconds")
    assert in_query.url.startswith("https://c.example/e?v=1&appKey=underfoot&timestamp=1700000000&nonce=n0&sign=")
    assert "sign" not in in_query.body
    names = {"app_key": "X-App", "timestamp": "X-Time", "nonce": None, "sign": "X-Sign"}
    in_headers = signed(place="headers", time="text", names=names, covers_body=False)
    assert in_headers.headers.keys() == {"X-App", "X-Time", "X-Sign"}
    assert in_headers.headers["X-Time"] == "20231115061320"
    assert "X-App, X-Time" in in_headers.signed[0]


def test_fixed_headers_and_none() -> None:
    draft = Draft("POST", "https://c.example/e", {"A": "1"}, {})
    signer = HeaderSigner.model_validate({"kind": "headers", "headers": {"appKey": "k", "appSecret": "s"}})
    assert signer.sign(draft, Attempt()).headers == {"A": "1", "appKey": "k", "appSecret": "s"}
    assert NoSigner().sign(draft, Attempt()).headers == {"A": "1"}
    with pytest.raises(ValidationError, match="at least one header"):
        HeaderSigner.model_validate({"kind": "headers", "headers": {}})


def test_a_sealed_body_is_opened_by_its_key_alone() -> None:
    signer = sealed(sm4_mode="cbc", sm4_iv="0123456789ABCDEF", data_written="hex", signature_form="der")
    made = signer.sign(Draft("POST", "https://c.example/e", {}, {"名": "井盖"}), Attempt(1700000000.25)).body
    assert list(made) == ["encData", "appCode", "version", "encType", "signType", "timestamp", "signData"]
    assert made["timestamp"] == "1700000000250"
    opening = Cipher(SM4(bytes.fromhex("0123456789abcdeffedcba9876543210")), CBC(b"0123456789ABCDEF")).decryptor()
    padded = opening.update(bytes.fromhex(made["encData"])) + opening.finalize()
    assert json.loads(padded[: -padded[-1]]) == {"名": "井盖"}
    plain = "&".join(f"{name}={made[name]}" for name in sorted(made) if name != "signData")
    assert theirs.verified(PUBLIC, plain.encode(), raw(base64.b64decode(made["signData"])), USER_ID)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sm4_key": "SECRET"}, "sm4_key: 16 bytes are needed"),
        ({"sm4_mode": "cbc"}, "sm4_iv is needed"),
        ({"sm4_iv": "0123456789ABCDEF"}, "'ecb' has none"),
        ({"private_key": "SECRETzz"}, "private_key: hexadecimal digits are needed"),
        ({"private_key": "11" * 32}, "not that of the private key"),
        ({"sm4_mode": "gcm"}, "'ecb' or 'cbc'"),
        ({"names": {"date": "x"}}, "there is no setting 'date'; there are data,"),
    ],
)
def test_a_seal_that_cannot_work_is_refused_when_it_is_loaded(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        sealed(**changes)
    assert said in str(raised.value)


def test_no_secret_shows() -> None:
    shown = repr(sealed()) + repr(ParameterSigner.model_validate(
        {"kind": "parameters", "app_key": "k", "app_secret": "SEC1", "algorithm": "md5"}))  # fmt: skip
    assert PRIVATE.hex() not in shown
    assert "0123456789abcdef" not in shown
    assert "SEC1" not in shown
