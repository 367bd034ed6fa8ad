"""How many frames of SL 651-2014 stations a second are taken: in the inbox, committed, and acknowledged."""

from __future__ import annotations

import selectors
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from deploy.ports import any_free
from simulators.stations.frames import HEARTBEAT, read_acknowledgements
from simulators.stations.life import CHINA, Station, lives_from
from tests.benchmarks.figures import Figure, median
from tests.benchmarks.rig import Rig, rig, underfoot, wait_for

CONNECTIONS = 200
FRAMES = 300
WINDOW = 1
"""As real stations have it: the next frame goes when the last one is acknowledged."""
REPEATS = 3


def figures() -> list[Figure]:
    taken, echoed = [], []
    with rig(100) as made:
        for repeat in range(REPEATS):
            sent = _frames(repeat)
            echoed.append(_echo_rate(made, sent))
            taken.append(_taken_rate(made, sent))
    return [Figure("ingest.sl651_frames_per_s", median(taken), "frames/s", "tcp_echo", median(echoed))]


def _frames(repeat: int) -> list[list[bytes]]:
    """By station: what it sends, as real ones do, without heartbeats, which nobody answers."""
    began = lives_from(datetime.now(CHINA), FRAMES)
    stations = [Station(f"{1_000 * repeat + number:010d}", began, FRAMES, repeat) for number in range(CONNECTIONS)]
    lives = [[sent.data for sent in station.life() if sent.function != HEARTBEAT] for station in stations]
    return [life[:FRAMES] for life in lives]


@dataclass(eq=False)
class _Peer:
    socket: socket.socket
    frames: list[bytes]
    next: int = 0
    answered: int = 0
    came: bytes = b""


def _rate(port: int, sent: Sequence[list[bytes]], *, echoes: bool) -> float:
    """Frames answered a second, each connection sending when it has fewer than WINDOW unanswered."""
    selector = selectors.DefaultSelector()
    peers = [_Peer(socket.create_connection(("127.0.0.1", port), 10), frames) for frames in sent]
    for peer in peers:
        peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(peer.socket, selectors.EVENT_READ, peer)
    began = time.monotonic()
    for peer in peers:
        _send(peer)
    left = sum(len(frames) for frames in sent)
    frames = left
    while left:
        ready = selector.select(30)
        assert ready, f"{left} frames are not answered"
        for key, _ in ready:
            peer = key.data
            data = peer.socket.recv(65_536)
            assert data, "the server has closed a connection"
            before = peer.answered
            _count(peer, data, echoes=echoes)
            left -= peer.answered - before
            _send(peer)
    took = time.monotonic() - began
    for peer in peers:
        peer.socket.close()
    return frames / took


def _send(peer: _Peer) -> None:
    until = min(peer.answered + WINDOW, len(peer.frames))
    if until > peer.next:
        peer.socket.sendall(b"".join(peer.frames[peer.next : until]))
        peer.next = until


def _count(peer: _Peer, data: bytes, *, echoes: bool) -> None:
    peer.came += data
    if not echoes:
        answers, read = read_acknowledgements(peer.came)
        peer.answered += len(answers)
        peer.came = peer.came[read:]
        return
    while peer.answered < peer.next and len(peer.came) >= len(frame := peer.frames[peer.answered]):
        peer.answered += 1
        peer.came = peer.came[len(frame) :]


def _echo_rate(made: Rig, sent: Sequence[list[bytes]]) -> float:
    with made.run(sys.executable, "-m", "tests.benchmarks.echo", log="echo") as watched:
        assert watched.process.stdout is not None
        return _rate(int(watched.process.stdout.readline()), sent, echoes=True)


def _taken_rate(made: Rig, sent: Sequence[list[bytes]]) -> float:
    port = any_free()
    before = _posted(made)
    with made.run(underfoot(), "stations", log="stations", UNDERFOOT_STATIONS_PORT=str(port)):
        wait_for(lambda: _listens(port), 30, "stations listening")
        rate = _rate(port, sent, echoes=False)
    assert _posted(made) - before == sum(len(frames) for frames in sent)
    return rate


def _posted(made: Rig) -> int:
    return int(made.value("SELECT count(*) FROM inbox WHERE kind = 'message'"))


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return False
    return True
