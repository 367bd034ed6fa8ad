"""What an answer means: status and body, for each channel's own codes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from alerts.channels import ChannelError, channel, channel_names, dingtalk, feishu, parse_config, webhook, wecom
from alerts.channels.answers import BUSY_PAUSE_S, Codes, judge
from alerts.channels.interface import BadMessage, Delivered, Outcome, Retry, SinkFailure
from alerts.channels.line import LONGEST_PAUSE_S, Answer
from alerts.channels.platform.city import PlatformConfig

PLATFORM = PlatformConfig.model_validate({"url": "https://city.example/events"}).codes()


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


@pytest.mark.parametrize(
    ("codes", "said", "outcome"),
    [
        (PLATFORM, answer(200, {"code": 0, "data": {"platform_no": "A1"}}), Delivered),
        (PLATFORM, answer(200, {"code": 200, "message": "ok"}), Delivered),
        (PLATFORM, answer(200, {"code": "200"}), Delivered),
        (PLATFORM, answer(201, {"code": 0}), Delivered),
        (PLATFORM, answer(200, {"code": 500, "message": "系统繁忙"}), Retry),
        (PLATFORM, answer(200, {"code": 1, "message": "?"}), Retry),
        (PLATFORM, answer(200, {"code": 401, "message": "token 过期"}), SinkFailure),
        (PLATFORM, answer(200, {"code": 403}), SinkFailure),
        (PLATFORM, answer(200, {"code": 404}), SinkFailure),
        (PLATFORM, answer(200, {"code": 400, "message": "缺少字段"}), BadMessage),
        (PLATFORM, answer(200, {"code": 422}), BadMessage),
        (PLATFORM, answer(200, {"code": 409, "message": "重复推送"}), Delivered),
        (PLATFORM, answer(200, {"code": 409, "message": "锁定"}), Retry),
        (PLATFORM, answer(200, {"message": "no code"}), Retry),
        (PLATFORM, answer(200, b"<html>log in</html>"), Retry),
        (PLATFORM, answer(200), Retry),
        (PLATFORM, answer(500, {"code": 0}), Retry),
        (PLATFORM, answer(400, {"code": 400}), BadMessage),
        (PLATFORM, answer(400, {"code": 401}), SinkFailure),
        (wecom.CODES, answer(200, {"errcode": 0, "errmsg": "ok"}), Delivered),
        (wecom.CODES, answer(200, {"errcode": 93000, "errmsg": "invalid webhook url"}), SinkFailure),
        (wecom.CODES, answer(200, {"errcode": 45009, "errmsg": "api freq out of limit"}), Retry),
        (wecom.CODES, answer(200, {"errcode": 40058}), BadMessage),
        (wecom.CODES, answer(200, {"errcode": -1, "errmsg": "system busy"}), Retry),
        (wecom.CODES, answer(200, {"errcode": True}), Retry),
        (dingtalk.CODES, answer(200, {"errcode": 0, "errmsg": "ok"}), Delivered),
        (dingtalk.CODES, answer(200, {"errcode": 310000, "errmsg": "sign not match"}), SinkFailure),
        (dingtalk.CODES, answer(200, {"errcode": 300001, "errmsg": "token is not exist"}), SinkFailure),
        (dingtalk.CODES, answer(200, {"errcode": 130101, "errmsg": "send too fast"}), Retry),
        (dingtalk.CODES, answer(200, {"errcode": 40035}), BadMessage),
        (feishu.CODES, answer(200, {"code": 0, "msg": "success"}), Delivered),
        (feishu.CODES, answer(200, {"StatusCode": 0, "StatusMessage": "success"}), Delivered),
        (feishu.CODES, answer(200, {"StatusCode": 7}), Retry),
        (feishu.CODES, answer(400, {"code": 19021, "msg": "sign match fail"}), SinkFailure),
        (feishu.CODES, answer(400, {"code": 19001, "msg": "incoming webhook access token invalid"}), SinkFailure),
        (feishu.CODES, answer(400, {"code": 9499, "msg": "Bad Request"}), BadMessage),
        (feishu.CODES, answer(429, {"code": 11232, "msg": "frequency limited"}), Retry),
        (webhook.CODES, answer(204), Delivered),
        (webhook.CODES, answer(200, b"thanks"), Delivered),
        (webhook.CODES, answer(200, {"code": 0}), Delivered),
        (webhook.CODES, answer(200, {"errcode": 1}), Retry),
    ],
)
def test_the_body_counts_and_http_200_is_not_success(codes: Codes, said: Answer, outcome: type[Outcome]) -> None:
    assert type(judge(said, codes)) is outcome


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(status, BadMessage) for status in (400, 413, 422)]
    + [(status, SinkFailure) for status in (301, 302, 307, 401, 402, 403, 404, 405, 410, 415, 451)]
    + [(status, Retry) for status in (408, 409, 425, 429, 500, 501, 502, 503, 504, 507)],
)
@pytest.mark.parametrize("codes", [PLATFORM, wecom.CODES, dingtalk.CODES, feishu.CODES, webhook.CODES])
def test_a_bare_status(status: int, outcome: type[Outcome], codes: Codes) -> None:
    assert type(judge(answer(status), codes)) is outcome


@pytest.mark.parametrize(
    "body", [{"message": "duplicate push_id"}, {"data": {"duplicate": True}}, {"message": "事件已存在"}]
)
def test_a_conflict_is_success_only_where_it_means_duplicate(body: Any) -> None:
    assert isinstance(judge(answer(409, body), PLATFORM), Delivered)
    assert judge(answer(409, {"message": "locked"}), PLATFORM) == Retry(
        'HTTP 409: {"message": "locked"}', against_sink=False
    )


def test_a_busy_receiver_is_left_alone_as_long_as_it_asks_and_has_not_failed() -> None:
    assert judge(answer(429, retry_after="7"), PLATFORM) == Retry("HTTP 429", 7.0, against_sink=False)
    assert judge(answer(429), PLATFORM) == Retry("HTTP 429", BUSY_PAUSE_S, against_sink=False)
    said = judge(answer(200, {"errcode": 45009}), wecom.CODES)
    assert isinstance(said, Retry)
    assert (said.after_s, said.against_sink) == (BUSY_PAUSE_S, False)
    assert judge(answer(503, retry_after="9"), PLATFORM) == Retry("HTTP 503", 9.0)


def test_a_gateway_does_not_know_whether_the_request_got_through() -> None:
    for status, maybe in ((500, False), (503, False), (502, True), (504, True)):
        said = judge(answer(status), PLATFORM)
        assert isinstance(said, Retry)
        assert said.maybe_received is maybe


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("12", 12.0),
        ("99999999999", LONGEST_PAUSE_S),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("1.5", None),
        ("١٢", None),
    ],
)
def test_retry_after_in_seconds(header: str, seconds: float | None) -> None:
    assert answer(503, retry_after=header).retry_after_s == seconds


def test_retry_after_as_a_date_is_read_against_the_answers_own_clock() -> None:
    theirs = datetime(2031, 5, 4, 12, 0, 0, tzinfo=UTC)
    until = format_datetime(theirs + timedelta(seconds=90), usegmt=True)
    assert answer(503, retry_after=until, date=format_datetime(theirs, usegmt=True)).retry_after_s == 90.0
    ours = datetime.now(UTC) + timedelta(seconds=90)
    left = answer(503, retry_after=format_datetime(ours, usegmt=True)).retry_after_s
    assert left is not None
    assert 85 < left <= 90
    assert answer(503, retry_after=format_datetime(datetime(2001, 1, 1, tzinfo=UTC), usegmt=True)).retry_after_s == 0.0


def test_a_platforms_own_codes_are_settings() -> None:
    codes = PlatformConfig.model_validate(
        {
            "url": "https://city.example/e",
            "success_codes": [1],
            "bad_message_codes": [7001],
            "sink_failure_codes": [7002],
        }
    ).codes()
    assert isinstance(judge(answer(200, {"code": 1}), codes), Delivered)
    assert isinstance(judge(answer(200, {"code": 0}), codes), Retry)
    assert isinstance(judge(answer(200, {"code": 7001}), codes), BadMessage)
    assert isinstance(judge(answer(200, {"code": 7002}), codes), SinkFailure)


def test_every_folder_is_a_channel() -> None:
    assert channel_names() == ["dingtalk", "feishu", "mail", "platform", "sms", "webhook", "wecom"]
    for name in channel_names():
        assert channel(name).label


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        (
            "smoke",
            {},
            (
                "channel = 'smoke': there is no such channel;"
                " there are dingtalk, feishu, mail, platform, sms, webhook, wecom"
            ),
        ),
        ("wecom", {}, "wecom: url: Field required"),
        (
            "wecom",
            {"url": "https://q.example/send?key=k", "room": 3},
            "wecom: room = 3: Extra inputs are not permitted",
        ),
        ("wecom", {"url": "https://q.example/send?key=k", "per_minute": 0}, "wecom: per_minute = 0:"),
        ("platform", {"url": "https://c.example", "headers": {"X Y": "1"}}, "'X Y' is not the name of a header"),
        ("platform", {"url": "https://c.example", "signer": {"kind": "sm2"}}, "signer"),
        ("mail", {"host": "m", "sender": "a@b.example", "recipients": ["nobody"]}, "mail: recipients.0 = 'nobody':"),
        (
            "mail",
            {"host": "m", "sender": "a@b.example", "recipients": ["a@b.example"], "username": "u"},
            "belong together",
        ),
        (
            "mail",
            {"host": "m", "sender": "a@b.example", "recipients": ["a@b.example"], "ca_file": "/no/such"},
            "/no/such",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, config: Any, said: str) -> None:
    with pytest.raises(ChannelError) as raised:
        parse_config(name, config)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x.example/SECRET",
        "SECRET",
        "https://",
        "https://x.example/SECRET SECRET",
        "http://x:0/SECRET",
        "https://x.example/井SECRET",
    ],
)
def test_a_wrong_url_does_not_tell_the_secret_in_it(url: str) -> None:
    with pytest.raises(ChannelError) as raised:
        parse_config("wecom", {"url": url})
    assert "an http:// or https:// URL is needed" in str(raised.value)
    assert "SECRET" not in str(raised.value)


def test_where_a_sink_goes_is_shown_without_its_secrets() -> None:
    shown = parse_config(
        "dingtalk", {"url": "https://oapi.example:8443/robot/send?access_token=SECRET", "secret": "SEC1"}
    )
    assert shown.place() == "https://oapi.example:8443"
    assert "SECRET" not in repr(shown)
    assert "SEC1" not in repr(shown)
