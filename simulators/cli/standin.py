"""`underfoot standin`: the stand-in for the city's platform and its crews' robots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from simulators.cli.terminal import Seed, out, plain_errors
from simulators.platform.access import Access, Parameters, Sealed
from simulators.platform.app import PlatformSettings
from simulators.platform.course import load_course, shipped_courses
from simulators.platform.serve import serve

commands = typer.Typer()


@commands.command()
def standin(
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
    app_secret: Annotated[
        str | None, typer.Option(help="Ask for signed parameters of appKey `underfoot`, made with this secret.")
    ] = None,
    algorithm: Annotated[
        Literal["md5", "hmac-sha256", "hmac-sm3"], typer.Option(help="Of signed parameters.")
    ] = "hmac-sha256",
    sm4_key: Annotated[
        str | None, typer.Option(help="Ask for bodies encrypted with this SM4 key (32 hexadecimal digits), ECB.")
    ] = None,
    sm2_key: Annotated[
        str | None,
        typer.Option(help="… and signed with SM2, by the owner of this public key (128 hexadecimal digits)."),
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
    order, and shows what came at /records, /violations and /stats. By a course its people carry the cases at /cases
    along, and it calls back. It can be told to misbehave at /behaviour; /docs describes all of it.
    """
    with plain_errors():
        access = Access(token, gateway_token, signed=_signed(app_secret, algorithm, sm4_key, sm2_key))
        settings = PlatformSettings(record, access, robot_per_minute, seed, load_course(course))
        serve(
            settings,
            host,
            port,
            lambda url: out.print(f"一网统管 stand-in: {url}/events   {url}/docs", highlight=False),
        )


def _signed(
    app_secret: str | None,
    algorithm: Literal["md5", "hmac-sha256", "hmac-sm3"],
    sm4_key: str | None,
    sm2_key: str | None,
) -> Parameters | Sealed | None:
    if (sm4_key is None) != (sm2_key is None):
        raise typer.BadParameter("--sm4-key and --sm2-key belong together")
    if sm4_key is not None and sm2_key is not None:
        if app_secret is not None:
            raise typer.BadParameter("--app-secret and --sm4-key: one way to sign is possible")
        return Sealed(_key("--sm4-key", sm4_key, 16), _key("--sm2-key", sm2_key, 64))
    return None if app_secret is None else Parameters({"underfoot": app_secret}, algorithm)


def _key(option: str, text: str, length: int) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != length:
        raise typer.BadParameter(f"{option}: {2 * length} hexadecimal digits are needed")
    return key
