"""Which videos are offered as a source, and which a member may use."""

from typing import Any

import discord
import pytest

from bot.store.records import State
from tests.cogs.stage import PROMPT, Stage, refusal


async def offered(stage: Stage, typed: str = "", *, actor: Any = None, channel: Any = None) -> dict[str, str]:
    """Ids of the videos that are offered, with what is shown of them, first to last."""
    choices = await (actor or stage.bob).autocomplete(
        channel or stage.channel, "video extend", "source", typed, prompt="p"
    )
    return {choice["value"]: choice["name"] for choice in choices}


async def test_the_newest_come_first_with_prompt_and_length(stage: Stage) -> None:
    first, second = await stage.job(State.POSTED), await stage.job(State.POSTED, prompt="a cat", seconds=8.0)
    assert list((await offered(stage)).items()) == [(second.id, "a cat (8 s)"), (first.id, f"{PROMPT} (2 s)")]
    assert list(await offered(stage, " FOX ")) == [first.id]
    assert await offered(stage, "100%_") == {}
    assert await offered(stage, "x" * 5000) == {}


async def test_at_most_25_of_at_most_100_letters_are_offered(stage: Stage) -> None:
    for number in range(26):
        await stage.job(State.POSTED, prompt=f"{number} " + "long\n words " * 20, content=b"x")
    found = await offered(stage)
    assert len(found) == 25
    assert all(len(name) <= 100 and name.endswith("… (2 s)") and "\n" not in name for name in found.values())
    assert next(iter(found.values())).startswith("25 ")


async def test_what_is_not_posted_or_deleted_or_elsewhere_is_not_offered(stage: Stage) -> None:
    await stage.job(State.RENDERED)
    deleted = await stage.job(State.POSTED)
    await stage.services.videos.mark_deleted(deleted.id)
    elsewhere = stage.env.create_guild("Elsewhere")
    other = await stage.job(State.POSTED, guild_id=elsewhere.id, channel_id=elsewhere.create_text_channel("x").id)
    assert await offered(stage) == {}
    for job in (deleted, other):
        sentence = refusal(await stage.bob.slash(stage.channel, "video extend", prompt="p", source=job.id))
        assert "not there any more" in sentence


async def test_a_hidden_channels_videos_are_for_those_who_see_it(stage: Stage) -> None:
    secret = stage.hidden_channel()
    job = await stage.job(State.POSTED, channel_id=secret.id)
    assert await offered(stage) == {}
    refusal(await stage.bob.slash(stage.channel, "video extend", prompt="p", source=job.id))
    assert stage.states() == ["posted"]
    assert list(await offered(stage, actor=stage.mod)) == [job.id]
    await stage.mod.slash(stage.channel, "video extend", prompt="p", source=job.id)
    assert stage.states() == ["posted", "queued"]


async def thread(stage: Stage, kind: discord.ChannelType) -> Any:
    channel: Any = stage.bot.get_channel(stage.channel.id)
    await channel.create_thread(name="aside", type=kind)
    await stage.env.settle()
    (made,) = stage.channel.threads
    return made


@pytest.mark.parametrize(
    ("kind", "seen"), [(discord.ChannelType.public_thread, True), (discord.ChannelType.private_thread, False)]
)
async def test_a_private_threads_videos_stay_in_it(stage: Stage, kind: discord.ChannelType, seen: bool) -> None:
    aside = await thread(stage, kind)
    job = await stage.job(State.POSTED, channel_id=aside.id)
    assert list(await offered(stage)) == ([job.id] if seen else [])


async def test_in_a_thread_its_own_permission_counts(stage: Stage) -> None:
    aside = await thread(stage, discord.ChannelType.public_thread)
    await stage.ann.slash(aside, "video generate", prompt=PROMPT)
    assert stage.states() == ["queued"]
    me = stage.guild.me
    assert me is not None
    denied = discord.PermissionOverwrite(send_messages=True, send_messages_in_threads=False)
    channel: Any = stage.bot.get_channel(stage.channel.id)
    await channel.set_permissions(me, overwrite=denied)
    await stage.env.settle()
    sentence = refusal(await stage.ann.slash(aside, "video generate", prompt=PROMPT))
    assert "Send Messages in Threads" in sentence
    assert stage.states() == ["queued"]
