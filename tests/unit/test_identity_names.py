"""User names, secrets, hashes, and the broker's access list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from underfoot.families import FAMILIES
from underfoot.identity.certificates import Authority, CommonNameError, NoAuthorityError, Void, serials
from underfoot.identity.files import access_text, write_if_changed
from underfoot.identity.hashes import hash_secret, new_secret, verify
from underfoot.identity.names import UserName, parse_user_name
from underfoot.identity.rights import Rights

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)


@given(
    st.one_of(
        st.builds(
            UserName,
            st.sampled_from(["gateway", "vendor", "service"]),
            NAMES,
            st.sampled_from([0, 1]),
            st.none(),
            st.none(),
        ),
        st.builds(
            UserName,
            st.just("device"),
            NAMES,
            st.sampled_from([0, 1]),
            st.from_regex(r"[0-9]{6}", fullmatch=True),
            st.sampled_from(list(FAMILIES)),
        ),
    )
)
def test_a_user_name_is_read_as_it_was_written(name: UserName) -> None:
    text = str(name)
    assert parse_user_name(text) == name
    assert not set("+#:\n %") & set(text), "dangerous in an access list or a password file"


@pytest.mark.parametrize(
    "text",
    [
        *("", "NB-1", "v1/", "v1/v1/gateway/G", "gateway/", "gateway/a/b", "device/NB-1", "410502/cover/"),
        *("41050/cover/a", "410502/gateway/a", "410502/cover/a+b", "410502/cover/#", "410502/cover/a\n"),
        *("gateway/a:b", "٤10502/cover/a"),
    ],
)
def test_what_is_no_user_name(text: str) -> None:
    assert parse_user_name(text) is None


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_none(text: str) -> None:
    parsed = parse_user_name(text)
    assert parsed is None or str(parsed) == text


def test_a_hash_opens_for_its_secret_only() -> None:
    secret = new_secret()
    kept = hash_secret(secret)
    assert len(secret) == 47
    assert new_secret() != secret
    assert hash_secret(secret) != kept, "salted"
    assert secret not in kept
    assert verify(secret, kept)
    for wrong in ("", secret[:-1], secret + "x", secret.swapcase(), "\ud800"):
        assert not verify(wrong, kept)


def test_hashes_of_more_iterations_are_read_too() -> None:
    # Made by mosquitto_passwd -b with its own default of 101 iterations.
    kept = (
        "$7$101$VUUUawt/ZHClW6O/$"
        "nu6Jt8JDbuSjD+bxwIjBzNNzHZUoivbNF9NrsG2Fqjfh3+jh/KJ75Hym53T/lDWkR5PCg5ume67GPWF5AB6wSA=="
    )
    assert verify("correct horse", kept)
    assert not verify("correct horse ", kept)


def test_a_users_lines_come_after_every_pattern() -> None:
    text = access_text([("gateway/GW-1", Rights(("a/+",), ("b",))), ("vendor/x", Rights())])
    lines = text.splitlines()
    assert lines[1:] == [
        "pattern write underfoot/v1/%u/report",
        "pattern write underfoot/v1/%u/cbor",
        "pattern read underfoot/v1/%u/command",
        "pattern write underfoot/%u/report",
        "pattern write underfoot/%u/cbor",
        "pattern read underfoot/%u/command",
        "user gateway/GW-1",
        "topic write a/+",
        "topic read b",
        "user vendor/x",
    ]


def test_a_file_is_replaced_only_by_another(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    assert write_if_changed(path, b"a")
    first = path.stat()
    assert not write_if_changed(path, b"a")
    assert path.stat().st_ino == first.st_ino
    assert write_if_changed(path, b"b")
    assert path.read_bytes() == b"b"
    assert path.stat().st_mode & 0o007 == 0, "not for everybody to read"
    assert [entry.name for entry in tmp_path.iterdir()] == ["passwords"]


def test_certificates_are_of_the_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    with pytest.raises(NoAuthorityError, match="no certificate authority"):
        authority.issue_client("gateway/G")
    authority.make()
    ours = authority.certificate_file.read_bytes()
    authority.make()
    assert authority.certificate_file.read_bytes() == ours, "never made anew"
    assert authority.key_file.stat().st_mode & 0o077 == 0
    pair = authority.issue_client("410502/cover/NB-1", timedelta(days=3))
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "410502/cover/NB-1"
    assert f"{certificate.serial_number:x}" == pair.serial
    assert pair.expires_at - datetime.now(UTC) < timedelta(days=3)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ours))
    void = Void(pair.serial, datetime.now(UTC))
    assert serials(authority.revocations([void])) == {pair.serial}
    assert serials(authority.revocations([])) == set()


def test_a_name_that_is_too_long_for_a_certificate_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.make()
    with pytest.raises(CommonNameError, match="64 characters at most"):
        authority.issue_client("410502/cover/" + "x" * 52)
