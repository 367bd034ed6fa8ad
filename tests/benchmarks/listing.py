"""A platform that lists its cases, page by page, as fast as it is asked; made up from their numbers."""

from __future__ import annotations

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit


def page(after: int, limit: int, count: int, differs: int) -> bytes:
    """Cases of numbers above `after`; one in `differs` is further than we know."""
    numbers = range(after + 1, min(after + limit, count) + 1)
    cases = [
        {
            "event_id": f"{number}-1",
            "platform_no": f"SJ{number:09d}",
            "case_status": "handling" if number % differs == 0 else "accepted",
            "disposal_time": "2026-07-01 12:00:00",
            "disposal_operator": "值班员",
            "disposal_result": "处置中",
            "supervised": False,
            "rework_count": 0,
        }
        for number in numbers
    ]
    following = cases[-1]["platform_no"] if len(cases) == limit else None
    return json.dumps({"code": 0, "message": "success", "data": {"cases": cases, "next": following}}).encode()


async def serve(port: int, count: int, differs: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                query = parse_qs(urlsplit(head.split(b" ")[1].decode()).query)
                after = int(query.get("after", ["SJ0"])[0].removeprefix("SJ"))
                body = page(after, int(query["limit"][0]), count, differs)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                )
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(*map(int, sys.argv[1:])))
