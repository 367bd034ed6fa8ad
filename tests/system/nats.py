"""Three NATS servers as one MQTT broker: QoS 1 is in three stores before it is acknowledged. Any of them may be killed.

NATS speaks MQTT 3.1.1 on a listener of its own. This is the configuration of docs/operations.md, on free ports.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.system.city import until
from tests.system.installation import free_port

ACK_WAIT_S = 5
"""Short, so that a test need not wait a minute for what was delivered and not acknowledged. Longer than its faults."""

_PROGRAM = str(Path(sys.executable).with_name("nats-server"))
_NAMES = ("a", "b", "c")
_CONFIGURATION = """
server_name: {name}
listen: "127.0.0.1:{client}"
http: "127.0.0.1:{http}"
pid_file: "{folder}/pid"
max_payload: 1MB
jetstream {{
  store_dir: "{folder}/store"
  sync_interval: "{sync}"
}}
cluster {{
  name: underfoot
  listen: "127.0.0.1:{cluster}"
  routes: [{routes}]
}}
mqtt {{
  listen: "127.0.0.1:{mqtt}"
  stream_replicas: 3
  ack_wait: "{ack_wait_s}s"
  max_ack_pending: 10000
  reject_qos2_publish: true
}}
"""


class Node:
    """One server. It keeps its store and its ports over a kill."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.ports = {use: free_port() for use in ("client", "http", "cluster", "mqtt")}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports['mqtt']}"

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [_PROGRAM, "-c", str(self.folder / "nats.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        if number != signal.SIGSTOP and number != signal.SIGCONT:
            self.process.wait(20)

    def ask(self, path: str, **params: Any) -> dict[str, Any]:
        answer = httpx.get(f"http://127.0.0.1:{self.ports['http']}/{path}", params=params, timeout=5)
        found: dict[str, Any] = answer.json()
        return found

    def healthy(self) -> bool:
        """In step with the others, all of its streams and consumers."""
        try:
            return self.ask("healthz").get("status") == "ok"
        except httpx.TransportError:
            return False

    def serves(self, client_id: str) -> bool:
        """Whether this MQTT client is connected here."""
        return bool(self.ask("connz", mqtt_client=client_id)["connections"])


class Cluster:
    """The three of them, and what an MQTT client has to know of them: one URL with three hosts."""

    def __init__(self, folder: Path, sync: str) -> None:
        self.nodes = [Node(name, folder / f"nats-{name}") for name in _NAMES]
        routes = ", ".join(f'"nats-route://127.0.0.1:{node.ports["cluster"]}"' for node in self.nodes)
        for node in self.nodes:
            node.folder.mkdir()
            text = _CONFIGURATION.format(
                name=node.name, folder=node.folder, routes=routes, sync=sync, ack_wait_s=ACK_WAIT_S, **node.ports
            )
            (node.folder / "nats.conf").write_text(text, encoding="utf-8")

    @property
    def url(self) -> str:
        return "mqtt://" + ",".join(node.address for node in self.nodes)

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        self.whole()

    def whole(self, seconds: float = 150) -> None:
        """Wait until every node is in step."""
        until(lambda: all(node.healthy() for node in self.nodes), "cluster whose nodes are all in step", seconds)

    def node_of(self, client_id: str) -> Node:
        """The node which that MQTT client is connected to."""
        found: list[Node] = until(
            lambda: [node for node in self.nodes if node.running and node.serves(client_id)], f"node of {client_id}"
        )
        return found[0]

    def end(self) -> None:
        for node in self.nodes:
            if node.running:
                node.signal(signal.SIGKILL)


@contextmanager
def nats_cluster(folder: Path, *, sync: str = "2m") -> Iterator[Cluster]:
    """Three nodes with their stores in `folder`; none of them is left at the end."""
    cluster = Cluster(folder, sync)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()
