"""One way in for commands and forms: defer, check the place, take the wish in, answer, and post the status card."""

from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
import discord
import structlog

from bot.errors import CinecordError, NotAllowed
from bot.intake import Taken, Upload, Wish
from bot.store.records import Job
from cogs import text
from cogs.cards import status_card
from cogs.replies import Interaction

log = structlog.get_logger(__name__)

NEEDED = discord.Permissions(view_channel=True, send_messages=True, attach_files=True, read_message_history=True)
NAMES = {
    "view_channel": "View Channel",
    "send_messages": "Send Messages",
    "attach_files": "Attach Files",
    "read_message_history": "Read Message History",
}
IN_THREAD = {"send_messages_in_threads": "Send Messages in Threads"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request comes from: what every wish starts with."""

    guild_id: int
    channel_id: int
    user_id: int
    upload_limit: int


def upload(attachment: discord.Attachment) -> Upload:
    """An attachment as the intake knows it."""
    return Upload(url=attachment.url, name=attachment.filename, size=attachment.size)


async def take(interaction: Interaction, make: Callable[[Place], Wish]) -> Taken:
    """Answer within Discord's 3 seconds, then put the wish that `make` builds in line, and post its card.

    Raises:
        Refused, and whatever else `Intake.take` raises: for `cogs.replies.edge`.
    """
    if not interaction.response.is_done():
        await interaction.response.defer(ephemeral=True, thinking=True)
    services = interaction.client.services
    taken = await services.intake.take(make(_place(interaction)))
    job = taken.job
    if taken.duplicate:
        await interaction.edit_original_response(
            content="This form was sent before: its request was taken once, and costs once."
        )
        return taken
    services.metrics.accepted.labels(operation=job.operation.value).inc()
    log.info("job.accepted", **job.log_context, price=job.price)
    # First of all, so that the card can say at once that the video is being made, if nothing else is in line.
    interaction.client.dispatch("job_waiting")
    try:
        await _answer(interaction, taken)
    except (discord.HTTPException, aiohttp.ClientError, OSError, CinecordError) as error:
        # The job is in line and will be posted; a missing card is no reason to say otherwise.
        log.warning("card.failed", **job.log_context, cause=str(error))
    return taken


def _place(interaction: Interaction) -> Place:
    guild, channel = interaction.guild, interaction.channel
    if guild is None or interaction.guild_id is None or interaction.channel_id is None:
        raise NotAllowed("Videos are made in a server's channels, not in direct messages.")
    missing = [name for flag, name in NAMES.items() if not getattr(interaction.app_permissions, flag)]
    if isinstance(channel, discord.Thread):
        missing = [name for name in missing if name != NAMES["send_messages"]]
        missing += [name for flag, name in IN_THREAD.items() if not getattr(interaction.app_permissions, flag)]
    if missing:
        raise NotAllowed(
            f"I could not post the video in this channel: I lack {', '.join(missing)} here. "
            "Ask a moderator, or use another channel."
        )
    # Discord's figure in the interaction is known to be too high at times; the server's own is the safe one.
    limit = min(interaction.filesize_limit or guild.filesize_limit, guild.filesize_limit)
    return Place(interaction.guild_id, interaction.channel_id, interaction.user.id, limit)


async def _answer(interaction: Interaction, taken: Taken) -> None:
    services, job = interaction.client.services, taken.job
    sentences = [f"Taken: {text.dollars(job.price)} is set aside for it. The video will be posted here.", *taken.notes]
    await interaction.edit_original_response(content=" ".join(sentences), allowed_mentions=text.NO_PINGS)
    shown, place = await _standing(interaction, job)
    if shown.state.over:
        return  # so quickly that its end is told already
    if shown.state.over:
        return  # over already, and the dispatcher has said how
    card = await interaction.followup.send(
        view=status_card(shown, place=place), allowed_mentions=text.NO_PINGS, wait=True
    )
    now = await services.jobs.set_card(job.id, card.id)
    if now is not None and now.state is not shown.state:
        # It was claimed, or even done, while the card was on its way.
        interaction.client.dispatch("job_changed", now)


async def _standing(interaction: Interaction, job: Job) -> tuple[Job, int | None]:
    """The job as it is by now, and its place in line if it waits."""
    now, line = await interaction.client.services.jobs.standing(job)
    places = [waiting.id for waiting in line]
    return now, places.index(job.id) + 1 if job.id in places else None
