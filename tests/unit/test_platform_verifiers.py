"""What a platform signs is known to be its own; what anybody else sends is not. Each way, by what its signer makes."""

from __future__ import annotations

import base64
import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import gmssl_pyx
import pytest
from pydantic import TypeAdapter, ValidationError

from alerts.channels.platform.signers import Signer
from alerts.channels.platform.signers.draft import Attempt, Draft
from alerts.channels.platform.verifiers import Verifier
from alerts.channels.platform.verifiers.incoming import Incoming, NotVerifiedError, Opened

BODY = {"event_id": "12-1", "disposal_status": "closed", "flags": {"supervised": True}, "n": 3, "empty": ""}
NOW = time.time()
PUBLIC, PRIVATE = gmssl_pyx.sm2_key_generate()
SM4_KEY, OTHER_KEY = "0123456789abcdeffedcba9876543210", "00112233445566778899aabbccddeeff"
SEALED_SIGNER = {
    "kind": "sm4-sm2", "app_code": "wuhu", "sm4_key": SM4_KEY, "private_key": PRIVATE.hex(), "public_key": PUBLIC.hex(),
}  # fmt: skip
SEALED = {"kind": "sm4-sm2", "app_code": "wuhu", "sm4_key": SM4_KEY, "public_key": PUBLIC.hex()}


def parameters(**more: Any) -> dict[str, Any]:
    return {"kind": "parameters", "app_key": "wuhu", "app_secret": "s3cret", "algorithm": "hmac-sha256"} | more


def sent(signer: dict[str, Any], body: dict[str, Any] | None = None, *, at_s: float = NOW) -> Incoming:
    """A request that is signed so, as it comes in."""
    made: Any = TypeAdapter(Signer).validate_python(signer)
    draft = made.sign(Draft("POST", "https://us.example/callback", {}, BODY if body is None else body), Attempt(at_s))
    query = dict(parse_qsl(urlsplit(draft.url).query))
    return Incoming({name.lower(): value for name, value in draft.headers.items()}, query, draft.body)


def opened(verifier: dict[str, Any], incoming: Incoming, now_s: float = NOW) -> Opened:
    made: Any = TypeAdapter(Verifier).validate_python(verifier)
    found: Opened = made.opened(incoming, now_s)
    return found


def why(verifier: dict[str, Any], incoming: Incoming, now_s: float = NOW) -> str:
    with pytest.raises(NotVerifiedError) as error:
        opened(verifier, incoming, now_s)
    assert "s3cret" not in str(error.value)
    return error.value.why


WAYS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"kind": "tif", "paasid": "wuhu", "token": "t"}, {"kind": "tif", "token": "t"}),
    ({"kind": "rio", "paasid": "wuhu", "token": "t"}, {"kind": "rio", "token": "t", "paasid": "wuhu"}),
    *(
        (parameters(algorithm=algorithm, place=place, covers_body=covers, time=when, written=written),) * 2
        for algorithm, place, covers, when, written in (
            ("md5", "body", True, "milliseconds", "upper-hex"),
            ("hmac-sha256", "query", True, "seconds", "lower-hex"),
            ("hmac-sm3", "headers", True, "text", "base64"),
            ("hmac-sm3", "body", False, "milliseconds", "upper-hex"),
        )
    ),
    (parameters(names={"nonce": None}),) * 2,
    (SEALED_SIGNER, SEALED),
    (
        SEALED_SIGNER | {"sm4_mode": "cbc", "sm4_iv": OTHER_KEY, "signature_form": "der", "data_written": "hex"},
        SEALED | {"sm4_mode": "cbc", "sm4_iv": OTHER_KEY, "signature_form": "der", "data_written": "hex"},
    ),
]


@pytest.mark.parametrize(("signer", "verifier"), WAYS)
def test_what_was_signed_so_is_opened(signer: dict[str, Any], verifier: dict[str, Any]) -> None:
    found = opened(verifier, sent(signer))
    assert found.body == BODY
    assert found.once
    assert found.once != opened(verifier, sent(signer, at_s=NOW + 1)).once, "two requests share what is used once"


