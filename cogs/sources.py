"""Which of a server's videos a member may use: those in channels that they can see."""

import re

import discord

from bot.store.records import Video
from cogs.buttons import ID
from cogs.replies import Interaction


def may_see(interaction: Interaction, video: Video) -> bool:
    """Whether the member can see the channel that the video was posted in."""
    if video.channel_id == interaction.channel_id:
        return True
    guild, member = interaction.guild, interaction.user
    if guild is None or not isinstance(member, discord.Member):
        return False
    channel = guild.get_channel_or_thread(video.channel_id)
    if channel is None:
        return False
    allowed = channel.permissions_for(member)
    # Discord gives a private thread's permissions as its parent's; who is in it is not known here.
    hidden = isinstance(channel, discord.Thread) and channel.is_private() and not allowed.manage_threads
    return allowed.view_channel and not hidden


async def find_video(interaction: Interaction, video_id: str) -> Video | None:
    """The video with this id, if it is of this server, not deleted, and the member may see it.

    Ids come from strangers (a custom_id or an option can be forged), so a wrong one finds nothing.
    """
    if interaction.guild_id is None or not re.fullmatch(ID, video_id):
        return None
    video = await interaction.client.services.videos.get(video_id, guild_id=interaction.guild_id)
    return video if video is not None and may_see(interaction, video) else None
