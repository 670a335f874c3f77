"""What the dispatcher shows of a job: its card at each state, its end, and places in line. Its loop is off here."""

import asyncio
from typing import Any

import pytest
from simcord.results import InteractionResult

from bot.store.database import StoreError
from bot.store.records import Job, Settled, State
from cogs.cards import status_card
from tests.cogs.stage import PROMPT, Stage


async def asked(stage: Stage, **options: Any) -> Job:
    """Ann's request with its card."""
    await stage.env.advance_time(1)
    await stage.ann.slash(stage.channel, "video generate", prompt=options.pop("prompt", PROMPT), **options)
    job = await stage.services.jobs.get(stage.rows()[-1]["id"])
    assert job is not None
    return job


async def failed(stage: Stage, job: Job, words: str = "The model refused. Nothing was charged.") -> Job:
    claimed = await stage.services.jobs.claim(room=1)
    assert claimed is not None
    assert claimed.id == job.id
    ended = await stage.services.jobs.fail(
        job.id, State.SUBMITTED, reason="refused", text=words, settled=Settled.RELEASED
    )
    assert ended is not None
    return ended


def edits(stage: Stage) -> list[str]:
    """The ids of the messages that were edited by the bot token, in order."""
    changed = [request for request in stage.env.http_requests if request.method == "PATCH"]
    return [request.path.split("/")[-1] for request in changed if request.path.startswith("/channels/")]


async def test_a_posted_video_takes_the_place_of_its_card(stage: Stage) -> None:
    job = await asked(stage)
    await stage.bring(job, State.POSTED)
    (post,) = stage.messages()
    assert post.id != job.card_message_id
    (row,) = stage.rows()
    assert (row["state"], row["message_id"], row["channel_id"]) == ("posted", post.id, stage.channel.id)
    (video,) = stage.rows("videos")
    assert (video["message_id"], video["channel_id"]) == (post.id, stage.channel.id)
    assert stage.logged("job.posted")


async def test_a_failure_takes_the_place_of_the_card_and_can_be_asked_again(stage: Stage) -> None:
    job = await asked(stage, prompt="a **bold** fox")
    await stage.dispatch._tell_failure(await failed(stage, job, "It said @everyone `no` <@1>. Nothing was charged."))
    (card,) = stage.messages()
    assert card.id == job.card_message_id
    assert card.text.startswith(f"**No video this time**, {stage.ann.mention}\n")
    assert "It said \\@everyone \\`no\\` \\<\\@1\\>. Nothing was charged." in card.text
    assert "a \\*\\*bold\\*\\* fox" in card.text
    assert list(card.buttons) == ["Retry"]
    shown: InteractionResult = await stage.bob.click(stage.channel.history()[-1], label="Retry")
    assert shown.modal is not None
    await stage.bob.submit_modal(shown, {"prompt": "a calm fox"})
    assert stage.states() == ["failed", "queued"]
    assert stage.requests()[-1]["prompt"] == "a calm fox"


@pytest.mark.parametrize("gone", [True, False])
async def test_a_failure_without_a_card_is_a_message_to_its_requester(stage: Stage, gone: bool) -> None:
    job = await asked(stage) if gone else await stage.job()
    if gone:
        stage.env.backend.delete_message(stage.channel.id, job.card_message_id or 0)
    await stage.dispatch._tell_failure(await failed(stage, job))
    (message,) = stage.messages()
    assert (message.pinged, message.pings_more) == ([stage.ann.id], False)
    assert "The model refused. Nothing was charged." in message.text
    posts = [
        request.json for request in stage.env.http_requests if request.path.endswith(f"{stage.channel.id}/messages")
    ]
    assert posts[-1]["nonce"] == f"cf-{job.id}"  # pyright: ignore[reportCallIssue, reportOptionalSubscript, reportArgumentType]


async def test_a_failure_that_the_channel_does_not_take_is_written_to_its_requester(stage: Stage) -> None:
    job = await stage.job()
    stage.env.inject_error("POST", f"/channels/{stage.channel.id}/messages", status=403, code=50013)
    await stage.dispatch._tell_failure(await failed(stage, job))
    (message,) = stage.messages(stage.ann.user.dm_channel)
    assert "No video this time" in message.text


async def test_a_video_that_nobody_takes_ends_with_what_it_cost(stage: Stage) -> None:
    job = await asked(stage)
    rendered = await stage.bring(job, State.RENDERED)
    stage.env.inject_error("POST", "/channels/*/messages", status=403, code=50013, times=None)
    await stage.dispatch._resume(rendered)
    assert (stage.states(), stage.money()) == (["failed"], ["charged"])
    (card,) = stage.messages()
    assert "paid for" in card.text
    assert stage.files() == [job.video_key]


async def test_a_job_at_work_says_since_when_and_cannot_be_cancelled(stage: Stage) -> None:
    job = await asked(stage)
    claimed = await stage.bring(job, State.SUBMITTED)
    await stage.dispatch.on_job_changed(claimed)
    (card,) = stage.messages()
    assert card.text.startswith(f"**Being made: started <t:{(claimed.submitted_at or 0) // 1000}:R>**")
    assert card.buttons["Cancel"]["disabled"]


async def test_a_job_that_is_tried_again_can_be_cancelled(stage: Stage) -> None:
    job = await asked(stage)
    await stage.bring(job, State.SUBMITTED)
    await stage.services.jobs.requeue(job.id, delay=30)
    await stage.dispatch.on_job_changed(await stage.services.jobs.get(job.id))
    (card,) = stage.messages()
    assert card.text.startswith("**Waiting to be tried again**")
    assert list(card.buttons) == ["Cancel"]


