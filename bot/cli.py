"""The command line: cinecord demo, run, check, migrate."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from itertools import chain, repeat
from pathlib import Path
from typing import Annotated

import aiohttp
import discord
import structlog
import typer

from bot import log as logs
from bot.client import Cinecord, use_api
from bot.config import Settings, StorageKind
from bot.errors import CinecordError, ConfigError
from bot.services import Services, open_services
from bot.store.database import Database
from bot.store.migrate import upgrade

log = structlog.get_logger(__name__)

app = typer.Typer(
    help="A Discord bot that turns prompts and pictures into video.", no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False,
)  # fmt: skip
Config = Annotated[Path | None, typer.Option("--config", "-c", help="The settings file (else ./config.toml).")]

LOGIN_PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


@app.command()
def run(config: Config = None) -> None:
    """Run the bot until it is told to stop."""
    settings = _settings(config)
    _exit_with(asyncio.run(_run(settings)))


@app.command()
def migrate(config: Config = None) -> None:
    """Bring the database up to date. `run` does this too."""
    settings = _settings(config)

    async def work() -> None:
        database = Database(settings.database.url)
        try:
            changed = await upgrade(database)
        finally:
            await database.close()
        typer.echo("The database was brought up to date." if changed else "The database is up to date.")

    _exit_with(_told(work))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def demo(context: typer.Context) -> None:
    """Try everything on this machine, with no account: a stand-in for Discord and Cloudflare, and the bot."""
    # Another process, not an import: the stand-ins and the bot must not share code.
    os.execv(sys.executable, [sys.executable, "-m", "sandbox", "demo", *context.args])  # noqa: S606


@app.command()
def check(config: Config = None) -> None:
    """Look at the settings and what they lead to, and say what to do about each trouble."""
    from bot.check import run_checks  # noqa: PLC0415 - only this command needs it

    settings = _settings(config)
    _exit_with(asyncio.run(run_checks(settings, typer.echo)))


def main() -> None:
    """The entry point of the `cinecord` script and of `python -m bot`."""
    app(prog_name="cinecord")


def _settings(config: Path | None) -> Settings:
    try:
        settings = Settings.load(config)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    logs.configure(settings.log)
    return settings


def _told(work: Callable[[], Awaitable[None]]) -> int:
    async def attempt() -> int:
        try:
            await work()
        except CinecordError as error:
            typer.echo(error.cause, err=True)
            return 1
        return 0

    return asyncio.run(attempt())


def _exit_with(code: int) -> None:
    raise typer.Exit(code)


async def _run(settings: Settings) -> int:
    use_api(settings.discord.api_url)
    try:
        services = await open_services(settings)
    except CinecordError as error:
        log.error("start.failed", cause=error.cause)
        return 1
    try:
        return await _serve(settings, services)
    finally:
        await services.aclose()


async def _serve(settings: Settings, services: Services) -> int:
    if settings.storage.kind is StorageKind.FOLDER and settings.http.public_url is None:
        log.warning("start.no_upload_url", cause="the model may need a place to upload to: run `cinecord check`")
    bot = Cinecord(services)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # What is loaded by now stays: walking over all of it took the collector 100 ms at a time, and every answer waited.
    gc.collect()
    gc.freeze()
    connected = asyncio.create_task(_connect(bot, settings.discord.token.get_secret_value()))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({connected, stopped}, return_when=asyncio.FIRST_COMPLETED)
    log.info("stop.begun")
    await bot.close()
    stopped.cancel()
    code = 0
    if not connected.cancel():
        code = await connected
    log.info("stop.done")
    return code


async def _connect(bot: Cinecord, token: str) -> int:
    """Stay connected until the bot is closed. An outage of Discord at the start is waited out, too."""
    for pause in chain(LOGIN_PAUSES, repeat(LOGIN_PAUSES[-1])):
        try:
            await bot.start(token)
        except discord.LoginFailure:
            log.error("discord.token_refused", cause="Discord does not know discord.token: copy it again")
            return 1
        except (discord.DiscordServerError, discord.GatewayNotFound, aiohttp.ClientError, OSError) as error:
            log.warning("discord.unreachable", cause=str(error) or type(error).__name__, seconds=pause)
            await asyncio.sleep(pause)
        except discord.DiscordException as error:
            log.error("discord.start_failed", cause=str(error))
            return 1
        else:
            break
    return 0
