"""A receiver that takes what it is sent, at once; what it counted is printed when it is told to end."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time

_ANSWER = b'{"code":0}'
_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_ANSWER), _ANSWER)


async def serve(port: int) -> None:
    taken: list[float] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.partition(b":")[2])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                )
                await reader.readexactly(length)
                taken.append(time.time())
                writer.write(_REPLY)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    server = await asyncio.start_server(take, "127.0.0.1", port)
    await over.wait()
    server.close()
    print(json.dumps({"taken": len(taken), "first": min(taken, default=0), "last": max(taken, default=0)}), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
