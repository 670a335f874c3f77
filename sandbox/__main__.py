"""`python -m sandbox`: the stand-ins on their own. `python -m sandbox demo`: with a bot, to try everything."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sandbox.demo import entry
from sandbox.demo.stand import Stand

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def alone(
    context: typer.Context,
    discord_port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8081,
    cloudflare_port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8082,
    bot_port: Annotated[int, typer.Option(min=1, max=65535, help="Where the bot is told to listen.")] = 8080,
    render_seconds: Annotated[float, typer.Option(min=0, max=3600, help="How long a video takes.")] = 8.0,
    token: Annotated[str, typer.Option(help="The bot token that is accepted.")] = "sandbox-token",
    env_file: Annotated[Path | None, typer.Option(help="Also write the bot's settings to this file.")] = None,
) -> None:
    """Discord and Cloudflare on loopback, to try Cinecord with no account anywhere.

    Without a command: the stand-ins alone, for a bot that you start yourself.
    """
    if context.invoked_subcommand is not None:
        return
    stand = Stand(discord_port, cloudflare_port, render_seconds, token)
    raise typer.Exit(entry.alone(stand, bot_port, env_file))


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Ask nothing: generate, extend, edit, and end.")] = False,
    keep: Annotated[Path | None, typer.Option(help="Where videos stay (else ./demo-videos/<time>).")] = None,
    render_seconds: Annotated[
        float | None, typer.Option(min=0, max=3600, help="How long a video takes (3; with --once 0.5).")
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Show the bot's log.")] = False,
    picture: Annotated[Path | None, typer.Option(help="With --once: a PNG picture of the first result.")] = None,
) -> None:
    """Try the bot: type its commands, press its buttons. Without a terminal it does what --once does."""
    options = entry.Options(once=once, keep=keep, render_seconds=render_seconds, show_log=log, picture=picture)
    raise typer.Exit(entry.demo(options))


if __name__ == "__main__":
    # `cinecord demo` comes here too, and is the name that people know.
    app(prog_name="cinecord" if sys.argv[1:2] == ["demo"] else "python -m sandbox")
