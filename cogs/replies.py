"""The outermost edge of every command, button and form: each error becomes one private sentence, and a log line.

Order of precedence: a refusal says what it says; trouble of the bot's own is logged with its cause; Discord's "too
late" has nobody left to tell; anything else is a mistake in the program, logged with its traceback.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import discord
import structlog
from discord import app_commands

from bot.client import Cinecord
from bot.errors import CinecordError, Refused
from cogs.text import NO_PINGS

log = structlog.get_logger(__name__)

UNEXPECTED = (
    "Something went wrong on the bot's side, and the bot's operator has been told. Nothing was charged. "
    "Try again in a minute."
)
TOO_LATE = frozenset({10062, 10015, 50027})
"""Unknown interaction, unknown webhook, invalid webhook token: the interaction is over (Discord's docs, 2026-08)."""

Interaction = discord.Interaction[Cinecord]


@asynccontextmanager
async def edge(interaction: Interaction) -> AsyncGenerator[None]:
    """Tell the member and the log about whatever the block raises."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - an outermost edge
        await tell(interaction, error)


async def tell(interaction: Interaction, error: Exception) -> None:
    """One private sentence for the member; the cause for the log."""
    sentence = _judge(interaction, error)
    if sentence is None:
        return
    try:
        await say(interaction, sentence)
    except (discord.HTTPException, aiohttp.ClientError, OSError, RuntimeError) as failed:
        # RuntimeError: the session is closed, when the bot stops while somebody is being answered.
        log.warning("reply.failed", interaction=interaction.id, cause=str(failed))


def _judge(interaction: Interaction, error: Exception) -> str | None:
    if isinstance(error, app_commands.CommandInvokeError):
        error = error.original
    context = {"interaction": interaction.id, "guild": interaction.guild_id, "user": interaction.user.id}
    kind = type(error).__name__
    if isinstance(error, Refused):
        interaction.client.services.metrics.refused.labels(error=kind).inc()
        log.info("request.refused", **context, error=kind)
        return error.sentence
    if isinstance(error, CinecordError):
        log.error("request.failed", **context, error=kind, cause=error.cause)
        return error.sentence
    if isinstance(error, app_commands.AppCommandError):
        log.info("command.refused", **context, error=kind, cause=str(error))
        return "That command cannot be used like this. It may have changed: reload Discord and try again."
    if isinstance(error, discord.HTTPException) and error.code in TOO_LATE:
        log.warning("interaction.too_late", **context, cause=str(error))
        return None
    log.error("request.crashed", **context, exc_info=error)
    return UNEXPECTED


async def on_tree_error(interaction: Interaction, error: app_commands.AppCommandError) -> None:
    """What failed before a command's own code was reached, and autocompletion, which shows no errors."""
    if interaction.type is discord.InteractionType.autocomplete:
        _judge(interaction, error)
    else:
        await tell(interaction, error)


async def setup(bot: Cinecord) -> None:
    """Called by discord.py when the extension is loaded."""
    bot.tree.error(on_tree_error)


async def say(interaction: Interaction, sentence: str) -> None:
    """A private sentence, in whatever way this interaction can still be answered."""
    if not interaction.response.is_done():
        await interaction.response.send_message(sentence, ephemeral=True, allowed_mentions=NO_PINGS)
    elif interaction.response.type is discord.InteractionResponseType.deferred_channel_message:
        await interaction.edit_original_response(content=sentence, allowed_mentions=NO_PINGS)
    else:
        await interaction.followup.send(sentence, ephemeral=True, allowed_mentions=NO_PINGS)
