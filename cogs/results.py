"""The buttons of a posted video: Extend, Edit, Retry, Details, Delete; and the forms that the first three open."""

import asyncio
import tempfile
from pathlib import Path

import aiohttp
import discord
import structlog
from discord import ui
from discord.ext import commands

from bot.client import Cinecord
from bot.errors import Gone, NotAllowed
from bot.intake import Wish
from bot.model import Operation, can_edit, can_extend
from bot.store.records import Job, Video
from cogs import text
from cogs.buttons import VideoButton
from cogs.forms import Sent, form, read
from cogs.replies import Interaction, edge
from cogs.sources import find_video, may_see
from cogs.taking import Place, take

log = structlog.get_logger(__name__)

GONE = "That video is deleted."
DELETED = "The video is deleted, here and where the bot kept it."
MESSAGE_LEFT = "The video is deleted where the bot kept it, but I could not remove this message. Ask a moderator to."
PROMPT_IN_DETAILS = 1000
"""Discord: all text of a Components V2 message together has at most 4000 characters, and escaping may double these."""
ANCESTORS = 3
ELSEWHERE = "These buttons work only in the server. I sent the video to you because I could not post it there."
STRIP_SECONDS = 30.0


class Results(commands.Cog):
    """What the buttons do."""

    def __init__(self, bot: Cinecord) -> None:
        self.bot = bot

    async def cog_load(self) -> None:
        """Let presses on messages of earlier processes find their way here."""
        self.bot.add_dynamic_items(VideoButton)

    async def cog_unload(self) -> None:
        """Undo `cog_load`."""
        self.bot.remove_dynamic_items(VideoButton)

    @commands.Cog.listener()
    async def on_video_button(self, interaction: Interaction, action: str, video_id: str) -> None:
        """One of the five buttons was pressed."""
        async with edge(interaction):
            if interaction.guild_id is None:
                raise NotAllowed(ELSEWHERE)
            match action:
                case "retry":
                    await self._open_retry(interaction, video_id)
                case "extend" | "edit":
                    await self._open_next(interaction, action, video_id)
                case "details":
                    await self._details(interaction, video_id)
                case _:
                    await self._delete(interaction, video_id)

    @commands.Cog.listener()
    async def on_interaction(self, interaction: Interaction) -> None:
        """A form came back."""
        sent = read(interaction)
        if sent is None:
            return
        async with edge(interaction):
            await interaction.response.defer(ephemeral=True, thinking=True)
            if sent.action == "retry":
                await self._retry(interaction, sent)
            else:
                await self._next(interaction, sent)

    # --- Extend and Edit

    async def _open_next(self, interaction: Interaction, action: str, video_id: str) -> None:
        video = await self._video(interaction, video_id)
        reason = can_extend(video.seconds) if action == "extend" else can_edit(video.seconds)
        if reason is not None:
            # The button is disabled then; a press on it is forged, or older than the rule.
            raise NotAllowed(reason)
        await interaction.response.send_modal(form(action, video_id, video.prompt, opened_by=interaction.id))

    async def _next(self, interaction: Interaction, sent: Sent) -> None:
        video = await self._video(interaction, sent.video_id)
        operation = Operation.EXTEND if sent.action == "extend" else Operation.EDIT

        def wish(place: Place) -> Wish:
            return Wish(
                guild_id=place.guild_id,
                channel_id=place.channel_id,
                user_id=place.user_id,
                upload_limit=place.upload_limit,
                request_key=sent.key,
                operation=operation,
                prompt=sent.prompt or video.prompt,
                duration=sent.duration,
                source=video,
            )

        await take(interaction, wish)

    # --- Retry

    async def _open_retry(self, interaction: Interaction, job_id: str) -> None:
        job = await self._job(interaction, job_id)
        await interaction.response.send_modal(form("retry", job_id, job.request.prompt, opened_by=interaction.id))

    async def _retry(self, interaction: Interaction, sent: Sent) -> None:
        job = await self._job(interaction, sent.video_id)

        def wish(place: Place) -> Wish:
            return Wish(
                guild_id=place.guild_id,
                channel_id=place.channel_id,
                user_id=place.user_id,
                upload_limit=place.upload_limit,
                request_key=sent.key,
                operation=job.operation,
                prompt=sent.prompt or job.request.prompt,
                again=job,
            )

        await take(interaction, wish)

    # --- Details

    async def _details(self, interaction: Interaction, video_id: str) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        video = await self.bot.services.library.measured(await self._video(interaction, video_id))
        job = await self._job(interaction, video_id)
        ancestors = await self.bot.services.videos.lineage(video)
        with tempfile.TemporaryDirectory() as folder:
            files = await self._attachments(video, Path(folder))
            lineage = _lineage_lines(ancestors, {other.id for other in ancestors if may_see(interaction, other)})
            view = _details_view(_details_lines(job, video), lineage, files)
            await interaction.edit_original_response(
                view=view, attachments=[discord.File(path) for path in files], allowed_mentions=text.NO_PINGS
            )

    async def _attachments(self, video: Video, folder: Path) -> list[Path]:
        files: list[Path] = []
        strip = await self.bot.services.library.filmstrip(video, folder / "filmstrip.jpg")
        if strip is not None:
            files.append(strip)
        if len(video.prompt) > PROMPT_IN_DETAILS:
            files.append(folder / "prompt.txt")
            await asyncio.to_thread(files[-1].write_text, video.prompt, "utf-8")
        return files

    # --- Delete

    async def _delete(self, interaction: Interaction, video_id: str) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        video = await self._video(interaction, video_id)
        if interaction.user.id != video.user_id and not interaction.permissions.manage_messages:
            raise NotAllowed("Only the member who asked for this video, or a moderator, can delete it.")
        services = self.bot.services
        # The files first: if the storage is out of reach, nothing is half done, and the button can be pressed again.
        await services.storage.delete(video.key)
        await services.files.release(video.id)
        if not await services.videos.mark_deleted(video.id):
            raise Gone(GONE)
        log.info("video.deleted", video=video.id, guild=video.guild_id, by=interaction.user.id)
        left = interaction.message is not None and not await _delete_message(interaction.message)
        await interaction.edit_original_response(content=MESSAGE_LEFT if left else DELETED)

    # --- looking up

    async def _video(self, interaction: Interaction, video_id: str) -> Video:
        video = await find_video(interaction, video_id)
        if video is None:
            raise Gone(GONE)
        return video

    async def _job(self, interaction: Interaction, job_id: str) -> Job:
        job = await self.bot.services.jobs.get(job_id)
        # An id from another server finds nothing here.
        if job is None or job.guild_id != interaction.guild_id:
            raise Gone("That request is not there any more.")
        return job


