"""How requests are signed. The expected signatures were made with openssl, not with this code."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from alerts.channels.dingtalk import signed
from alerts.channels.feishu import signature as feishu_signature
from alerts.channels.platform.signers.draft import Attempt, Draft
from alerts.channels.platform.signers.gateway import GatewaySigner
from alerts.channels.webhook import signature as webhook_signature


def test_dingtalk() -> None:
    # printf '1577262236757\nSECabc' | openssl dgst -sha256 -hmac SECabc -binary | base64
    url = signed("https://oapi.example/robot/send?access_token=t", "SECabc", 1577262236757)
    query = parse_qs(urlsplit(url).query)
    assert query["access_token"] == ["t"]
    assert query["timestamp"] == ["1577262236757"]
    assert query["sign"] == ["I5TKCOTTj6fad4sJ4q9RsIffw0PAChVQZQGTdtRbNEQ="]


def test_feishu() -> None:
    # key=$(printf '1599360473\nSECabc' | od -An -tx1 | tr -d ' \n')
    # printf '' | openssl dgst -sha256 -mac HMAC -macopt hexkey:$key -binary | base64
    assert feishu_signature("SECabc", 1599360473) == {
        "timestamp": "1599360473",
        "sign": "KjJCRpeZcpDq6nFA4wlSAm5ZsE3Y8HuB1O1Sgv2Y9xA=",
    }


def test_government_gateway() -> None:
    # printf '1700000000tokenabc1231700000000' | sha256sum, in capitals
    signer = GatewaySigner.model_validate({"kind": "tif", "paasid": "city", "token": "token"})
    signed = signer.sign(Draft("POST", "https://c.example/e", {"A": "b"}, {"a": 1}), Attempt(1700000000.9, "abc123"))
    assert (signed.body, signed.url) == ({"a": 1}, "https://c.example/e")
    assert signed.headers == {
        "A": "b",
        "x-tif-paasid": "city",
        "x-tif-timestamp": "1700000000",
        "x-tif-nonce": "abc123",
        "x-tif-signature": "1F4FEB729C36366835A6D3FE2A1E8DF3A42763C6AE4CB17367D712E07E5F9810",
    }


def test_a_nonce_is_never_used_twice() -> None:
    assert len({Attempt().nonce for _ in range(100)}) == 100


def test_webhook() -> None:
    # printf '{"a":1}' | openssl dgst -sha256 -hmac key
    assert (
        webhook_signature("key", b'{"a":1}')
        == "sha256=88a67f24bbcdaed0e6c997404bb79a743baf44c6bab2f4c27328e3009d22e342"
    )
