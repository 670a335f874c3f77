"""/video generate, reference, edit, extend."""

from enum import StrEnum
from typing import Literal, TypeVar

import discord
import structlog
from discord import app_commands
from discord.ext import commands

from bot.client import Cinecord
from bot.errors import Gone, InvalidRequest
from bot.intake import Upload, Wish
from bot.model import PROMPT_LIMIT, AspectRatio, Operation, Resolution, Size
from bot.store.database import StoreError
from bot.store.records import Video
from cogs import text
from cogs.replies import Interaction, edge
from cogs.sources import find_video, may_see
from cogs.taking import Place, take, upload

Chosen = TypeVar("Chosen", bound=StrEnum)
log = structlog.get_logger(__name__)

Prompt = app_commands.Range[str, 1, PROMPT_LIMIT]
Ratio = Literal["16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3"]
Definition = Literal["480p", "720p"]
Dimensions = Literal["848x480", "1696x960", "1280x720", "1920x1080"]

PROMPT = "What the video should show"
DURATION = "Length in seconds, 1 to 15 (8 if left out)"
RATIO = "Width to height (16:9 if left out); a picture brings its own"
RESOLUTION = "480p if left out; 720p costs more"
VIDEO = "A video to upload: MP4, MOV or WebM"
SOURCE = "Or a video that was made here"


