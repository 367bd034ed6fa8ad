"""A city's configuration: what its template makes of a delivery, and what is wrong with one that cannot work."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alerts.channels import ChannelError, parse_config
from alerts.channels.answers import at, judge
from alerts.channels.interface import BadMessage, Delivered, Delivery, Retry, SinkFailure
from alerts.channels.line import Answer
from alerts.channels.platform.city import PlatformConfig
from alerts.channels.platform.fields import FIELDS, PICTURE_FIELDS
from alerts.channels.platform.request import Request, request
from alerts.channels.platform.shipped import SHIPPED
from alerts.channels.platform.signers.draft import Attempt, SignerSettings
from tests.integration.owing import snapshot
from underfoot.plain_yaml import read_yaml

URL = "https://city.example/api/events"
NEAR = {"kind": "near", "url": "https://u.example/1.jpg", "taken_at": "2026-07-01T13:38:00+00:00"}
AFTER = {"kind": "after", "base64": "aGk=", "lon": 114.352345, "lat": 36.101234}


def city(**given: Any) -> PlatformConfig:
    parsed = parse_config("platform", {"url": URL, **given})
    assert isinstance(parsed, PlatformConfig)
    return parsed


def made(config: PlatformConfig, **facts: Any) -> Request:
    whole: Any = snapshot(raised_at="2026-07-01T13:38:00+00:00", alarm_key=12, episode=3, **facts)
    return request(Delivery("k" * 64, whole, "https://u.example/12"), config, Attempt(1700000000, "n0"))


def filled(template: dict[str, Any], facts: dict[str, Any] | None = None, **given: Any) -> Any:
    return json.loads(made(city(template=template, upsert_key=None, **given), **(facts or {})).body)


def test_names_nesting_constants_and_text() -> None:
    assert filled(
        {
            "data": {"名称": "{title}", "where": [{"x": "{lon}"}, "{lat}", None], "n": 3, "yes": True},
            "text": "{severity_label}色：{title}（{{{alarm}}}）",
            "day": "{raised_at:%Y%m%d}",
            "six": "{lon:.3f}/{severity:.1f}",
        }
    ) == {
        "data": {"名称": "井盖打开", "where": [{"x": 114.352345}, 36.101234, None], "n": 3, "yes": True},
        "text": "红色：井盖打开（{12}）",
        "day": "20260701",
        "six": "114.352/4.0",
    }


def test_value_maps_codes_by_scheme_and_what_is_absent() -> None:
    template = {
        "level": {"$field": "severity", "map": {1: "D", 2: "C", 3: "B", 4: "A"}},
        "code": {"$field": "case_code", "codes": {"GB/T 30428.2-2013": {"0103": "YS"}}, "otherwise": "{same}"},
        "other": {"$field": "case_code", "codes": {"city-2019": {"0103": "YS"}}, "otherwise": "99"},
        "kept": {"$field": "case_code", "map": {"0404": "x"}, "otherwise": "{same}"},
        "null": "{cleared_at}",
        "gone": {"$field": "cleared_at", "absent": "omit"},
        "empty": {"$field": "cleared_at", "absent": "empty"},
        "as_text": {"$field": "severity", "as": "text"},
        "as_int": {"$field": "value", "as": "integer"},
        "formed": {"$field": "raised_at", "format": "%H:%M"},
    }
    assert filled(template) == {
        "level": "A", "code": "YS", "other": "99", "kept": "0103", "null": None, "empty": "", "as_text": "4",
        "as_int": 78, "formed": "21:38",
    }  # fmt: skip


def test_what_an_alarm_of_nothing_has_is_null_and_nothing_fails() -> None:
    """An incident, or a sink's test message, has neither asset nor device nor reading."""
    bare = {"asset": None, "device": None, "area": None, "proof": None, "crew": None, "case": None}
    everything = {name: f"{{{name}}}" for name in FIELDS}
    body = filled(everything, bare)
    assert body.keys() == FIELDS.keys()
    assert [body[name] for name in ("lon", "asset_code", "device_id", "case_code", "case_class", "value")] == [None] * 6


