"""`underfoot platform`: the stand-in for the city's platform and its crews' robots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simulators.cli.terminal import Seed, out, plain_errors
from simulators.platform.access import Access
from simulators.platform.app import PlatformSettings
from simulators.platform.course import load_course, shipped_courses
from simulators.platform.serve import serve

commands = typer.Typer()


@commands.command()
def platform(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0: any free one.")] = 58090,
    record: Annotated[
        Path | None,
        typer.Option(help="Append everything that comes to this file (JSONL); started again on it, it goes on."),
    ] = None,
    token: Annotated[str | None, typer.Option(help="Ask for this bearer token.")] = None,
    gateway_token: Annotated[
        str | None, typer.Option(help="Ask for x-tif-* or x-rio-* signatures made with this token.")
    ] = None,
    robot_per_minute: Annotated[
        int, typer.Option(min=0, help="Messages a minute that each robot takes; 0: no limit.")
    ] = 20,
    course: Annotated[
        str, typer.Option(help=f"How its cases go: {', '.join(shipped_courses())}, or a YAML file of your own.")
    ] = "none",
    seed: Seed = 1,
) -> None:
    """Stand in for a city's 一网统管 platform and for its crews' WeCom robots.

    It takes events at /events and messages at /cgi-bin/webhook/send?key=…, checks that each event comes once and in
    order, and shows what came at /records, /violations and /stats. By a course its people carry the cases at /cases along,
    and it calls back. It can be told to misbehave at /behaviour; /docs describes all of it.
    """
    with plain_errors():
        settings = PlatformSettings(record, Access(token, gateway_token), robot_per_minute, seed, load_course(course))
        serve(
            settings,
            host,
            port,
            lambda url: out.print(f"一网统管 stand-in: {url}/events   {url}/docs", highlight=False),
        )