@app_commands.guild_only()
class VideoCommands(commands.GroupCog, group_name="video", group_description="Make videos from prompts and pictures"):
    """The commands that ask for a video."""

    def __init__(self, bot: Cinecord) -> None:
        self.bot = bot

    @app_commands.command(description="Make a video from a prompt, and a picture if you like")
    @app_commands.describe(
        prompt=PROMPT,
        image="The picture that the video starts from",
        duration=DURATION,
        aspect_ratio=RATIO,
        resolution=RESOLUTION,
        size="Exact size in pixels, in place of resolution and aspect ratio",
    )
    async def generate(
        self,
        interaction: Interaction,
        prompt: Prompt,
        image: discord.Attachment | None = None,
        duration: app_commands.Range[int, 1, 15] | None = None,
        aspect_ratio: Ratio | None = None,
        resolution: Definition | None = None,
        size: Dimensions | None = None,
    ) -> None:
        """Text to video, or picture to video."""

        def wish(place: Place) -> Wish:
            return _wish(
                interaction,
                place,
                Operation.GENERATE,
                prompt,
                duration=duration,
                aspect_ratio=_choice_of("aspect_ratio", AspectRatio, aspect_ratio),
                resolution=_choice_of("resolution", Resolution, resolution),
                size=_choice_of("size", Size, size),
                pictures=(upload(image),) if image else (),
                first_frame=True,
            )

        async with edge(interaction):
            await take(interaction, wish)

    @app_commands.command(description="Make a video with the people, things or places of up to ten pictures")
    @app_commands.describe(
        prompt=PROMPT, image1="A picture to go by", duration=DURATION, aspect_ratio=RATIO, resolution=RESOLUTION,
        **{f"image{n}": "Another picture to go by" for n in range(2, 11)},
    )  # fmt: skip
    async def reference(
        self,
        interaction: Interaction,
        prompt: Prompt,
        image1: discord.Attachment,
        image2: discord.Attachment | None = None,
        image3: discord.Attachment | None = None,
        image4: discord.Attachment | None = None,
        image5: discord.Attachment | None = None,
        image6: discord.Attachment | None = None,
        image7: discord.Attachment | None = None,
        image8: discord.Attachment | None = None,
        image9: discord.Attachment | None = None,
        image10: discord.Attachment | None = None,
        duration: app_commands.Range[int, 1, 15] | None = None,
        aspect_ratio: Ratio | None = None,
        resolution: Definition | None = None,
    ) -> None:
        """Reference pictures to video."""
        images = (image1, image2, image3, image4, image5, image6, image7, image8, image9, image10)

        def wish(place: Place) -> Wish:
            return _wish(
                interaction,
                place,
                Operation.GENERATE,
                prompt,
                duration=duration,
                aspect_ratio=_choice_of("aspect_ratio", AspectRatio, aspect_ratio),
                resolution=_choice_of("resolution", Resolution, resolution),
                pictures=tuple(upload(image) for image in images if image),
            )

        async with edge(interaction):
            await take(interaction, wish)

    @app_commands.command(description="Change a video of up to 8.7 seconds by a prompt")
    @app_commands.describe(
        prompt="What should be different",
        video=VIDEO,
        source=SOURCE,
        start="Where the 8.7 seconds to edit begin, in seconds, if the video is longer",
    )
    async def edit(
        self,
        interaction: Interaction,
        prompt: Prompt,
        video: discord.Attachment | None = None,
        source: str | None = None,
        start: app_commands.Range[float, 0, 600] | None = None,
    ) -> None:
        """Edit an uploaded video, or one that was made here."""
        async with edge(interaction):
            await interaction.response.defer(ephemeral=True, thinking=True)
            found = await _source(interaction, video, source)
            await take(
                interaction,
                lambda place: _wish(interaction, place, Operation.EDIT, prompt, source=found, start=start),
            )

    @app_commands.command(description="Continue a video of 2 to 15 seconds by a prompt")
    @app_commands.describe(
        prompt="What should happen next",
        video=VIDEO,
        source=SOURCE,
        duration="Seconds to add, 2 to 10 (6 if left out)",
    )
    async def extend(
        self,
        interaction: Interaction,
        prompt: Prompt,
        video: discord.Attachment | None = None,
        source: str | None = None,
        duration: app_commands.Range[int, 2, 10] | None = None,
    ) -> None:
        """Extend an uploaded video, or one that was made here."""
        async with edge(interaction):
            await interaction.response.defer(ephemeral=True, thinking=True)
            found = await _source(interaction, video, source)
            await take(
                interaction,
                lambda place: _wish(interaction, place, Operation.EXTEND, prompt, source=found, duration=duration),
            )

    @edit.autocomplete("source")
    @extend.autocomplete("source")
    async def _recent(self, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        if interaction.guild_id is None:
            return []
        try:
            videos = await self.bot.services.videos.recent(interaction.guild_id, search=typed.strip()[:100], limit=75)
        except StoreError as error:
            # A list of choices has no room for an error; sending the command says it.
            log.error("choices.failed", cause=error.cause)
            return []
        seen = [video for video in videos if may_see(interaction, video)]
        return [app_commands.Choice(name=_choice(video), value=video.id) for video in seen[:25]]


def _choice_of(field: str, kind: type[Chosen], value: str | None) -> Chosen | None:
    """The value as its type. Discord's own client offers no other ones; a changed one may send anything."""
    if value is None:
        return None
    if value not in set(kind):
        raise InvalidRequest(field, f"The {field.replace('_', ' ')} can be {', '.join(kind)}.")
    return kind(value)


def _choice(video: Video) -> str:
    # Discord shows choices as plain text of at most 100 characters.
    length = f" ({text.seconds(video.seconds)})"
    prompt = " ".join(video.prompt.split())
    room = 100 - len(length)
    return (prompt if len(prompt) <= room else prompt[: room - 1] + "…") + length


async def _source(interaction: Interaction, video: discord.Attachment | None, source: str | None) -> Video | Upload:
    if video is not None and source is not None:
        raise InvalidRequest("source", "Give either `video` or `source`, not both.")
    if video is not None:
        return upload(video)
    if source is None:
        raise InvalidRequest("video", "Give a video to work on: upload one as `video`, or choose one as `source`.")
    found = await find_video(interaction, source)
    if found is None:
        raise Gone("That video is not there any more. Choose one from the list that `source` offers.")
    return found


def _wish(
    interaction: Interaction,
    place: Place,
    operation: Operation,
    prompt: str,
    *,
    duration: int | None = None,
    aspect_ratio: AspectRatio | None = None,
    resolution: Resolution | None = None,
    size: Size | None = None,
    pictures: tuple[Upload, ...] = (),
    first_frame: bool = False,
    source: Video | Upload | None = None,
    start: float | None = None,
) -> Wish:
    return Wish(
        guild_id=place.guild_id,
        channel_id=place.channel_id,
        user_id=place.user_id,
        upload_limit=place.upload_limit,
        request_key=f"command:{interaction.id}",
        operation=operation,
        prompt=prompt,
        duration=duration,
        aspect_ratio=aspect_ratio,
        resolution=resolution,
        size=size,
        pictures=pictures,
        first_frame=first_frame,
        source=source,
        start=start,
    )


async def setup(bot: Cinecord) -> None:
    """Called by discord.py when the extension is loaded."""
    await bot.add_cog(VideoCommands(bot))
