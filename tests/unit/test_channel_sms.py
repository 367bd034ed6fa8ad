"""SMS: what a gateway is sent, by its configuration; what its answer means; no number shows anywhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest
from pydantic import SecretStr

from alerts.channels import ChannelError, parse_config, sms
from alerts.channels.interface import BadMessage, Delivered, Delivery, Mention, Retry, SinkFailure
from alerts.channels.line import Answer
from alerts.channels.platform.signers.aliyun import AliyunSigner
from alerts.channels.sms.gateway import SmsConfig
from tests.unit.test_messages import snapshot
from underfoot.links import expiry, issue, redeem

LINK = "https://underfoot.example/a/AQwBBgD-Bw"
ALIYUN: dict[str, Any] = {
    "based_on": "aliyun",
    "sign_name": "安阳城管",
    "template_code": "SMS_1",
    "numbers": ["13803720001", "13803720002"],
    "signer": {"kind": "aliyun-rpc", "access_key_id": "id", "access_key_secret": "SECRET"},
}
GENERIC: dict[str, Any] = {"url": "https://sms.example/send", "numbers": ["13803720001"]}


class Told:
    """A line that keeps what is posted and answers as it is told."""

    def __init__(self, body: Any, status: int = 200) -> None:
        self.answer = Answer(status, {}, json.dumps(body).encode())
        self.posted: list[tuple[str, bytes, dict[str, str]]] = []

    def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        self.posted.append((url, body, headers))
        return self.answer


def send(config: dict[str, Any], line: Told, **changes: Any) -> Any:
    given = {"snapshot": snapshot(), "link": LINK} | changes
    return sms.send(Delivery("push-1", **given), SmsConfig.model_validate(config), line)  # type: ignore[arg-type]


def test_a_gateway_that_takes_text_gets_message_and_link() -> None:
    line = Told({"code": 0})
    assert isinstance(send(GENERIC, line), Delivered)
    [(url, body, _)] = line.posted
    assert url == "https://sms.example/send"
    assert json.loads(body) == {
        "mobile": "13803720001",
        "content": "【红】井盖打开｜人民大道文峰路口东北角 雨水井0312，倾角78°，21:38起。先围挡，22:08前复位。接单▸"
        + LINK,
        "extno": "push-1",
    }


def test_a_provider_that_insists_on_a_template_gets_its_parameters_and_no_address() -> None:
    line = Told({"Code": "OK", "BizId": "9", "Message": "OK"})
    assert isinstance(send(ALIYUN, line), Delivered)
    [(_, body, headers)] = line.posted
    form = dict(parse_qsl(body.decode()))
    assert headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    assert form["PhoneNumbers"] == "13803720001,13803720002"
    assert (form["SignName"], form["TemplateCode"], form["Action"]) == ("安阳城管", "SMS_1", "SendSms")
    params = json.loads(form["TemplateParam"])
    assert params == {
        "level": "红",
        "what": "井盖打开",
        "where": "人民大道文峰路口东北角 雨水井0312",
        "act": "先围挡",
        "by": "22:08",
        "key": "AQwBB",
        "rest": "gD-Bw",
    }
    assert all(len(value) <= 35 and "://" not in value for value in params.values())


def test_a_parameter_is_cut_to_what_the_provider_takes_and_none_is_empty() -> None:
    line = Told({"Code": "OK"})
    far = snapshot()["asset"] | {"address": "光华路街道办事处辖区范围内人民大道与文峰路交叉口东北角人行道第三盏路灯下"}
    send(ALIYUN, line, snapshot=snapshot(asset=far, crew=None))
    params = json.loads(dict(parse_qsl(line.posted[0][1].decode()))["TemplateParam"])
    assert params["where"].endswith("第三盏路灯下 雨水井0312")
    assert len(params["where"]) == 35
    assert params["act"] == "无"


@pytest.mark.parametrize(
    ("alarm_key", "episode", "delivery_key"), [(1, 1, 1), (128, 1, 16_384), (2**63 - 1, 2**31 - 1, 2**63 - 1)]
)
def test_the_link_that_a_template_carries_opens_the_alarm(alarm_key: int, episode: int, delivery_key: int) -> None:
    line, now = Told({"Code": "OK"}), datetime(2026, 7, 1, tzinfo=UTC)
    token = issue(
        b"secret", alarm_key=alarm_key, episode=episode, delivery_key=delivery_key, expires_at=expiry(now, now)
    )
    send(ALIYUN, line, link=f"https://underfoot.example/a/{token}")
    params = json.loads(dict(parse_qsl(line.posted[0][1].decode()))["TemplateParam"])
    assert all(0 < len(value) <= 35 for value in params.values())
    link = redeem(b"secret", f"{params['key']}{params['rest']}", now)
    assert (link.alarm_key, link.episode, link.delivery_key) == (alarm_key, episode, delivery_key)


def test_a_link_that_a_parameter_has_no_room_for_is_left_out_and_never_cut() -> None:
    line = Told({"Code": "OK"})
    send(ALIYUN | {"params": {"what": "{headline}", "url": "{link}"}, "param_longest": 20}, line)
    assert json.loads(dict(parse_qsl(line.posted[0][1].decode()))["TemplateParam"]) == {"what": "井盖打开", "url": "无"}


def test_several_alarms_and_an_end_are_said_in_a_templates_parameters_too() -> None:
    line = Told({"Code": "OK"})
    send(ALIYUN, line, beside=(snapshot(),) * 9)
    send(ALIYUN, line, snapshot=snapshot(notice="clear", reason="below_limit"))
    said = [json.loads(dict(parse_qsl(body.decode()))["TemplateParam"])["what"] for _, body, _ in line.posted]
    assert said == ["井盖打开10处", "井盖打开已解除"]


def test_what_is_longer_than_the_gateway_takes_loses_its_link_not_its_words() -> None:
    line = Told({"code": 0})
    send(GENERIC | {"longest": 80}, line)
    content = json.loads(line.posted[0][1])["content"]
    assert content.endswith("接单▸")
    assert len(content) <= 70


def test_without_numbers_of_its_own_whoever_is_on_duty_gets_it() -> None:
    line = Told({"code": 0})
    duty = (Mention("王建国", SecretStr("138 0372-0009")), Mention("李强", None))
    assert isinstance(send(GENERIC | {"numbers": []}, line, mentions=duty), Delivered)
    assert json.loads(line.posted[0][1])["mobile"] == "13803720009"
    said = send(GENERIC | {"numbers": []}, line)
    assert isinstance(said, SinkFailure)
    assert "nobody who is on duty has a mobile number" in said.error


DUTY: dict[str, Any] = {"numbers": []}


def test_a_landline_in_the_roster_keeps_nobody_else_from_being_told() -> None:
    line = Told({"code": 0})
    duty = (
        Mention("赵敏", SecretStr("0372-5551234")),
        Mention("王建国", SecretStr("+86 138 0372 0009")),
        Mention("李强", None),
        Mention("陈静", SecretStr("0086-138-0372-0010")),
    )
    said = send(GENERIC | DUTY, line, mentions=duty)
    assert isinstance(said, Delivered)
    assert json.loads(line.posted[0][1])["mobile"] == "13803720009,13803720010"
    assert said.receipt["not_reached"] == ["赵敏", "李强"]
    refused = send(GENERIC | DUTY, Told({"code": 400}), mentions=duty)
    assert isinstance(refused, BadMessage)
    assert refused.error.endswith("; no mobile number: 赵敏、李强")


def test_where_everybody_has_a_landline_nothing_is_sent_and_it_stays_owed() -> None:
    """So that the sink's alternate is owed it, and an alarm says that the sink fails."""
    line = Told({"code": 0})
    duty = tuple(Mention(name, SecretStr(phone)) for name, phone in (("赵敏", "0372-5551234"), ("钱进", "12345")))
    said = send(GENERIC | DUTY, line, mentions=duty)
    assert isinstance(said, SinkFailure)
    assert "赵敏、钱进" in said.error
    assert "5551234" not in said.error
    assert line.posted == []


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ({"Code": "isv.BUSINESS_LIMIT_CONTROL", "Message": "13803720001触发天级流控"}, Retry),
        ({"Code": "isv.AMOUNT_NOT_ENOUGH"}, SinkFailure),
        ({"Code": "isv.SMS_TEMPLATE_ILLEGAL"}, SinkFailure),
        ({"Code": "isv.MOBILE_NUMBER_ILLEGAL", "Message": "13803720001"}, BadMessage),
        ({"Code": "isp.SYSTEM_ERROR"}, Retry),
        ({"Message": "OK"}, Retry),
    ],
)
def test_a_200_with_an_error_code_is_not_taken_for_success(body: Any, outcome: type) -> None:
    said = send(ALIYUN, Told(body))
    assert type(said) is outcome
    assert "13803720001" not in repr(said)


