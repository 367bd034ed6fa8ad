"""A small OpenID provider, honest in the protocol: discovery, keys, authorization with PKCE, token; over real HTTP with
real signatures. Somebody is always logged in there (`claims`); `spoil` changes what it says before it signs it."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

CLIENT_ID, CLIENT_SECRET = "underfoot", "s3cret of the client: %+"

Spoil = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class Provider:
    url: str = ""
    claims: dict[str, Any] = field(default_factory=lambda: {"sub": "248289761001"})
    algorithm: str = "RS256"
    key: RSAKey | ECKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "rsa-1"}))
    published: list[RSAKey | ECKey] = field(default_factory=list)
    signed_with: RSAKey | ECKey | None = None
    header: dict[str, Any] = field(default_factory=dict)
    spoil: Spoil = field(default=lambda claims: claims)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked_for_keys: int = 0

    def __post_init__(self) -> None:
        self.published = self.published or [self.key]

    def turn_to(self, key: RSAKey | ECKey, algorithm: str) -> None:
        """A new key in place of the old one."""
        self.key, self.algorithm, self.published = key, algorithm, [key]

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def keys(self) -> dict[str, Any]:
        self.asked_for_keys += 1
        return dict(KeySet(self.published).as_dict(private=False))  # type: ignore[arg-type]

    def authorize(self, asked: dict[str, str]) -> str:
        """Where the browser is sent back to. It logs in and agrees at once."""
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if (unquote_plus(user), unquote_plus(password)) != (CLIENT_ID, CLIENT_SECRET):
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form["code"], None)
        verifier = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        if asked is None or asked["redirect_uri"] != form["redirect_uri"] or asked["code_challenge"] != challenge:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **self.claims,
        }
        key = self.signed_with or self.key
        header = {"alg": self.algorithm, "kid": key.kid, **self.header}
        token = jwt.encode(header, self.spoil(claims), key, algorithms=[self.algorithm])
        return 200, {"access_token": "of no use to us", "token_type": "Bearer", "id_token": token}


@contextmanager
def provider(**given: Any) -> Iterator[Provider]:
    running = Provider(**given)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self.send_response(302)
                self.send_header("Location", running.authorize(asked))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            known = {"/.well-known/openid-configuration": running.discovery, "/keys": running.keys}
            found = known.get(parts.path)
            self._json(200 if found else 404, found() if found else {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self._json(*running.token(form, self.headers.get("Authorization", "")))

        def _json(self, status: int, value: dict[str, Any]) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its parent's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        running.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield running
        finally:
            server.shutdown()
            thread.join()
