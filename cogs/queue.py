"""The waiting line as people see it: the Cancel button of a status card."""

import structlog
from discord.ext import commands

from bot.client import Cinecord
from bot.errors import Gone, NotAllowed
from bot.store.records import Job, State
from cogs.buttons import CancelButton
from cogs.cards import cancelled_card
from cogs.replies import Interaction, edge
from cogs.text import NO_PINGS

log = structlog.get_logger(__name__)

TOO_LATE = {
    State.SUBMITTED: "It is too late to cancel: the video is being made, and is paid for.",
    State.RENDERED: "It is too late to cancel: the video is made, and is being posted.",
    State.POSTED: "It is too late to cancel: the video is posted.",
    State.CANCELLED: "This request is cancelled already. Nothing was charged.",
}


class Queue(commands.Cog):
    """Leaving the line."""

    def __init__(self, bot: Cinecord) -> None:
        self.bot = bot

    async def cog_load(self) -> None:
        """Let presses on cards of earlier processes find their way here."""
        self.bot.add_dynamic_items(CancelButton)

    async def cog_unload(self) -> None:
        """Undo `cog_load`."""
        self.bot.remove_dynamic_items(CancelButton)

    @commands.Cog.listener()
    async def on_cancel_button(self, interaction: Interaction, job_id: str) -> None:
        """Cancel was pressed on a card."""
        async with edge(interaction):
            await interaction.response.defer()
            job = await self._cancel(interaction, job_id)
            await interaction.edit_original_response(
                view=cancelled_card(job, interaction.user.id), allowed_mentions=NO_PINGS
            )

    async def _cancel(self, interaction: Interaction, job_id: str) -> Job:
        services = self.bot.services
        job = await services.jobs.get(job_id)
        if job is None or job.guild_id != interaction.guild_id:
            raise Gone("That request is not there any more.")
        if interaction.user.id != job.user_id and not interaction.permissions.manage_messages:
            raise NotAllowed("Only the member who asked for this video, or a moderator, can cancel it.")
        cancelled = await services.jobs.cancel(job_id)
        if cancelled is None:
            now = await services.jobs.get(job_id)
            state = now.state if now else State.CANCELLED
            raise NotAllowed(TOO_LATE.get(state, "This request is over already."))
        await services.files.release(job_id)
        log.info("job.cancelled", **job.log_context, by=interaction.user.id)
        services.metrics.jobs.labels(state=State.CANCELLED.value).inc()
        self.bot.dispatch("line_moved", job.guild_id)
        return cancelled


async def setup(bot: Cinecord) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Queue(bot))
