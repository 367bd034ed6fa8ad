"""OpenID Connect: the authorization code flow with PKCE, state and nonce, against one provider.

What the provider says counts only as an ID token that its keys have signed, for us, now, and for this very log-in.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from time import monotonic
from typing import Any, Self
from urllib.parse import quote_plus, urlencode

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet
from pydantic import BaseModel, ValidationError

from api.people.oidc_file import OidcFile, read
from api.people.secrets import Kind, new
from underfoot.settings import Settings, SettingsError

ALGORITHMS = ["RS256", "PS256", "ES256", "ES384"]
"""Signed by a key that only the provider has: nothing symmetric, and never none."""

_LEEWAY_S = 60


class ProviderError(Exception):
    """The provider does not work as OpenID Connect says."""


class LogInRefusedError(Exception):
    """This log-in proves nothing; says why, for our log alone."""


@dataclass(frozen=True, slots=True)
class Began:
    """A log-in under way: where the browser is sent, and what it must come back with."""

    url: str
    state: str
    browser: str
    nonce: str
    verifier: str


class _Discovered(BaseModel):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]


class Client:
    """Us, as the provider's client. Its description and keys are remembered for an hour."""

    LOG_IN_WITHIN = timedelta(minutes=10)
    REMEMBERED_S = 3600.0
    KEYS_ASKED_AGAIN_S = 10.0
    """A key that is not known may be new; so often at most is that asked, whatever anybody sends."""

    def __init__(self, config: OidcFile, secret: str | None) -> None:
        self.config = config
        self._secret = secret
        self._http = httpx.Client(timeout=5, follow_redirects=False)
        self._lock = Lock()
        self._discovered: tuple[float, _Discovered] | None = None
        self._keys: tuple[float, KeySet] | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        if settings.oidc is None:
            return None
        try:
            config = read(settings.oidc)
        except (OSError, ValueError) as error:
            raise SettingsError(f"UNDERFOOT_OIDC = {str(settings.oidc)!r}: {error}") from None
        secret = settings.oidc_secret
        return cls(config, None if secret is None else secret.get_secret_value())

    def close(self) -> None:
        self._http.close()

    def ready(self) -> None:
        """Know the provider's description. Raises ProviderError and httpx.HTTPError."""
        self._description()

    def begin(self, return_to: str) -> Began:
        """A new log-in, from which the browser comes back to `return_to`."""
        verifier = secrets.token_urlsafe(48)
        began = Began("", new(Kind.login), new(Kind.login), secrets.token_urlsafe(24), verifier)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self.config.client_id,
            "redirect_uri": return_to,
            "scope": " ".join(self.config.scopes),
            "state": began.state,
            "nonce": began.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        endpoint = self._description().authorization_endpoint
        url = f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"
        return Began(url, began.state, began.browser, began.nonce, verifier)

    def claims(self, code: str, verifier: str, nonce: str, return_to: str) -> dict[str, Any]:
        """What the provider says of who has logged in. Raises LogInRefusedError."""
        try:
            token = self._id_token(code, verifier, return_to)
            return self._verified(token, nonce)
        except (httpx.HTTPError, ProviderError) as error:
            raise LogInRefusedError(f"the provider did not answer as it should: {error}") from error

    def _id_token(self, code: str, verifier: str, return_to: str) -> str:
        description = self._description()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": return_to,
            "code_verifier": verifier,
            "client_id": self.config.client_id,
        }
        request = self._http.build_request("POST", description.token_endpoint, data=form)
        if self._secret is not None:
            if "client_secret_basic" in description.token_endpoint_auth_methods_supported:
                request.headers["Authorization"] = _basic(self.config.client_id, self._secret)
            else:
                form["client_secret"] = self._secret
                request = self._http.build_request("POST", description.token_endpoint, data=form)
        answer = self._http.send(request)
        if answer.status_code != 200:
            raise LogInRefusedError(f"the code was not taken: HTTP {answer.status_code}")
        token = _object(answer).get("id_token")
        if not isinstance(token, str):
            raise ProviderError("the answer has no id_token")
        return token

    def _verified(self, token: str, nonce: str) -> dict[str, Any]:
        try:
            claims = jwt.decode(token, self._key_of, algorithms=ALGORITHMS).claims
            registry = jwt.JWTClaimsRegistry(
                leeway=_LEEWAY_S,
                iss={"essential": True, "value": self.config.issuer},
                aud={"essential": True, "value": self.config.client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True},
            )
            registry.validate(claims)
        except (JoseError, ValueError) as error:
            raise LogInRefusedError(f"the ID token does not hold: {error}") from None
        if not secrets.compare_digest(str(claims["nonce"]).encode(), nonce.encode()):
            raise LogInRefusedError("the ID token does not hold: it is of another log-in (nonce)")
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != self.config.client_id:
            raise LogInRefusedError("the ID token does not hold: it was made for another client (azp)")
        if not isinstance(claims["sub"], str) or not 1 <= len(claims["sub"]) <= 255:
            raise LogInRefusedError("the ID token does not hold: its subject is none")
        return claims

    def _key_of(self, token: Any) -> Key:
        kid = token.headers().get("kid")
        key = _by_kid(self._key_set(), kid) or _by_kid(self._key_set(anew=True), kid)
        if key is None:
            raise LogInRefusedError(f"the ID token does not hold: the provider has no key {kid!r}")
        return key

    def _key_set(self, *, anew: bool = False) -> KeySet:
        with self._lock:
            old_enough = self.KEYS_ASKED_AGAIN_S if anew else self.REMEMBERED_S
            if self._keys is not None and monotonic() - self._keys[0] < old_enough:
                return self._keys[1]
        keys = self._get(self._description().jwks_uri)
        try:
            found = KeySet.import_key_set(keys)  # type: ignore[arg-type]
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise ProviderError(f"its keys cannot be read: {error}") from None
        with self._lock:
            self._keys = monotonic(), found
        return found

    def _description(self) -> _Discovered:
        with self._lock:
            if self._discovered is not None and monotonic() - self._discovered[0] < self.REMEMBERED_S:
                return self._discovered[1]
        said = self._get(f"{self.config.issuer.rstrip('/')}/.well-known/openid-configuration")
        try:
            found = _Discovered.model_validate(said)
        except ValidationError as error:
            raise ProviderError(f"its description lacks what we need: {error}") from None
        if found.issuer != self.config.issuer:
            raise ProviderError(f"it calls itself {found.issuer!r}, and not {self.config.issuer!r}")
        with self._lock:
            self._discovered = monotonic(), found
        return found

    def _get(self, url: str) -> dict[str, Any]:
        answer = self._http.get(url)
        answer.raise_for_status()
        return _object(answer)


def _basic(client_id: str, secret: str) -> str:
    """RFC 6749, 2.3.1: each is form-encoded before they are joined."""
    return f"Basic {base64.b64encode(f'{quote_plus(client_id)}:{quote_plus(secret)}'.encode()).decode()}"


def _by_kid(keys: KeySet, kid: object) -> Key | None:
    """The key of this name; the only one there is, where a token names none."""
    if kid is None:
        return keys.keys[0] if len(keys.keys) == 1 else None
    return next((key for key in keys.keys if key.kid == kid), None)


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        raise ProviderError(f"{answer.url.path} is not JSON") from None
    if not isinstance(body, dict):
        raise ProviderError(f"{answer.url.path} is no JSON object")
    return body
