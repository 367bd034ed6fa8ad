"""The token in a message's link: what it says comes back, and nothing else opens."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from underfoot.links import LASTS, LONGEST_TOKEN, Fault, Link, LinkError, Secret, expiry, issue, redeem

NOW = datetime(2026, 7, 21, 13, 40, 11, tzinfo=UTC)
OURS, THEIRS = b"o" * 32, b"t" * 32
KEYS = st.integers(0, 2**63 - 1)
TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def token(secret: bytes = OURS, *, expires_at: datetime = NOW + LASTS) -> str:
    return issue(secret, alarm_key=4711, episode=3, delivery_key=98_765, expires_at=expires_at)


def fault(secret: bytes | list[Secret], text: str, now: datetime = NOW) -> Fault:
    with pytest.raises(LinkError) as caught:
        redeem(secret, text, now)
    return caught.value.fault


@given(KEYS, KEYS, KEYS, TIMES)
def test_what_a_token_says_comes_back(alarm_key: int, episode: int, delivery_key: int, expires_at: datetime) -> None:
    text = issue(OURS, alarm_key=alarm_key, episode=episode, delivery_key=delivery_key, expires_at=expires_at)
    assert len(text) <= LONGEST_TOKEN
    assert text.replace("-", "").replace("_", "").isalnum()
    link = redeem(OURS, text, expires_at - timedelta(seconds=1))
    assert (link.alarm_key, link.episode, link.delivery_key) == (alarm_key, episode, delivery_key)
    assert timedelta(0) <= link.expires_at - expires_at < timedelta(minutes=1)


def test_an_ordinary_one_is_short() -> None:
    assert len(token()) <= 40


@given(st.data())
def test_one_changed_character_and_it_is_refused(data: st.DataObject) -> None:
    text = token()
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("ABCXYZabcxyz0189-_").filter(lambda one: one != text[place]))
    assert fault(OURS, text[:place] + other + text[place + 1 :]) in (Fault.forged, Fault.malformed)


@given(st.data())
def test_one_changed_bit_and_it_is_refused(data: st.DataObject) -> None:
    whole = bytearray(urlsafe_b64decode(token() + "=" * (-len(token()) % 4)))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert fault(OURS, urlsafe_b64encode(whole).rstrip(b"=").decode()) in (Fault.forged, Fault.malformed)


@given(st.integers(0, len(token()) - 1))
def test_cut_off_it_is_refused(length: int) -> None:
    assert fault(OURS, token()[:length]) in (Fault.forged, Fault.malformed)


@given(st.text(max_size=80))
def test_anything_else_is_refused_by_name(text: str) -> None:
    assert fault(OURS, text) in (Fault.forged, Fault.malformed)


@pytest.mark.parametrize("text", ["", token() + "=", token() + "A" * 40, token() + "\n", "接单", f" {token()}"])
def test_no_other_spelling(text: str) -> None:
    assert fault(OURS, text) is Fault.malformed


def test_one_of_another_installation_is_forged() -> None:
    assert fault(OURS, token(THEIRS)) is Fault.forged
    assert fault([], token()) is Fault.forged


def test_it_runs_out() -> None:
    text = token(expires_at=NOW + timedelta(minutes=1))
    assert isinstance(redeem(OURS, text, NOW), Link)
    assert fault(OURS, text, NOW + timedelta(minutes=2)) is Fault.expired
    assert fault(OURS, token(THEIRS, expires_at=NOW - LASTS)) is Fault.forged, "who forges learns nothing of its time"


def test_an_old_secret_is_believed_until_its_links_have_run_out_and_signs_no_longer_ones() -> None:
    known = [Secret(THEIRS), Secret(OURS, retired_at=NOW)]
    assert redeem(known, token(), NOW).alarm_key == 4711
    assert redeem(known, token(THEIRS), NOW).alarm_key == 4711
    assert fault(known, token(expires_at=NOW + timedelta(days=400))) is Fault.forged
    assert fault(known, token(), NOW + timedelta(days=8)) is Fault.expired


@given(st.timedeltas(timedelta(0), timedelta(days=40)))
def test_a_link_lasts_at_least_a_week_from_when_it_is_sent(waited: timedelta) -> None:
    good_until = expiry(NOW, NOW + waited)
    assert LASTS <= good_until - (NOW + waited) <= LASTS + timedelta(days=1)


def test_attempts_of_a_day_have_the_same_link() -> None:
    assert expiry(NOW, NOW + timedelta(seconds=1)) == expiry(NOW, NOW + timedelta(hours=23))


def test_what_is_no_key_is_refused() -> None:
    with pytest.raises(ValueError, match="-1: a link says numbers from 0"):
        issue(OURS, alarm_key=-1, episode=1, delivery_key=1, expires_at=NOW)


def test_a_secret_shows_nowhere() -> None:
    assert "ooo" not in repr(Secret(OURS)) + str([Secret(OURS)])
