"""`underfoot links …`: the secret that signs the links in messages."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from underfoot.links import LASTS, rotate
from underfoot.terminal import actor, connect_migrated

out = Console()

commands = typer.Typer()
links = typer.Typer(no_args_is_help=True, help="The links in messages (消息链接): the secret that signs them.")
commands.add_typer(links, name="links")


@links.command("rotate")
def links_rotate(
    void: Annotated[
        bool, typer.Option("--void", help="The old secret is known to others: no link that is out opens any more.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Sign links with a new secret from now on. Those that are out stay good until they run out, unless --void."""
    with connect_migrated("links") as connection:
        number = rotate(connection, actor=actor(), voids_older=void)
    if as_json:
        typer.echo(json.dumps({"secret": number, "void": void}))
    elif void:
        out.print(f"Secret {number} signs from now on; no link that is out opens any more.", highlight=False)
    else:
        out.print(
            f"Secret {number} signs from now on; links that are out stay good for {LASTS.days} days at most.",
            highlight=False,
        )
