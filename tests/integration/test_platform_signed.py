"""Every signer against the stand-in, whose checks were written from the other side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from typer.testing import CliRunner

from alerts.channels import channel, parse_config
from alerts.channels.interface import Delivered, Delivery, Outcome, SinkFailure
from alerts.channels.line import Line
from alerts.channels.platform.city import PlatformConfig
from alerts.channels.platform.request import Request, request
from alerts.channels.platform.signers.draft import Attempt
from simulators.cli import standin
from simulators.platform.access import Access, Parameters, Sealed
from simulators.platform.app import PlatformSettings
from tests.integration.owing import snapshot
from tests.integration.stand_in import running

# The key pair of GB/T 32918.5-2017, annex A.2, and another's.
PRIVATE = "3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8"
PUBLIC = (
    "09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"
    "CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"
)
SM4_KEY = "0123456789abcdeffedcba9876543210"

PARAMETERS = {"kind": "parameters", "app_key": "underfoot", "app_secret": "SEC1"}
SEALED = {"kind": "sm4-sm2", "app_code": "underfoot", "sm4_key": SM4_KEY, "private_key": PRIVATE, "public_key": PUBLIC}
SEAL = Sealed(bytes.fromhex(SM4_KEY), bytes.fromhex(PUBLIC))
KNOWN = {"underfoot": "SEC1"}

SIGNED: list[tuple[Literal["md5", "hmac-sha256", "hmac-sm3"], str]] = [
    ("md5", "body"), ("hmac-sha256", "body"), ("hmac-sm3", "body"), ("hmac-sm3", "query"), ("md5", "headers"),
]  # fmt: skip

WAYS: list[Any] = [
    pytest.param({}, {"headers": {"Authorization": "Bearer SEC1"}}, {"token": "SEC1"}, id="none"),
    pytest.param(
        {"kind": "headers", "headers": {"appKey": "underfoot", "appSecret": "SEC1"}}, {},
        {"fixed": {"appKey": "underfoot", "appSecret": "SEC1"}}, id="headers",
    ),
    pytest.param({"kind": "tif", "paasid": "city", "token": "SEC1"}, {}, {"gateway_token": "SEC1"}, id="tif"),
    pytest.param({"kind": "rio", "paasid": "city", "token": "SEC1"}, {}, {"gateway_token": "SEC1"}, id="rio"),
    *(
        pytest.param(
            {**PARAMETERS, "algorithm": algorithm, "place": place}, {},
            {"signed": Parameters(KNOWN, algorithm)}, id=f"{algorithm}-{place}",
        )
        for algorithm, place in SIGNED
    ),
    pytest.param(
        {**PARAMETERS, "algorithm": "hmac-sha256", "place": "headers", "covers_body": False}, {},
        {"signed": Parameters(KNOWN, body_signed=False)}, id="headers-alone",
    ),
    pytest.param(SEALED, {}, {"signed": SEAL}, id="sm4-sm2"),
    pytest.param(
        {**SEALED, "sm4_mode": "cbc", "sm4_iv": "0123456789ABCDEF"}, {},
        {"signed": Sealed(bytes.fromhex(SM4_KEY), bytes.fromhex(PUBLIC), b"0123456789ABCDEF")}, id="sm4-cbc",
    ),
]  # fmt: skip


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line(5)
    yield line
    line.close()


def config_of(url: str, signer: dict[str, Any], more: dict[str, Any]) -> PlatformConfig:
    parsed = parse_config("platform", {"url": f"{url}/events", **({"signer": signer} if signer else {}), **more})
    assert isinstance(parsed, PlatformConfig)
    return parsed


FACTS: Any = snapshot()


def send(config: PlatformConfig, line: Line, push_id: str = "p1") -> Outcome:
    return channel("platform").send(Delivery(push_id, FACTS, "https://u.example/1"), config, line)


@pytest.mark.parametrize(("signer", "more", "asked"), WAYS)
def test_what_is_signed_is_let_in_and_taken_once_and_what_is_not_is_refused(
    signer: dict[str, Any], more: dict[str, Any], asked: dict[str, Any], line: Line
) -> None:
    with running(PlatformSettings(access=Access(**asked))) as platform:
        config = config_of(str(platform.base_url), signer, more)
        first, again = send(config, line), send(config, line)
        assert isinstance(first, Delivered)
        assert isinstance(again, Delivered)
        assert first.receipt["platform_no"] == again.receipt["platform_no"]
        records = platform.get("/records", params={"kind": "event"}).json()
        assert [record["outcome"] for record in records] == ["accepted", "repeat"]
        assert records[0]["body"]["location"] == "人民大道文峰路口东北角 雨水井0312"
        assert not {"sign", "appKey", "encData", "signData"} & records[0]["body"].keys()
        assert platform.get("/violations").json() == []
        assert isinstance(send(config_of(str(platform.base_url), {}, {}), line, "p2"), SinkFailure)
        assert platform.get("/stats").json()["outcomes"]["event.not_let_in"] == 1


@pytest.mark.parametrize(
    ("signer", "asked", "said"),
    [
        ({**PARAMETERS, "algorithm": "md5", "app_secret": "SEC2"}, {"signed": Parameters(KNOWN, "md5")}, "sign: wrong"),
        ({**PARAMETERS, "algorithm": "md5", "app_key": "other"}, {"signed": Parameters(KNOWN, "md5")}, "not known"),
        ({**PARAMETERS, "algorithm": "md5", "time": "seconds"}, {"signed": Parameters(KNOWN, "md5")}, "timestamp"),
        ({**SEALED, "user_id": "another"}, {"signed": SEAL}, "signData: wrong"),
        ({**SEALED, "sm4_key": "00" * 16}, {"signed": SEAL}, "encData"),
        ({"kind": "tif", "paasid": "city", "token": "SEC2"}, {"gateway_token": "SEC1"}, "x-tif-signature: wrong"),
    ],
)  # fmt: skip
def test_who_signs_wrongly_is_not_let_in(signer: dict[str, Any], asked: dict[str, Any], said: str, line: Line) -> None:
    with running(PlatformSettings(access=Access(**asked))) as platform:
        outcome = send(config_of(str(platform.base_url), signer, {}), line)
        assert isinstance(outcome, SinkFailure)
        assert said in outcome.error


@pytest.mark.parametrize(
    ("signer", "asked"),
    [({**PARAMETERS, "algorithm": "hmac-sha256"}, {"signed": Parameters(KNOWN)}), (SEALED, {"signed": SEAL})],
)
def test_a_request_that_was_changed_on_the_way_or_is_old_is_not_let_in(
    signer: dict[str, Any], asked: dict[str, Any], line: Line
) -> None:
    with running(PlatformSettings(access=Access(**asked))) as platform:
        config = config_of(str(platform.base_url), signer, {})

        def status(made: Request, body: bytes) -> int:
            return line.request(made.method, made.url, body, made.headers).status

        delivery = Delivery("p1", FACTS, "")
        made = request(delivery, config)
        changed = made.body.replace(b"underfoot", b"otherfoot", 1)
        assert changed != made.body
        assert status(made, changed) == 401
        old = request(delivery, config, Attempt(time.time() - 200))
        assert status(old, old.body) == 401
        assert status(made, made.body) == 200
        if signer["kind"] == "parameters":
            assert status(made, made.body) == 401, "its nonce has been used"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--sm4-key", SM4_KEY), "--sm4-key and --sm2-key belong together"),
        (("--sm4-key", "SECRET", "--sm2-key", PUBLIC), "--sm4-key: 32 hexadecimal digits are needed"),
        (("--sm4-key", SM4_KEY, "--sm2-key", PUBLIC[2:]), "--sm2-key: 128 hexadecimal digits are needed"),
        (("--sm4-key", SM4_KEY, "--sm2-key", PUBLIC, "--app-secret", "S"), "one way to sign is possible"),
    ],
)
def test_the_stand_in_says_which_key_it_cannot_use(options: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(standin.commands, [*options, "--port", "0"])
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())
