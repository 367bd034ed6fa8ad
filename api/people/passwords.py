"""Passwords: the rules of NIST SP 800-63B, and argon2id. Length counts and what is obvious is refused; nobody is
made to use signs of several kinds, nor to change a password that nobody else knows."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from zxcvbn import zxcvbn

SHORTEST, LONGEST = 12, 256
_LOOKED_AT = 72
"""zxcvbn's time grows with the square of what it looks at."""
_LEAST_SCORE = 3
"""Of 0 to 4: 3 takes more than 10⁸ guesses by who knows the lists of passwords, keyboards, dates and repetitions."""
_OURS = ("underfoot", "chengshi", "jinggai", "shizheng", "guanliyuan", "administrator", "password", "mima")

# 64 MiB each (RFC 9106, second choice): so many at once and no more, or guessing would cost us our memory.
_hasher = PasswordHasher()
_at_once = BoundedSemaphore(4)
_NOBODYS = _hasher.hash("the password of nobody, verified where there is no account")


class WeakPasswordError(ValueError):
    """A password that is refused; says why, in Chinese, for whoever chooses it."""


def plain(password: str) -> str:
    """One form of what may be typed in several (NIST 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


def check(password: str, about: Iterable[str] = ()) -> None:
    """Refuse what is short or obvious; `about`: words of this person, which are no secret."""
    text = plain(password)
    if len(text) < SHORTEST:
        raise WeakPasswordError(f"密码至少 {SHORTEST} 个字符（现为 {len(text)} 个）；可以用一句话，空格和汉字都行")
    if len(text) > LONGEST:
        raise WeakPasswordError(f"密码最多 {LONGEST} 个字符")
    if any(unicodedata.category(sign) == "Cc" for sign in text):
        raise WeakPasswordError("密码不能含控制字符")
    words = [word for word in about if word]
    # The words with which one is greeted are nothing to guess: what is left without them must be long enough.
    rest = text.casefold()
    for word in sorted({*words, *_OURS}, key=len, reverse=True):
        if len(word) >= 3:
            rest = rest.replace(word.casefold(), "")
    if len(rest) < SHORTEST // 2:
        raise WeakPasswordError("密码主要由账号、姓名或本系统的名称构成，太容易猜到")
    if zxcvbn(text[:_LOOKED_AT], user_inputs=[*words, *_OURS], max_length=_LOOKED_AT)["score"] < _LEAST_SCORE:
        raise WeakPasswordError("密码太常见或太有规律（常用密码、键盘顺序、重复、日期），请换一个")


def hashed(password: str) -> str:
    with _at_once:
        return _hasher.hash(plain(password))


def verified(password: str, hash_kept: str | None) -> bool:
    """Whether it is the password; takes as long where there is none to compare with."""
    with _at_once:
        try:
            _hasher.verify(hash_kept or _NOBODYS, plain(password))
        except VerificationError:
            return False
    return hash_kept is not None


def outdated(hash_kept: str) -> bool:
    """Whether it was made with other parameters than those of today."""
    return _hasher.check_needs_rehash(hash_kept)