async def _delete_message(message: discord.Message) -> bool:
    """Whether the message is gone."""
    try:
        await message.delete()
    except discord.NotFound:
        return True
    except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
        log.warning("video.message_kept", message=message.id, cause=str(error))
        return False
    return True


def _details_view(details: list[str], lineage: list[str], files: list[Path]) -> ui.LayoutView:
    view = ui.LayoutView(timeout=None)
    view.add_item(ui.TextDisplay("\n".join(details)))
    names = [path.name for path in files]
    if "filmstrip.jpg" in names:
        view.add_item(ui.MediaGallery(discord.MediaGalleryItem("attachment://filmstrip.jpg")))
    if lineage:
        view.add_item(ui.TextDisplay("\n".join(lineage)))
    if "prompt.txt" in names:
        view.add_item(ui.File("attachment://prompt.txt"))
    view.stop()
    return view


def _details_lines(job: Job, video: Video) -> list[str]:
    lines = [
        f"**Prompt**\n{text.plain(video.prompt, PROMPT_IN_DETAILS)}",
        f"**Settings** {text.settings(job.request)}",
    ]
    if video.width:
        lines.append(
            f"**Video** {video.width}×{video.height}, {text.seconds(video.seconds)}, {text.file_size(video.size)}"
        )
    lines.append(f"**Cost** {text.dollars(job.price)}, asked for by {text.mention(job.user_id)}")
    lines.append(f"**Made** <t:{video.created_at // 1000}:f>, id `{video.id}`")
    for name, reason in (("Extend", can_extend(video.seconds)), ("Edit", can_edit(video.seconds))):
        if reason is not None:
            lines.append(f"**{name} is off**: {reason}")
    return lines


def _lineage_lines(ancestors: list[Video], visible: set[str]) -> list[str]:
    if not ancestors:
        return []
    # The nearest ones: the text of a message is limited.
    shown = ancestors[-ANCESTORS:]
    heading = f"**Made from** {len(ancestors)} earlier video{'s' if len(ancestors) > 1 else ''}"
    return [heading, *(f"- {text.VERBS[video.operation]}: {_ancestor(video, video.id in visible)}" for video in shown)]


def _ancestor(video: Video, visible: bool) -> str:
    # Who deletes a video, or keeps it to a channel, means its prompt too.
    if video.deleted_at is not None:
        return "deleted"
    if not visible:
        return "in a channel that you cannot see"
    where = f"https://discord.com/channels/{video.guild_id}/{video.channel_id}/{video.message_id}"
    return f"{text.plain(video.prompt, 60)} ([open]({where}))"


async def setup(bot: Cinecord) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(Results(bot))
