"""A bot that nothing outside can reach: no public address, so the model has no place to upload to."""

from journey import Journey
from pictures import look_at, picture

from sandbox.discord import File


async def test_an_account_that_keeps_nothing_needs_the_operator(journey: Journey) -> None:
    journey.public = False
    await journey.start()
    assert "start.no_upload_url" in journey.log
    place = journey.place()
    await journey.told(await journey.ask(place.alice, place.channel, "nowhere to put it", duration=2))
    card = await journey.card(place.channel, "No video this time")
    assert "the bot's operator has been told" in card.text
    assert "Nothing was charged" in card.text
    job = journey.job(place)
    assert journey.money(job["id"]) == "released"
    assert journey.model.charges_for(job["id"]) == []
    assert [line for line in journey.log.splitlines() if job["id"] in line and "upload_url" in line]


async def test_without_that_rule_the_answers_video_is_downloaded_and_posted(journey: Journey) -> None:
    journey.public = False
    journey.model.zero_data_retention = False
    await journey.start()
    place = journey.place()
    # Pictures and sources go inside the request then.
    first = await journey.make(place, "from hand to hand", image=File("a.png", picture()), duration=2)
    opened = await journey.click(place.bob, first, "Extend")
    await journey.told(await journey.submit(place.bob, opened, {"duration": ["2"]}))
    second = await journey.video(place.channel, 2)
    data = second.media[0].data
    assert data is not None
    assert look_at(data)[0] == 4.0
    assert journey.model.calls[0].input["image"]["url"].startswith("data:image/jpeg;base64,")
    assert journey.model.calls[1].input["video"]["url"].startswith("data:video/mp4;base64,")
    assert all("output" not in call.input for call in journey.model.calls)


async def test_without_that_rule_a_kill_loses_the_answer_and_says_so(journey: Journey) -> None:
    journey.public = False
    journey.model.zero_data_retention = False
    await journey.start()
    place = journey.place()
    journey.model.hold()
    await journey.told(await journey.ask(place.alice, place.channel, "lost on the way", duration=2))
    await journey.model.wait_for_call()
    await journey.kill()
    journey.model.release()
    journey.minutes_pass()
    await journey.start()
    card = await journey.card(place.channel, "No video this time", 15)
    assert "may have been charged" in card.text
    assert journey.job(place)["reason"] == "outcome unknown"
    assert len(journey.model.calls) == 1
