"""The library of videos: by id, by what was typed, by lineage, and deletion once."""

import asyncio

import pytest

from bot.model import Operation, Request
from bot.store.records import Video
from bot.store.tables import videos as rows
from bot.store.videos import LINEAGE_LIMIT, Videos
from tests.bot.store.queues import Queue


@pytest.fixture
def videos(queue: Queue) -> Videos:
    return Videos(queue.database, clock=lambda: 5.25)


async def made(
    queue: Queue, *, guild: int = 1, posted: bool = True, parent: str | None = None, prompt: str = "a video"
) -> Video:
    request = Request(operation=Operation.GENERATE, prompt=prompt)
    job = await queue.claimed(guild=guild, parent_id=parent, request=request)
    rendered = await queue.jobs.rendered(job.id, size=1000)
    assert rendered is not None
    if posted:
        await queue.jobs.posted(job.id, channel_id=77, message_id=88)
    return rendered[1]


async def test_a_video_is_found_in_its_own_guild_only(queue: Queue, videos: Videos) -> None:
    video = await made(queue)
    found = await videos.get(video.id, guild_id=1)
    assert found is not None
    assert (found.message_id, found.channel_id, found.key) == (88, 77, video.key)
    assert await videos.get(video.id, guild_id=2) is None
    assert await videos.get("nothing", guild_id=1) is None


async def test_recent_videos_are_the_posted_ones_newest_first(queue: Queue, videos: Videos) -> None:
    old = await made(queue, prompt="A fox")
    new = await made(queue, prompt="A 100% red FOX")
    await made(queue, posted=False)
    await made(queue, guild=2)
    gone = await made(queue)
    await videos.mark_deleted(gone.id)
    assert [video.id for video in await videos.recent(1)] == [new.id, old.id]
    assert [video.id for video in await videos.recent(1, limit=1)] == [new.id]
    assert [video.id for video in await videos.recent(1, search="a fox")] == [old.id]
    assert [video.id for video in await videos.recent(1, search="fox")] == [new.id, old.id]
    assert [video.id for video in await videos.recent(1, search="0%")] == [new.id]
    assert await videos.recent(1, search="_fox") == []


async def test_a_video_is_deleted_once_and_keeps_its_row(queue: Queue, videos: Videos) -> None:
    video = await made(queue)
    assert sorted(await asyncio.gather(*(videos.mark_deleted(video.id) for _ in range(5)))) == [False] * 4 + [True]
    assert await videos.get(video.id, guild_id=1) is None
    assert [row["deleted_at"] for row in await queue.rows(rows)] == [5250]


async def test_lineage_is_the_ancestors_oldest_first_and_bounded(queue: Queue, videos: Videos) -> None:
    chain = [await made(queue)]
    for _ in range(LINEAGE_LIMIT + 2):
        chain.append(await made(queue, parent=chain[-1].id))
    await videos.mark_deleted(chain[1].id)
    assert [video.id for video in await videos.lineage(chain[3])] == [video.id for video in chain[:3]]
    assert [video.id for video in await videos.lineage(chain[-1])] == [video.id for video in chain[2:-1]]
    assert await videos.lineage(chain[0]) == []


async def test_lineage_does_not_leave_the_guild(queue: Queue, videos: Videos) -> None:
    foreign = await made(queue, guild=2)
    assert await videos.lineage(await made(queue, parent=foreign.id)) == []
