"""The reference: a TCP server that sends back what it gets, in one thread.

`python -m tests.benchmarks.echo` prints its port and runs until it is ended.
"""

from __future__ import annotations

import selectors
import socket


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    print(listener.getsockname()[1], flush=True)  # noqa: T201
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                connected, _ = listener.accept()
                selector.register(connected, selectors.EVENT_READ, connected)
                continue
            data = key.data.recv(8192)
            if data:
                key.data.sendall(data)
            else:
                selector.unregister(key.data)
                key.data.close()


if __name__ == "__main__":
    main()
