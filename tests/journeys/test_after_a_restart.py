"""What was posted, opened or promised before a restart works after it."""

import asyncio

from journey import Journey, button, video_id, videos
from pictures import look_at


async def test_buttons_and_open_forms_work_after_a_restart(journey: Journey) -> None:
    await journey.start()
    place = journey.place()
    first = await journey.make(place, "a train leaves the station", duration=3)
    form = await journey.click(place.alice, first, "Extend")
    assert await journey.stop() == 0
    await journey.start()
    # The form was opened by the first process, and is sent to the second.
    sent = await journey.submit(place.alice, form, {"prompt": "it crosses a bridge", "duration": ["4"]})
    assert "$0.32" in await journey.told(sent)
    longer = await journey.video(place.channel, 2)
    data = longer.media[0].data
    assert data is not None
    assert look_at(data)[0] == 7.0
    opened = await journey.click(place.bob, first, "Edit")
    assert opened.modal is not None
    assert [field.value for field in opened.modal.fields] == ["a train leaves the station"]
    await journey.told(await journey.submit(place.bob, opened, {"prompt": "in thick snow"}))
    edited = await journey.video(place.channel, 3)
    opened = await journey.click(place.bob, edited, "Retry")
    await journey.told(await journey.submit(place.bob, opened))
    await journey.video(place.channel, 4)
    assert "in thick snow" in await journey.told(await journey.click(place.alice, edited, "Details"))
    assert "deleted" in await journey.told(await journey.click(place.alice, first, "Delete"))
    assert len(videos(place.channel)) == 3
    operations = [job["operation"] for job in journey.jobs()]
    assert operations == ["generate", "extend", "edit", "edit"]


async def test_a_form_sent_before_and_after_a_restart_makes_one_video(journey: Journey) -> None:
    await journey.start()
    place = journey.place()
    first = await journey.make(place, "a closed book")
    form = await journey.click(place.alice, first, "Edit")
    await journey.told(await journey.submit(place.alice, form, {"prompt": "it falls open"}))
    await journey.video(place.channel, 2)
    await journey.restart()
    assert "taken once" in await journey.told(await journey.submit(place.alice, form, {"prompt": "it falls open"}))
    assert len(journey.jobs()) == 2


async def test_who_waits_keeps_their_place_and_their_name_for_the_model(journey: Journey) -> None:
    await journey.start(QUEUE__PER_GUILD_RUNNING="1")
    place = journey.place()
    one = video_id(await journey.make(place, "the first of three"))
    journey.model.hold()
    await journey.told(await journey.ask(place.alice, place.channel, "the second of three", duration=2))
    await journey.model.wait_for_call(2)
    await journey.told(await journey.ask(place.alice, place.channel, "the third of three", duration=2))
    card = await journey.card(place.channel, "the third of three")
    await journey.kill()
    await journey.start()
    sent = await journey.click(place.alice, card, "Cancel")
    await journey.until(lambda: "Cancelled" in card.text, "the card to say so")
    assert sent.response is not None
    journey.model.release()
    two = video_id(await journey.video(place.channel, 2))
    users = {journey.calls_for(job)[0].input["user"] for job in (one, two)}
    assert len(users) == 1
    assert len(journey.model.calls) == 2
    assert not button(videos(place.channel)[1], "Retry").disabled


async def test_a_stop_lets_the_running_job_end_and_keeps_the_waiting_one(journey: Journey) -> None:
    await journey.start()
    place = journey.place()
    journey.model.render_seconds = 0.8
    await journey.told(await journey.ask(place.alice, place.channel, "still in the oven", duration=2))
    await journey.model.wait_for_call()
    await journey.told(await journey.ask(place.alice, place.channel, "next in the oven", duration=2))
    assert await journey.stop() == 0
    assert [job["state"] for job in journey.jobs()] == ["posted", "queued"]
    assert len(journey.model.calls) == 1
    await journey.start()
    await journey.video(place.channel, 2)


async def test_discord_may_be_away_when_the_bot_starts(journey: Journey) -> None:
    journey.discord.stop_rest(refuse=True)
    starting = asyncio.create_task(journey.start())
    await journey.until(lambda: "discord.unreachable" in journey.log, "the bot to notice")
    journey.discord.start_rest()
    await starting
    await journey.make(journey.place(), "an early bird", duration=1)