def test_pictures_where_there_are_any() -> None:
    template = {
        "files": {"$pictures": {"t": {"$field": "picture_kind", "map": {"near": 1, "far": 2, "before": 3, "after": 4}},
                                "u": {"$field": "picture_url", "absent": "omit"}, "c": "{picture_base64}",
                                "at": "{picture_at}", "alarm": "{alarm}"}},
        "done": {"$pictures": "{picture_url}", "kinds": ["after"], "absent": "empty"},
    }  # fmt: skip
    assert filled(template) == {"done": []}, "nothing is sent where there is none"
    assert filled(template, {"pictures": [NEAR]}) == {
        "files": [{"t": 1, "u": NEAR["url"], "c": None, "at": "2026-07-01 21:38:00", "alarm": "12"}],
        "done": [],
    }
    both = filled(template, {"pictures": [NEAR, AFTER]})
    assert [item["t"] for item in both["files"]] == [1, 4]
    assert both["done"] == [None]


def test_what_is_known_of_a_case_stands_in_its_pictures_too() -> None:
    """A step is told upward with pictures; it is the same step in each of them."""
    config = city(template={"files": {"$pictures": "{picture_url} {step_no} {step_event}"}}, upsert_key=None)
    whole: Any = snapshot(pictures=[NEAR])
    step = {"step_no": 3, "event": "reached"}
    body = request(Delivery("k", whole, "https://u.example/12"), config, Attempt(1700000000, "n0"), step=step).body
    assert json.loads(body) == {"files": [f"{NEAR['url']} 3 reached"]}


@pytest.mark.parametrize(
    ("code", "name", "street", "expected"),
    [
        ("410502", "文峰区", None, [None] * 4),
        ("410502003", "西大街街道", "西大街街道", ["410502003", "西大街街道", None, None]),
        ("410502003001", "文峰社区", None, ["410502003", None, "410502003001", "文峰社区"]),
    ],
)
def test_street_and_community_as_far_as_the_ledger_has_them(
    code: str, name: str, street: str | None, expected: list[str | None]
) -> None:
    area = {"code": code, "name": name, "district": "410502", "street": street}
    names = ("street_code", "street_name", "community_code", "community_name")
    assert list(filled({one: f"{{{one}}}" for one in names}, {"area": area}).values()) == expected


def test_limits_and_flags_of_a_case() -> None:
    case = snapshot()["case"] | {"arrive_kind": "urgent_hour", "arrive_amount": 0.5, "supervised": False, "rework": 0}
    template = {
        "arrive": "{arrive_amount}{arrive_kind_label}",
        "repair": "{repair_kind_label}",
        "flags": ["{supervised}", "{suspended}", "{rework}"],
        "hung": {"$field": "suspended", "map": {0: "否", 1: "是"}},
    }
    assert filled(template, {"case": case}) == {
        "arrive": "0.5紧急工作时", "repair": None, "flags": [0, 0, 0], "hung": "否",
    }  # fmt: skip


def test_coordinates_and_times_are_the_citys_own_at_the_edge_only() -> None:
    body = filled(
        {"x": "{lon}", "y": "{lat}", "at": "{raised_at}", "far": {"$pictures": ["{picture_url}", "{picture_lon}"]}},
        {"pictures": [AFTER]},
        coordinates={"system": "gcj02", "decimals": 5},
        times={"format": "%Y-%m-%dT%H:%M:%S", "zone": "UTC"},
    )
    assert body == {"x": 114.3584, "y": 36.10136, "at": "2026-07-01T13:38:00", "far": [[None, 114.3584]]}


def test_an_envelope_stands_around_it() -> None:
    envelope = {"head": {"from": "underfoot", "no": "{push_id}"}, "list": ["$body"]}
    assert filled({"a": "{title}"}, envelope=envelope) == {
        "head": {"from": "underfoot", "no": "k" * 64},
        "list": [{"a": "井盖打开"}],
    }
    assert filled({"a": "{title}"}, envelope={"data": "$body_text"}) == {"data": '{"a":"井盖打开"}'}