def test_no_number_stands_in_a_receipt_a_place_or_a_complaint() -> None:
    said = send(ALIYUN, Told({"Code": "OK", "Message": "sent to 13803720001"}))
    assert said.receipt["answer"]["Message"] == "sent to 138****0001"
    assert SmsConfig.model_validate(ALIYUN).place() == "138****0001, 138****0002 (https://dysmsapi.aliyuncs.com)"
    with pytest.raises(ChannelError) as raised:
        parse_config("sms", GENERIC | {"numbers": ["13803720001 oder so"]})
    assert "13803720001" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"based_on": "tencent"}, "based_on = 'tencent': that does not ship; there are aliyun, generic"),
        ({"body": {"content": "$text"}}, "must hold $numbers or $numbers_text"),
        ({"body": {"to": "$numbers"}}, "must hold $text or one of $params"),
        ({"body": {"to": "$phones", "t": "$text"}}, "'$phones': there is no such token"),
        ({"body": {"to": "$numbers", "t": "$params"}}, "params: at least one is needed"),
        ({"body": {"to": "$numbers", "t": "{nothing}"}}, "there is no field 'nothing'"),
        ({"body": {"to": "$numbers", "t": "$text", "s": "$sign_name"}}, "sign_name: is needed"),
        ({"colour": 1}, "colour"),
        ({"params": {"key": "{link_key}"}}, "params.key: {link_key} has up to 64 characters, param_longest is 35"),
        ({"params": {"a": "{link_rest}"}, "param_longest": 31}, "{link_rest} has up to 32 characters"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ChannelError) as raised:
        parse_config("sms", GENERIC | changes)
    assert said in str(raised.value)


def test_the_signature_is_the_one_that_the_makers_guide_shows() -> None:
    signer = AliyunSigner(kind="aliyun-rpc", access_key_id="testid", access_key_secret=SecretStr("testsecret"))
    parameters = {
        "Timestamp": "2016-02-23T12:46:24Z",
        "Format": "XML",
        "AccessKeyId": "testid",
        "Action": "DescribeRegions",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureNonce": "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
        "Version": "2014-05-26",
        "SignatureVersion": "1.0",
    }
    assert signer.signature("GET", parameters) == "OLeaidS1JvxuMvnyHOwuJ+uX5qY="
