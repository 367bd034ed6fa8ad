"""Where the broker is: one host, or the nodes of a cluster."""

from __future__ import annotations

import pytest

from underfoot.brokers import Brokers
from underfoot.settings import SettingsError, load


@pytest.mark.parametrize(
    ("url", "brokers"),
    [
        ("mqtt://host", Brokers((("host", 1883),), False, None, None)),
        ("mqtts://host", Brokers((("host", 8883),), True, None, None)),
        ("mqtt://host:7/", Brokers((("host", 7),), False, None, None)),
        ("mqtt://[::1]:77", Brokers((("::1", 77),), False, None, None)),
        ("mqtt://a:1,b,c:3", Brokers((("a", 1), ("b", 1883), ("c", 3)), False, None, None)),
        (
            "mqtts://a,[fe80::1],10.0.0.3:9",
            Brokers((("a", 8883), ("fe80::1", 8883), ("10.0.0.3", 9)), True, None, None),
        ),
        ("mqtt://me:p%40s,s:@a:1,b:2", Brokers((("a", 1), ("b", 2)), False, "me", "p@s,s:")),
        ("mqtt://me@a", Brokers((("a", 1883),), False, "me", None)),
        ("mqtt://me:@a", Brokers((("a", 1883),), False, "me", "")),
    ],
)
def test_urls(url: str, brokers: Brokers) -> None:
    assert Brokers.from_url(url) == brokers


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host",
        "http://host",
        "mqtt://",
        "mqtt://a,",
        "mqtt://,a",
        "mqtt://a:0",
        "mqtt://a:65536",
        "mqtt://a:b",
        "mqtt://a b",
        "mqtt://me:hunter2",
        "mqtt://a:1,b:c",
    ],
)
def test_what_is_no_brokers_url(url: str) -> None:
    with pytest.raises(ValueError, match="mqtt://user:password@host1:1883,host2:1883") as raised:
        Brokers.from_url(url)
    assert "hunter2" not in str(raised.value), "a password that was written wrongly is shown"


def test_the_setting_is_checked_and_not_shown() -> None:
    assert load(mqtt_url="mqtt://me:hunter2@a:1,b:2").require_mqtt() == "mqtt://me:hunter2@a:1,b:2"
    with pytest.raises(SettingsError, match="UNDERFOOT_MQTT_URL") as raised:
        load(mqtt_url="mqtt://me:hunter2@a:1,b:x")
    assert "hunter2" not in str(raised.value)