def test_a_form_another_url_and_no_header_of_ours() -> None:
    config = city(
        template={"a": "{title}", "b": {"c": "{severity}"}}, upsert_key=None, encoding="form", method="PUT",
        urls={"clear": "https://city.example/close"}, push_id_header=None,
    )  # fmt: skip
    raised, cleared = made(config), made(config, notice="clear", cleared_at="2026-07-01T14:00:00+00:00")
    assert parse_qs(raised.body.decode()) == {"a": ["井盖打开"], "b": ['{"c":4}']}
    assert raised.headers == {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    assert (raised.method, raised.url, cleared.url) == ("PUT", URL, "https://city.example/close")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"template": {"a": {"b": "{sverity}"}}}, "a.b = '{sverity}': there is no field 'sverity'; there are push_id,"),
        ({"template": {"a": "{picture_url}"}}, "there is no field 'picture_url'"),
        ({"template": {"a": "{title"}}, "a = '{title': expected '}'"),
        ({"template": {"a": "{title!r}"}}, "!r is not taken"),
        ({"template": {"a": "{event_at:yyyy}"}}, "format 'yyyy': a time's format has % in it"),
        ({"template": {"a": "{severity:zz}"}}, "format 'zz'"),
        ({"template": {"a": {"$field": "severity", "map": {"1": "a"}}}}, "a.map: severity 2, 3, 4 is not mapped"),
        ({"template": {"a": {"$field": "severity", "map": {"5": "a"}}}}, "a.map.5: severity is never that; it is 1, 2"),
        ({"template": {"a": {"$field": "case_code", "map": {"0103": "a"}}}}, "a.otherwise: is needed"),
        ({"template": {"a": {"$field": "case_code", "codes": {"s": {"1": 2}}}}}, "a.otherwise: is needed"),
        ({"template": {"a": {"$field": "event_at", "map": {}, "otherwise": 1}}}, "event_at is a time"),
        ({"template": {"a": {"$field": "title", "otherwise": 1}}}, "a.otherwise: stands only beside"),
        ({"template": {"a": {"$field": "title", "maps": {}}}}, "there is no setting 'maps'; there are $field, map,"),
        ({"template": {"a": {"$field": "title", "as": "date"}}}, "a.as = 'date': Input should be 'text', 'number'"),
        ({"template": {"a": {"$field": "title", "as": "number"}}}, "a.as = 'number': title is a text; only text"),
        ({"template": {"a": {"$filed": "title"}}}, "a.$filed = '$filed': a name, $field or $pictures is needed"),
        ({"template": {"a": {"$pictures": "{picture_kind}"}}}, "{picture_url} or {picture_base64} is needed"),
        ({"template": {}}, "at least one field is needed"),
        ({"envelope": {"a": 1}}, "$body (or $body_text) must stand in it once, not 0 times"),
        ({"envelope": ["$body", "$body"]}, "not 2 times"),
        ({"envelope": {"a": "{nix}", "b": "$body"}}, "there is no field 'nix'"),
        ({"envelope": ["$body"], "encoding": "form"}, "encoding = 'form': the envelope must be an object"),
        ({"envelope": ["$body"], "signer": {"kind": "parameters", "app_key": "k", "app_secret": "s",
                                            "algorithm": "md5"}}, "signer.kind = 'parameters': signs an object's"),
        ({"upsert_key": "event.id"}, "upsert_key = 'event.id': the template has nothing there"),
        ({"upsert_key": "alarm"}, "upsert_key = 'alarm': must be made of push_id, of event_id, or of alarm and"),
        ({"success_codes": [0, 401]}, "sink_failure_codes = 401: is in success_codes too"),
        ({"based_on": "wuhu"}, "based_on = 'wuhu': that does not ship; there are generic, shengpingtai, yunguanfu"),
        ({"rename": {"a": "b"}}, "there is no setting 'rename'; there are alternate,"),
        ({"coordinates": {"system": "baidu"}}, "coordinates.system = 'baidu': Input should be 'cgcs2000', 'wgs84',"),
        ({"times": {"zone": "Asia/Wuhu"}}, "times.zone = 'Asia/Wuhu'"),
        ({"times": {"format": "YYYY"}}, "times.format = 'YYYY'"),
        ({"method": "GET"}, "method = 'GET': Input should be 'POST' or 'PUT'"),
        ({"signer": {"kind": "tif", "paasid": "a", "tokn": "SECRET"}}, "there is no setting 'tokn'; there are kind,"),
        ({"signer": {"kind": "sm9", "token": "SECRET"}}, "'none', 'headers', 'tif', 'rio', 'parameters', 'sm4-sm2'"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_path_value_and_what_may_be(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ChannelError) as raised:
        city(**wrong)
    assert said in str(raised.value)
    assert "SECRET" not in str(raised.value)


def test_codes_may_be_words_and_stand_anywhere() -> None:
    codes = city(
        code_path="result.state", success_codes=["OK", True, "0000"], busy_codes=["BUSY"],
        sink_failure_codes=["NOAUTH"], bad_message_codes=[],
    ).codes()  # fmt: skip

    def outcome(state: Any) -> Any:
        return type(judge(Answer(200, {}, json.dumps({"result": {"state": state}}).encode()), codes))

    assert [outcome(state) for state in ("OK", True, "0000", 0)] == [Delivered] * 4
    assert [outcome(state) for state in ("BUSY", "?", False, None)] == [Retry] * 4
    assert outcome("NOAUTH") is SinkFailure
    assert outcome(401) is Retry
    assert isinstance(judge(Answer(400, {}, b"{}"), codes), BadMessage)


@pytest.mark.parametrize(
    ("path", "found"), [("a.b.0.c", 1), ("a.b.1", None), ("a.x", None), ("a.b.c", None), ("z", "t"), ("z.t", None)]
)
def test_paths_in_answers(path: str, found: Any) -> None:
    assert at({"a": {"b": [{"c": 1}]}, "z": "t"}, path) == found


def test_every_shipped_configuration_is_sound_and_says_all_that_a_case_needs() -> None:
    assert set(SHIPPED.texts) == {"generic", "shengpingtai", "yunguanfu"}
    body = json.loads(made(city(based_on="yunguanfu"), pictures=[NEAR, AFTER]).body)
    assert body["eventId"] == "12-3"
    assert (body["mainTypeCode"], body["subTypeCode"], body["subTypeName"]) == ("01", "0103", "雨水井盖")
    assert (body["eventType"], body["eventLevel"], body["operateType"]) == ("1", "2", "1")
    assert (body["coordinateX"], body["coordinateY"]) == ("114.352345", "36.101234")
    assert body["part"]["ObjID"] == "4105020103000312"
    assert [item["mediaType"] for item in body["attachments"]] == ["1", "4"]
    assert (body["dealTimeType"], body["dealTimeValue"]) == ("", "")
    known = {
        "case": snapshot()["case"]
        | {"repair_kind": "urgent_hour", "repair_amount": 6.0, "supervised": True, "rework": 2, "state": "suspended"},
        "area": {"code": "410502003001", "name": "文峰社区", "district": "410502", "street": "西大街街道"},
    }
    body = json.loads(made(city(based_on="yunguanfu"), **known).body)
    assert (body["dealTimeType"], body["dealTimeValue"], body["arriveTimeType"]) == ("1", 6.0, "")
    assert (body["superviseFlag"], body["hangFlag"], body["reworkCount"]) == ("1", "1", 2)
    assert (body["streetCode"], body["streetName"]) == ("410502003", "西大街街道")
    assert (body["communityCode"], body["communityName"]) == ("410502003001", "文峰社区")
    event = made(
        city(based_on="yunguanfu"), case={"type": "event", "code": "0406", "code_name": "道路积水"}, notice="clear"
    )
    assert json.loads(event.body)["subTypeName"] == "道路积水"


PAGE = (Path(__file__).parents[2] / "docs" / "platforms.md").read_text(encoding="utf-8")


def test_the_pages_example_does_what_its_sheet_asks() -> None:
    example = read_yaml(PAGE.partition("```yaml\n")[2].partition("```")[0].encode(), "the page", at_most=10_000).value
    config = city(**example)
    body = json.loads(made(config, pictures=[NEAR]).body)
    assert body.keys() == {"source", "data", "appKey", "timestamp", "nonce", "sign"}
    [case] = body["data"]
    assert case.pop("desc").startswith("井盖打开：")
    assert len(case.pop("reportTime")) == 14
    assert case == {
        "caseId": "12-3",
        "type": 1,
        "subCode": "A03",
        "level": 3,
        "address": "人民大道文峰路口东北角 雨水井0312",
        "location": {"x": "114.358401", "y": "36.101363"},
        "files": [{"kind": 1, "url": NEAR["url"]}],
    }
    assert isinstance(judge(Answer(200, {}, b'{"ret": "OK"}'), config.codes()), Delivered)
    assert isinstance(judge(Answer(200, {}, b'{"ret": "NOAUTH"}'), config.codes()), SinkFailure)


def test_the_page_names_every_setting() -> None:
    signers = [model for model in SignerSettings.__subclasses__() if model.__module__.startswith("alerts.")]
    assert len(signers) == 6
    names = [*PlatformConfig.model_fields, *(name for model in signers for name in model.model_fields)]
    assert [name for name in names if f"`{name}`" not in PAGE and f"{name}:" not in PAGE] == []


texts_of_any_kind = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(texts_of_any_kind)
def test_any_constant_comes_out_as_it_went_in(text: str) -> None:
    escaped = text.replace("{", "{{").replace("}", "}}")
    name = text if text and not text.startswith("$") else "n"
    if escaped in ("$body", "$body_text"):
        return
    assert filled({name: escaped, "same": ["x", escaped]}) == {name: text, "same": ["x", text]}


@given(texts_of_any_kind, st.sampled_from(sorted(FIELDS | PICTURE_FIELDS)), texts_of_any_kind)
@example("", "severity", "\0")
def test_any_template_is_refused_with_a_reason_or_works(before: str, name: str, form: str) -> None:
    try:
        config = city(template={"a": f"{before}{{{name}:{form}}}"}, upsert_key=None)
    except ChannelError as error:
        assert str(error).startswith("platform: template: ")  # noqa: PT017 - that it is refused is not needed
        return
    assert isinstance(json.loads(made(config).body), dict)


@given(st.integers(946_684_800, 4_102_444_800), st.integers(-12, 14))
def test_a_time_is_the_citys_whatever_its_zone_was(second: int, hours: int) -> None:
    given = datetime.fromtimestamp(second, timezone(timedelta(hours=hours)))
    body = filled({"at": "{event_at}"}, {"event_at": given.isoformat()})
    assert datetime.fromisoformat(f"{body['at']}+08:00") == given


def test_a_configuration_older_than_acts_on_cases_has_them_as_the_end_and_as_a_change() -> None:
    known = {"raise": "new", "change": "other", "clear": "over", "correct": "other", "escalate": "other"}

    def old(**more: str) -> PlatformConfig:
        template = {"id": "{event_id}", "kind": {"$field": "notice", "map": known | more}}
        return city(template=template, upsert_key="id", urls={"clear": "https://platform.example/over"})

    for notice, kind, over in (("cancel", "over", True), ("progress", "other", False), ("clear", "over", True)):
        sent = made(old(), notice=notice)
        assert json.loads(sent.body)["kind"] == kind
        assert sent.url.endswith("/over") is over, notice
    assert json.loads(made(old(cancel="gone"), notice="cancel").body)["kind"] == "gone"


def test_a_second_case_of_an_episode_is_another_event_to_the_platform() -> None:
    case = {"type": "component", "code": "0103", "again": 1, "act": "merged", "note": "并案", "merged_into": "40-1"}
    body = json.loads(made(city(based_on="yunguanfu"), case=case, notice="cancel").body)
    assert (body["eventId"], body["operateType"], body["operateReason"]) == ("12-3-1", "5", "并入险情案件")
    assert (body["operateOpinion"], body["mergedEventId"]) == ("并案", "40-1")