async def test_a_card_that_comes_late_shows_the_state_of_then(stage: Stage) -> None:
    posted = await stage.job(State.POSTED)
    ended = await failed(stage, await stage.job())
    for job, left in ((posted, 0), (ended, 1)):
        stage.env.backend.messages[stage.channel.id].clear()
        channel: Any = stage.bot.get_channel(stage.channel.id)
        card = await channel.send(view=status_card(job, place=1))
        now = await stage.services.jobs.set_card(job.id, card.id)
        await stage.dispatch.on_job_changed(now)
        assert len(stage.messages()) == left
    assert "No video this time" in stage.messages()[0].text


async def test_places_are_shown_in_rounds_and_only_where_they_changed(stage: Stage) -> None:
    cards = [await asked(stage) for _ in range(3)]
    await stage.move_line()
    assert len(edits(stage)) == 3
    await stage.move_line()
    assert len(edits(stage)) == 3
    await stage.services.jobs.cancel(cards[1].id)
    await stage.move_line()
    assert edits(stage)[3:] == [str(cards[2].card_message_id)]
    assert "In line: number 2" in stage.messages()[2].text


async def test_a_card_does_not_fall_back_to_an_older_state(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = await asked(stage), await asked(stage)
    show = stage.dispatch._cards.show

    async def slowly(job: Job, **given: Any) -> None:
        if job.id == first.id:  # meanwhile, its owner cancels the other one
            await stage.services.jobs.cancel(second.id)
        await show(job, **given)

    monkeypatch.setattr(stage.dispatch._cards, "show", slowly)
    await stage.move_line()
    assert edits(stage) == [str(first.card_message_id)]


async def test_a_card_that_is_gone_holds_up_nothing(stage: Stage) -> None:
    job = await asked(stage)
    stage.env.backend.delete_message(stage.channel.id, job.card_message_id or 0)
    await stage.bring(job, State.POSTED)
    assert len(stage.messages()) == 1
    assert stage.states() == ["posted"]


async def test_a_post_that_the_database_cannot_note_is_noted_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = await stage.job(State.RENDERED)
    posted, tries = stage.services.jobs.posted, list[str]()

    async def failing(job_id: str, **given: Any) -> Job | None:
        tries.append(job_id)
        if len(tries) == 1:
            raise StoreError("disk full")
        return await posted(job_id, **given)

    monkeypatch.setattr(stage.services.jobs, "posted", failing)
    monkeypatch.setitem(stage.dispatch._note_posted.__globals__, "PAUSE_SECONDS", 0)
    await stage.dispatch._resume(rendered)
    assert len(tries) == 2
    assert stage.states() == ["posted"]
    assert len(stage.messages()) == 1


async def test_a_failure_is_told_when_discord_is_back(stage: Stage) -> None:
    job = await failed(stage, await asked(stage))
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)

    stage.dispatch._cards._pause = pause
    path = f"/channels/{stage.channel.id}/messages/{job.card_message_id}"
    stage.env.inject_error("PATCH", path, status=503, times=2)
    await stage.dispatch._tell_failure(job)
    assert waits == [1.0, 2.0]
    assert "No video this time" in stage.messages()[0].text
    assert len(stage.messages()) == 1


async def test_a_late_being_made_does_not_follow_the_end(stage: Stage) -> None:
    job = await asked(stage)
    claimed = await stage.services.jobs.claim(room=1)
    assert claimed is not None
    ended = await stage.services.jobs.fail(job.id, State.SUBMITTED, reason="x", text="No.", settled=Settled.RELEASED)
    assert ended is not None
    cards = stage.dispatch._cards
    async with cards._turn(job):  # an edit before both is under way
        telling = asyncio.create_task(cards.tell_failure(ended))
        await asyncio.sleep(0)
        showing = asyncio.create_task(cards.show(claimed))
        await asyncio.sleep(0)
    await asyncio.gather(telling, showing)
    assert "No video this time" in stage.messages()[0].text
    assert len(edits(stage)) <= 2


async def test_a_video_whose_file_is_gone_ends_with_a_reason(stage: Stage) -> None:
    rendered = await stage.job(State.RENDERED)
    await stage.services.storage.delete(rendered.video_key)
    await stage.dispatch._resume(rendered)
    assert stage.states() == ["failed"]
    assert "gone from the bot's storage" in stage.messages()[0].text
    assert stage.money() == ["charged"]


async def test_a_start_finishes_the_cards_of_what_ended_last(stage: Stage) -> None:
    await failed(stage, await asked(stage))
    assert "No video this time" not in stage.messages()[0].text
    await stage.dispatch._recover()
    await asyncio.gather(*stage.dispatch._running.values())
    assert "No video this time" in stage.messages()[0].text


async def test_a_job_that_ran_into_a_mistake_is_taken_up_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = await stage.job(State.RENDERED)
    deliver, tries = stage.dispatch._delivery.deliver, list[str]()

    async def failing(job: Job, video: Any, *, again: bool) -> Any:
        tries.append(job.id)
        if len(tries) == 1:
            raise KeyError("a mistake of the program")
        return await deliver(job, video, again=again)

    monkeypatch.setattr(stage.dispatch._delivery, "deliver", failing)
    monkeypatch.setitem(stage.dispatch._guarded.__globals__, "CRASH_SECONDS", 0)
    await stage.dispatch._guarded(rendered, stage.dispatch._resume(rendered))
    assert len(tries) == 2
    assert stage.states() == ["posted"]
    assert stage.logged("job.crashed")
