"""Posting a finished video once: in its channel, by a link, or to its requester, through whatever Discord answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import discord
import httpx
import pytest

from bot.storage import FolderStorage
from bot.store.records import Job, State
from cogs.delivery import Delivery, Posted, Undeliverable
from tests.bot.parts import clip
from tests.cogs.stage import PROMPT, Seen, Stage

POST = "/channels/*/messages"


class Pauses:
    """Waits no time, and keeps how long it was to wait. `on_wait` is what happens meanwhile."""

    def __init__(self, on_wait: Callable[[], Any] = lambda: None) -> None:
        self.seconds: list[float] = []
        self._on_wait = on_wait

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        assert len(self.seconds) < 20
        self._on_wait()


async def deliver(stage: Stage, job: Job, pauses: Pauses | None = None, *, again: bool = False) -> Posted:
    delivery = Delivery(stage.bot, pause=pauses or Pauses())
    return await delivery.deliver(job, await stage.video(job), again=again)


def sent(stage: Stage) -> list[Any]:
    """The bodies of the messages that the bot tried to post."""
    found = [request for request in stage.env.http_requests if request.method == "POST"]
    return [request.json for request in found if request.path.endswith("/messages")]


def private(stage: Stage) -> list[Seen]:
    return stage.messages(stage.ann.user.dm_channel)


async def test_the_video_is_posted_with_a_nonce_and_pings_its_requester_alone(stage: Stage) -> None:
    job = await stage.job(
        State.RENDERED, prompt=f"@everyone {stage.bob.mention} {stage.guild.default_role.mention} fox"
    )
    posted = await deliver(stage, job)
    (post,) = stage.messages()
    assert posted == Posted(stage.channel.id, post.id)
    assert post.text.startswith(f"{stage.ann.mention}, your video is ready.")
    assert (post.pinged, post.pings_more) == ([stage.ann.id], False)
    assert post.files == [f"cinecord-{job.id}.mp4"]
    content = stage.env.backend.cdn.get(post.stored.attachments[0]["url"])
    assert content == clip(stage.path.parent)
    (body,) = sent(stage)
    assert (body["nonce"], body["enforce_nonce"]) == (f"cc-{job.id}", True)
    assert len(body["nonce"]) <= 25
    assert body["allowed_mentions"] == {"parse": [], "users": [stage.ann.id]}
    assert body["flags"] == 1 << 15


async def test_one_over_the_limit_is_posted_as_a_link_that_works(stage: Stage) -> None:
    job = await stage.job(State.RENDERED, upload_limit=100)
    await deliver(stage, job)
    (post,) = stage.messages()
    assert post.files == []
    assert post.pinged == [stage.ann.id]
    assert "larger than the upload limit here" in post.text
    assert "works for 7 days" in post.text
    assert list(post.buttons) == ["Extend", "Edit", "Retry", "Details", "Delete"]
    link = post.text.split("](")[1].split(")")[0]
    async with httpx.AsyncClient() as client:
        assert (await client.get(link)).content == clip(stage.path.parent)
    assert sent(stage)[0]["nonce"] == f"cl-{job.id}"


async def test_where_there_are_no_links_the_post_names_the_video(stage: Stage) -> None:
    assert isinstance(stage.services.storage, FolderStorage)
    stage.services.storage.public_url = None
    job = await stage.job(State.RENDERED, upload_limit=100)
    await deliver(stage, job)
    (post,) = stage.messages()
    assert f"`{job.id}`" in post.text
    assert "](" not in post.text


@pytest.mark.parametrize(("status", "code"), [(413, 40005), (400, 40005), (413, 0)])
async def test_one_that_discord_finds_too_large_is_posted_as_a_link(stage: Stage, status: int, code: int) -> None:
    job = await stage.job(State.RENDERED)
    stage.env.inject_error("POST", POST, status=status, code=code)
    pauses = Pauses()
    await deliver(stage, job, pauses)
    (post,) = stage.messages()
    assert "[open it](" in post.text
    assert pauses.seconds == []
    assert [body["nonce"] for body in sent(stage)] == [f"cc-{job.id}", f"cl-{job.id}"]


@pytest.mark.parametrize(("status", "code"), [(403, 50013), (403, 50001), (404, 10003), (400, 50035)])
async def test_where_the_channel_does_not_take_it_its_requester_gets_it(stage: Stage, status: int, code: int) -> None:
    job = await stage.job(State.RENDERED)
    stage.env.inject_error("POST", f"/channels/{stage.channel.id}/messages", status=status, code=code)
    posted = await deliver(stage, job)
    assert stage.messages() == []
    (post,) = private(stage)
    assert posted == Posted(stage.channel.id, post.id)
    assert post.files == [f"cinecord-{job.id}.mp4"]
    assert stage.logged("post.refused")


async def test_a_channel_that_discord_has_closed_or_deleted_is_no_end(stage: Stage) -> None:
    me = stage.guild.me
    assert me is not None
    closed = stage.guild.create_text_channel(
        "closed", overwrites={me: discord.PermissionOverwrite(send_messages=False)}
    )
    for channel_id in (closed.id, 12345):
        await deliver(stage, await stage.job(State.RENDERED, channel_id=channel_id))
    assert len(private(stage)) == 2


async def test_where_nobody_takes_it_the_reason_says_what_it_cost(stage: Stage) -> None:
    job = await stage.job(State.RENDERED)
    stage.env.inject_error("POST", POST, status=403, code=50007, times=None)
    with pytest.raises(Undeliverable) as caught:
        await deliver(stage, job)
    assert "paid for" in caught.value.sentence
    assert job.id in caught.value.sentence


@pytest.mark.parametrize(("status", "code"), [(500, 0), (502, 0), (503, 0), (429, 0), (401, 0)])
async def test_what_passes_is_waited_for(stage: Stage, status: int, code: int) -> None:
    job = await stage.job(State.RENDERED)
    stage.env.inject_error("POST", POST, status=status, code=code, times=3)
    pauses = Pauses()
    await deliver(stage, job, pauses)
    assert pauses.seconds == [1, 2, 4]
    assert len(stage.messages()) == 1
    assert private(stage) == []
    assert len(stage.logged("post.failed")) == 3


async def test_an_outage_is_outlasted_at_a_bounded_pace(stage: Stage) -> None:
    job = await stage.job(State.RENDERED)
    stage.env.inject_error("POST", POST, times=9)
    pauses = Pauses()
    await deliver(stage, job, pauses)
    assert pauses.seconds == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert len(stage.messages()) == 1


@pytest.mark.parametrize("error", [aiohttp.ServerDisconnectedError(), TimeoutError(), ConnectionResetError()])
async def test_an_answer_that_is_lost_after_the_post_makes_no_second(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    job = await stage.job(State.RENDERED)
    request, lost = stage.bot.http.request, list[Exception]()

    async def losing(route: Any, **given: Any) -> Any:
        answered = await request(route, **given)
        if route.method == "POST" and not lost:
            lost.append(error)
            raise error
        return answered

    monkeypatch.setattr(stage.bot.http, "request", losing)
    pauses = Pauses()
    posted = await deliver(stage, job, pauses)
    assert lost
    assert pauses.seconds == [1]
    assert [post.id for post in stage.messages()] == [posted.message_id]


async def test_another_process_finds_the_earlier_post(stage: Stage) -> None:
    other = await stage.job(State.RENDERED)
    await deliver(stage, other)
    job = await stage.job(State.RENDERED)
    first = await deliver(stage, job)
    for number in range(60):
        await stage.bob.send(stage.channel, f"nice {number}")
    await stage.restart()
    assert await deliver(stage, job, again=True) == first
    assert await deliver(stage, other, again=True) != first
    assert len([post for post in stage.messages() if post.buttons]) == 2


async def test_another_process_finds_the_earlier_direct_message(stage: Stage) -> None:
    job = await stage.job(State.RENDERED)
    stage.env.inject_error("POST", f"/channels/{stage.channel.id}/messages", status=403, code=50013, times=2)
    first = await deliver(stage, job)
    assert await deliver(stage, job, again=True) == first
    assert len(private(stage)) == 1


async def test_what_was_never_posted_is_posted_by_another_process(stage: Stage) -> None:
    job = await stage.job(State.RENDERED)
    await deliver(stage, job, again=True)
    assert len(stage.messages()) == 1


async def test_where_the_history_may_not_be_read_it_is_posted_all_the_same(stage: Stage) -> None:
    job = await stage.job(State.RENDERED)
    stage.env.inject_error("GET", POST, status=403, code=50013)
    await deliver(stage, job, again=True)
    assert len(stage.messages()) == 1
    assert stage.logged("messages.not_searched")


async def test_storage_that_is_away_is_waited_for(stage: Stage) -> None:
    job = await stage.job(State.RENDERED)
    folder: Path = stage.services.settings.storage.path / "videos"
    away = folder.rename(stage.path.parent / "away")
    folder.symlink_to("videos")  # to itself: whatever is looked for in it is an error, not an absence

    def come_back() -> None:
        if len(pauses.seconds) == 2:
            folder.unlink()
            away.rename(folder)

    pauses = Pauses(come_back)
    await deliver(stage, job, pauses)
    assert pauses.seconds == [1, 2]
    assert stage.messages()[0].files == [f"cinecord-{job.id}.mp4"]


async def test_nothing_of_a_posted_message_stays_in_memory(stage: Stage) -> None:
    for _ in range(3):
        await deliver(stage, await stage.job(State.RENDERED, prompt=PROMPT))
    await stage.ann.slash(stage.channel, "video generate", prompt=PROMPT)
    store = stage.bot._connection._view_store
    assert not any(items for items in store._views.values())
    assert not store._synced_message_views
