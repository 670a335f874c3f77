"""Posting when Discord, the channel, the interaction or Cloudflare is away."""

import asyncio

import pytest
from journey import Journey, Place, video_id, videos

from sandbox.discord import Permission

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def on_the_way(shared: Journey, place: Place, prompt: str) -> str:
    """A job whose paid call is open until the model is released; its id."""
    shared.model.hold()
    calls = len(shared.model.calls)
    await shared.told(await shared.ask(place.alice, place.channel, prompt, duration=1))
    await shared.model.wait_for_call(calls + 1)
    return shared.job(place)["id"]


async def test_a_video_is_posted_when_its_interaction_is_long_over(shared: Journey, place: Place) -> None:
    await on_the_way(shared, place, "worth the wait")
    shared.discord.token_seconds = 0.0
    try:
        shared.model.release()
        posted = await shared.video(place.channel)
        await shared.until(lambda: place.channel.messages == [posted], "the card to go")
    finally:
        shared.discord.token_seconds = 900.0


async def test_a_video_is_posted_though_the_model_never_answers(shared: Journey, place: Place) -> None:
    shared.model.hold("answer")
    posted = await shared.make(place, "no answer is one, too")
    shared.model.release()
    assert shared.money(video_id(posted)) == "charged"


async def test_a_deleted_channel_means_a_direct_message(shared: Journey, place: Place) -> None:
    job = await on_the_way(shared, place, "homeless")
    place.guild.delete_channel(place.channel)
    shared.model.release()
    posted = await shared.video(place.alice.dm_channel)
    assert video_id(posted) == job
    assert posted.pings.users <= {place.alice.id}


@pytest.mark.parametrize("missing", [Permission.SEND_MESSAGES, Permission.ATTACH_FILES, Permission.VIEW_CHANNEL])
async def test_a_channel_that_forbids_posting_means_a_direct_message(
    shared: Journey, place: Place, missing: Permission
) -> None:
    job = await on_the_way(shared, place, "not here")
    place.channel.deny(missing)
    shared.model.release()
    posted = await shared.video(place.alice.dm_channel)
    assert video_id(posted) == job
    assert videos(place.channel) == []


async def test_closed_direct_messages_end_with_a_reason(shared: Journey, place: Place) -> None:
    job = await on_the_way(shared, place, "nowhere to go")
    place.channel.deny(Permission.SEND_MESSAGES)
    place.alice.user.dms_open = False
    shared.model.release()
    card = await shared.card(place.channel, "No video this time")
    assert "lets me post it neither in" in card.text
    assert [button.label for button in card.buttons] == ["Retry"]
    assert (await shared.state(job, "failed"))["reason"] == "undeliverable"
    assert shared.money(job) == "charged"


async def test_a_place_without_permission_is_refused_before_anything_is_paid(shared: Journey, place: Place) -> None:
    place.channel.deny(Permission.ATTACH_FILES)
    sent = await shared.ask(place.alice, place.channel, "too early to pay", force=True)
    assert "I lack Attach Files here" in await shared.told(sent)
    assert shared.jobs("guild_id = ?", place.guild.id) == []


@pytest.mark.parametrize("refuse", [False, True])
async def test_an_outage_of_discord_is_waited_out(shared: Journey, place: Place, refuse: bool) -> None:
    job = await on_the_way(shared, place, "patience with Discord")
    shared.discord.stop_rest(refuse=refuse)
    shared.model.release()
    await shared.state(job, "rendered")
    await asyncio.sleep(0.5)
    shared.discord.start_rest()
    posted = await shared.video(place.channel)
    assert video_id(posted) == job
    assert len(videos(place.channel)) == 1


@pytest.mark.parametrize("status", [0, 500, 502, 503])
async def test_a_post_whose_answer_is_lost_is_not_doubled(shared: Journey, place: Place, status: int) -> None:
    shared.discord.fail_next(f"POST /channels/{place.channel.id}/messages", status, after=True)
    posted = await shared.make(place, "an echo")
    assert place.channel.messages == [posted]


async def test_a_rate_limited_post_arrives(shared: Journey, place: Place) -> None:
    shared.discord.fail_next(f"POST /channels/{place.channel.id}/messages", 429, times=2, retry_after=0.1)
    posted = await shared.make(place, "no hurry")
    assert place.channel.messages == [posted]


async def test_a_video_is_posted_while_the_gateway_is_away(shared: Journey, place: Place) -> None:
    await on_the_way(shared, place, "gateway or not")
    shared.discord.stop_gateway(forget=False)
    shared.model.release()
    await shared.video(place.channel)
    shared.discord.start_gateway()
    await shared.discord.wait_ready(15)
    await shared.make(place, "back again")


async def test_a_model_that_cannot_be_reached_is_tried_again(shared: Journey, place: Place) -> None:
    calls = len(shared.model.calls)
    shared.discord.ratelimits.enabled = False  # each try edits the card
    async with shared.model.outage():
        await shared.told(await shared.ask(place.alice, place.channel, "is anybody there", duration=1))
        job = await shared.until(lambda: shared.jobs("guild_id = ? AND attempts > 1", place.guild.id), "a second try")
    assert video_id(await shared.video(place.channel)) == job[0]["id"]
    shared.discord.ratelimits.enabled = True
    assert len(shared.model.calls) == calls + 1
