"""Receivers on the loopback that deliveries are sent to: an HTTP server that does as it is told, and one for mail."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    raw: bytes
    at: float

    @property
    def body(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.raw)
        return parsed

    @property
    def push_id(self) -> str:
        return self.headers["x-push-id"]


@dataclass(frozen=True)
class Reply:
    """`drop`: take the request and hang up without an answer. `drip_s`: wait so long between two of its bytes."""

    status: int = 200
    body: bytes | dict[str, Any] = b""
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    drip_s: float | None = None

    @property
    def payload(self) -> bytes:
        return json.dumps(self.body, ensure_ascii=False).encode() if isinstance(self.body, dict) else self.body


OK = Reply(body={"code": 0, "message": "ok", "data": {"platform_no": "A1"}})
Behaviour = Callable[[Request], Reply]


class Receiver:
    """Keeps every request; answers by `behaviour`, which a test may change at any time."""

    def __init__(self, behaviour: Behaviour | None = None, *, port: int = 0) -> None:
        self.behaviour: Behaviour = behaviour or (lambda request: OK)
        self.requests: list[Request] = []
        self.under_way = 0
        self.most_under_way = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/events"

    @property
    def push_ids(self) -> list[str]:
        return [request.push_id for request in list(self.requests)]

    def answer(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return self.behaviour(request)
        finally:
            with self._lock:
                self.under_way -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that was killed or timed out hangs up in the middle; that is what these tests are about."""


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = receiver.answer(Request(self.path, headers, raw, time.monotonic()))
            if reply.drop:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            lines = [f"HTTP/1.1 {reply.status} Said", f"Content-Length: {len(reply.payload)}"]
            lines += [f"{name}: {value}" for name, value in reply.headers.items()]
            answer = "\r\n".join([*lines, "", ""]).encode() + reply.payload
            if reply.drip_s is None:
                self.wfile.write(answer)
                return
            for byte in answer:
                self.wfile.write(bytes([byte]))
                time.sleep(reply.drip_s)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Quiet."""

    return Handler


def certificate_for_localhost(folder: Path) -> Path:
    """A certificate with its key, in one file."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    return both


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """The URL of a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/events"


@dataclass
class Mail:
    sender: str
    recipients: list[str]
    data: bytes


@dataclass
class MailServer:
    """An SMTP server that does as it is told: each answer can be another one."""

    greeting: str = "220 mail.example ESMTP"
    rcpt: Callable[[str], str] = lambda to: "250 ok"
    data_end: str | None = "250 queued"
    """None: hang up when the mail has been taken, without an answer."""
    auth: str = "235 welcome"
    tls: ssl.SSLContext | None = None
    offers: tuple[str, ...] = ("STARTTLS", "AUTH PLAIN LOGIN", "8BITMIME")
    drip_s: float | None = None
    mails: list[Mail] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    def __enter__(self) -> MailServer:
        self._server = _MailServer(("127.0.0.1", 0), _mail_handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])


class _MailServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that times out hangs up in the middle."""


def _mail_handler(server: MailServer) -> type[socketserver.BaseRequestHandler]:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.sock: socket.socket = self.request
            self.file = self.sock.makefile("rb")
            mail = Mail("", [], b"")
            self.say(server.greeting)
            while line := self.file.readline():
                word = line.split(b" ")[0].strip().upper().decode()
                rest = line.decode().strip()
                if word in ("EHLO", "HELO"):
                    self.say("250-mail.example")
                    offers = [
                        offer
                        for offer in server.offers
                        if offer != "STARTTLS" or not isinstance(self.sock, ssl.SSLSocket)
                    ]
                    for offer in offers:
                        self.say(f"250-{offer}")
                    self.say("250 hello")
                elif word == "STARTTLS" and server.tls is not None:
                    self.say("220 go ahead")
                    self.sock = server.tls.wrap_socket(self.sock, server_side=True)
                    self.file = self.sock.makefile("rb")
                elif word == "AUTH":
                    self.say(server.auth)
                elif word == "MAIL":
                    mail = Mail(rest.split("<")[1].split(">")[0], [], b"")
                    self.say("250 ok")
                elif word == "RCPT":
                    to = rest.split("<")[1].split(">")[0]
                    answer = server.rcpt(to)
                    if answer.startswith("2"):
                        mail.recipients.append(to)
                    self.say(answer)
                elif word == "DATA":
                    self.say("354 go on")
                    while (part := self.file.readline()) not in (b".\r\n", b""):
                        mail.data += part
                    if server.data_end is None or server.data_end.startswith("2"):
                        server.mails.append(mail)
                        server.encrypted.append(isinstance(self.sock, ssl.SSLSocket))
                    if server.data_end is None:
                        self.sock.shutdown(socket.SHUT_RDWR)
                        return
                    self.say(server.data_end)
                elif word == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

        def finish(self) -> None:
            self.file.close()
            self.sock.close()

        def say(self, line: str) -> None:
            answer = f"{line}\r\n".encode()
            if server.drip_s is None:
                self.sock.sendall(answer)
                return
            for byte in answer:
                self.sock.sendall(bytes([byte]))
                time.sleep(server.drip_s)

    return Handler
