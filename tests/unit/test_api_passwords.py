"""Passwords: what is refused, what is taken, and what guessing at one costs."""

from __future__ import annotations

import re
import unicodedata

import pytest

from api.people import passwords
from api.people.passwords import WeakPasswordError

ABOUT = ("wangjianguo", "王建国")


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("短", "至少 12 个字符"),
        ("elevenchars", "至少 12 个字符"),
        ("x" * 257, "最多 256 个字符"),
        ("with\ttab and more", "控制字符"),
        ("password1234", "太容易猜到"),
        ("underfoot2026", "太容易猜到"),
        ("wangjianguo1", "太容易猜到"),
        ("Wangjianguo-王建国", "太容易猜到"),
        ("aaaaaaaaaaaaaaaa", "太常见"),
        ("123456789012", "太常见"),
        ("qwertyuiop[]", "太常见"),
        ("1qaz2wsx3edc", "太常见"),
        ("abcabcabcabc", "太常见"),
        ("iloveyouforever", "太常见"),
        ("201907012019", "太常见"),
    ],
)
def test_what_is_short_or_obvious_is_refused(password: str, why: str) -> None:
    with pytest.raises(WeakPasswordError, match=why) as refused:
        passwords.check(password, ABOUT)
    assert password not in str(refused.value)


@pytest.mark.parametrize(
    "password",
    ["雨夜里巡查的老张 walks home", "一二三上山打老虎老虎没打着", "correct horse battery staple", "kx-tv7qjw9zb",
     "x" * 12 + "马路上的井盖都盖好了"],
)  # fmt: skip
def test_what_is_long_and_not_obvious_is_taken_of_whatever_signs(password: str) -> None:
    passwords.check(password, ABOUT)


def test_one_password_typed_in_two_ways_is_one() -> None:
    composed, apart = unicodedata.normalize("NFC", "Ä" * 4 + " und Ü"), unicodedata.normalize("NFD", "Ä" * 4 + " und Ü")
    assert composed != apart
    assert passwords.verified(apart, passwords.hashed(composed))


def test_a_long_password_is_looked_at_in_bounded_time() -> None:
    passwords.check("马路上的井盖 all closed tonight, " * 7)


def test_a_hash_is_argon2id_with_the_parameters_of_rfc_9106() -> None:
    kept = passwords.hashed("a password")
    assert re.match(r"\$argon2id\$v=19\$m=65536,t=3,p=4\$", kept)
    assert kept != passwords.hashed("a password"), "salted"
    assert passwords.verified("a password", kept)
    assert not passwords.verified("another", kept)
    assert not passwords.outdated(kept)


def test_where_there_is_none_none_is_right() -> None:
    assert not passwords.verified("the password of nobody, verified where there is no account", None)