@pytest.mark.parametrize(("signer", "verifier"), WAYS)
def test_what_is_old_or_of_tomorrow_is_not(signer: dict[str, Any], verifier: dict[str, Any]) -> None:
    for away_s in (-185, 185):
        assert why(verifier, sent(signer), NOW + away_s) == "expired"
    opened(verifier, sent(signer), NOW + 175)


@pytest.mark.parametrize(("signer", "verifier"), WAYS)
def test_what_is_not_signed_is_not(signer: dict[str, Any], verifier: dict[str, Any]) -> None:
    assert why(verifier, Incoming({}, {}, dict(BODY))) == "unsigned"


@pytest.mark.parametrize("place", ["body", "query", "headers"])
def test_a_changed_parameter_is_noticed(place: str) -> None:
    made = sent(parameters(place=place))
    changed = Incoming(made.headers, made.query, {**made.body, "disposal_status": "processing"})
    assert why(parameters(place=place), changed) == "bad_signature"
    assert why(parameters(place=place, app_secret="another"), made) == "bad_signature"
    assert why(parameters(place=place, app_key="anhui"), made) == "stranger"
    more = Incoming(made.headers, made.query, {**made.body, "added": "1"})
    assert why(parameters(place=place), more) == "bad_signature"


def test_a_signature_that_is_written_in_another_way_is_the_same_again() -> None:
    for written, other in (
        ("hex", lambda said: said.upper() if said != said.upper() else said.lower()),
        ("base64", lambda said: f"{said[:-3]}{chr(ord(said[-3]) + 1)}=="),
    ):
        signer, verifier = SEALED_SIGNER | {"signature_written": written}, SEALED | {"signature_written": written}
        made = sent(signer)
        again = Incoming({}, {}, {**made.body, "signData": other(made.body["signData"])})
        assert again.body != made.body
        assert opened(verifier, again).once == opened(verifier, made).once


def test_a_sealed_body_that_was_meddled_with() -> None:
    made = sent(SEALED_SIGNER)
    for name, value, expected in (
        ("signData", base64.b64encode(bytes(64)).decode(), "bad_signature"),
        ("signData", base64.b64encode(b"short").decode(), "bad_signature"),
        ("signData", "no base64!", "unreadable"),
        ("timestamp", str(int(NOW * 1000) + 1), "bad_signature"),
        ("encData", base64.b64encode(bytes(16)).decode(), "bad_signature"),
        ("appCode", "anhui", "stranger"),
        ("signType", "RSA", "bad_signature"),
    ):
        assert why(SEALED, Incoming({}, {}, {**made.body, name: value})) == expected, name
    other_key = SEALED | {"sm4_key": OTHER_KEY}
    assert why(other_key, made) == "unreadable"
    assert why(SEALED, sent(SEALED_SIGNER | {"app_code": "wuhu"}, body=[1])) == "unreadable"  # type: ignore[arg-type]


def test_tif_and_headers() -> None:
    made = sent({"kind": "tif", "paasid": "wuhu", "token": "t"})
    assert why({"kind": "tif", "token": "other"}, made) == "bad_signature"
    assert why({"kind": "tif", "token": "t", "paasid": "anhui"}, made) == "stranger"
    assert why({"kind": "rio", "token": "t"}, made) == "unsigned"
    fixed = {"kind": "headers", "headers": {"appKey": "wuhu", "appSecret": "s3cret"}}
    assert opened(fixed, sent(fixed)).body == BODY
    assert why(fixed, Incoming({"appkey": "wuhu", "appsecret": "guess"}, {}, BODY)) == "bad_signature"
    assert why(fixed, Incoming({"appkey": "wuhu"}, {}, BODY)) == "unsigned"
    assert opened({"kind": "none"}, Incoming({}, {}, BODY)) == Opened(BODY)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "tif"}, "token"),
        ({"kind": "headers", "headers": {}}, "at least one"),
        (SEALED | {"public_key": "00" * 10}, "SM2"),
        (SEALED | {"public_key": "01" * 64}, "SM2"),
        (SEALED | {"sm4_key": "short"}, "sm4_key"),
        (SEALED | {"sm4_mode": "cbc"}, "sm4_iv"),
        (SEALED | {"sm4_iv": SM4_KEY}, "sm4_iv"),
        ({"kind": "oauth"}, "oauth"),
    ],
)
def test_a_wrong_setting_is_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TypeAdapter(Verifier).validate_python(given)
