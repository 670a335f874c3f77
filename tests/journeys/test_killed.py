"""kill -9 at the worst moments: nothing is paid twice, posted twice, or lost."""

import asyncio
import os
import random

import pytest
from journey import Journey, video_id, videos


async def test_killed_while_the_paid_call_is_open(journey: Journey) -> None:
    await journey.start()
    place = journey.place()
    journey.model.hold()
    await journey.told(await journey.ask(place.alice, place.channel, "a comet at noon", duration=2))
    await journey.model.wait_for_call()
    await journey.restart()
    journey.model.release()
    posted = await journey.video(place.channel)
    await journey.until(lambda: place.channel.messages == [posted], "the card to go")
    assert posted.pings.users == {place.alice.id}
    assert len(journey.model.calls) == 1
    assert len(journey.model.charges_for(video_id(posted))) == 1
    assert journey.money(video_id(posted)) == "charged"


async def test_killed_when_the_video_had_come_but_was_not_posted(journey: Journey) -> None:
    await journey.start()
    place = journey.place()
    journey.model.hold("answer")
    await journey.told(await journey.ask(place.alice, place.channel, "a comet at dusk", duration=2))
    await journey.card(place.channel, "a comet at dusk")
    journey.discord.stop_rest()
    await journey.model.wait_for(lambda: journey.model.calls and journey.model.calls[0].uploaded)
    await journey.kill()
    assert journey.job(place)["state"] in {"submitted", "rendered"}
    journey.discord.start_rest()
    await journey.start()
    posted = await journey.video(place.channel)
    assert len(journey.model.calls) == 1
    assert len(videos(place.channel)) == 1
    assert journey.money(video_id(posted)) == "charged"


async def test_killed_while_the_post_is_on_its_way(journey: Journey) -> None:
    await journey.start()
    place = journey.place()
    on_its_way: list[str] = []

    def slow(method: str, path: str) -> float:
        if method == "POST" and path == f"/channels/{place.channel.id}/messages":
            on_its_way.append(path)
            return 2.0 if len(on_its_way) == 1 else 0.0
        return 0.0

    journey.discord.set_latency(slow)
    await journey.told(await journey.ask(place.alice, place.channel, "a comet at night", duration=2))
    await journey.until(lambda: on_its_way, "the post to leave")
    assert journey.job(place)["state"] == "rendered"
    await journey.restart()
    await journey.video(place.channel)
    posts = f"POST /channels/{place.channel.id}/messages"
    await journey.until(lambda: any(p.seconds > 1.9 for p in journey.discord.calls(posts)), "the dead process's post")
    # The dead process's post has come after the new one's; having the same nonce, it is dropped. On a slow machine it
    # has come first, and the new process has found it.
    assert journey.discord.nonce_hits == len(journey.discord.calls(posts)) - 1
    assert len(videos(place.channel)) == 1
    assert len(journey.model.calls) == 1


@pytest.mark.parametrize("later", [False, True])
async def test_killed_between_the_post_and_noting_it(journey: Journey, later: bool) -> None:
    await journey.start()
    place = journey.place()
    # The post takes effect, but its answer is lost; the bot waits a second before it would look again.
    journey.discord.fail_next(f"POST /channels/{place.channel.id}/messages", 503, after=True)
    await journey.told(await journey.ask(place.alice, place.channel, "a comet at dawn", duration=2))
    await journey.until(lambda: videos(place.channel), "the post")
    await journey.kill()
    assert journey.job(place)["state"] == "rendered"
    if later:
        journey.discord.nonces.clear()  # Discord remembers a nonce for a few minutes only
    await journey.start()
    posted = await journey.video(place.channel)
    await journey.until(lambda: place.channel.messages == [posted], "the card to go")
    assert journey.job(place)["message_id"] == posted.id
    assert len(journey.model.calls) == 1


async def test_killed_and_the_video_never_comes(journey: Journey) -> None:
    await journey.start()
    place = journey.place()
    journey.model.hold("upload")
    await journey.told(await journey.ask(place.alice, place.channel, "a comet in daylight", duration=2))
    await journey.model.wait_for(lambda: journey.model.calls and journey.model.calls[0].rendered)
    await journey.kill()
    journey.model.release()  # nobody is there to take the upload
    await journey.model.wait_for(lambda: journey.model.calls[0].finished)
    journey.minutes_pass()
    await journey.start()
    card = await journey.card(place.channel, "No video this time")
    job = journey.job(place)
    assert (job["state"], job["reason"]) == ("failed", "outcome unknown")
    assert journey.money(job["id"]) == "possibly_charged"
    assert "may have been charged" in card.text
    assert len(journey.model.calls) == 1
    opened = await journey.click(place.alice, card, "Retry")
    await journey.told(await journey.submit(place.alice, opened))
    await journey.video(place.channel)
    assert len(journey.model.calls) == 2


async def test_killed_and_the_gateways_log_says_that_the_call_was_refused(journey: Journey) -> None:
    await journey.start()
    place = journey.place()
    journey.model.hold()
    await journey.told(await journey.ask(place.alice, place.channel, "a comet on credit", duration=2))
    call = await journey.model.wait_for_call()
    await journey.kill()
    journey.model.write_log(call, success=False, status=402)
    await journey.start()
    card = await journey.card(place.channel, "Nothing was charged")
    assert [button.label for button in card.buttons] == ["Retry"]
    assert journey.job(place)["state"] == "failed"
    assert journey.money(journey.job(place)["id"]) == "released"
    assert len(journey.model.calls) == 1


async def test_killed_before_a_failure_is_told(journey: Journey) -> None:
    await journey.start()
    place = journey.place()
    journey.model.latency = 1.0
    await journey.told(await journey.ask(place.alice, place.channel, "a comet sandbox:fault=credentials", duration=2))
    await journey.card(place.channel, "Being made")
    journey.discord.set_latency(lambda method, path: 5.0 if method == "PATCH" and "/messages/" in path else 0.0)
    await journey.until(lambda: journey.job(place)["state"] == "failed", "the end of the job")
    await journey.kill()
    assert "Being made" in place.channel.messages[0].text
    journey.discord.set_latency(0.0)
    await journey.start()
    card = await journey.card(place.channel, "No video this time")
    assert [button.label for button in card.buttons] == ["Retry"]
    assert len(place.channel.messages) == 1


async def test_killed_before_the_card_is_written_down(journey: Journey) -> None:
    await journey.start()
    place = journey.place()
    journey.model.hold()
    # The card is posted, but its answer comes too late for the process that has posted it.
    followup = "POST /webhooks/*"
    journey.discord.fail_next(followup, 503, after=True, times=9)
    sent = await journey.ask(place.alice, place.channel, "a comet unnoticed", duration=2)
    await journey.told(sent)
    await journey.until(lambda: place.channel.messages, "the card")
    await journey.model.wait_for_call()
    await journey.kill()
    assert journey.job(place)["card_message_id"] is None
    cards = len(place.channel.messages)
    journey.discord.router.faults.clear()
    await journey.start()
    journey.model.release()
    posted = await journey.video(place.channel)
    await journey.until(lambda: len(place.channel.messages) == cards, "a card to go")
    assert posted in place.channel.messages


async def test_killed_three_times_in_the_midst_of_twelve_jobs(journey: Journey) -> None:
    seed = int(os.environ.get("JOURNEY_SEED") or random.randrange(10**6))
    print(f"JOURNEY_SEED={seed}")  # noqa: T201  to repeat this very storm
    chance = random.Random(seed)
    journey.model.render_seconds = lambda _: chance.uniform(0.05, 0.5)
    await journey.start(QUEUE__PER_GUILD_RUNNING="2", QUEUE__PER_USER_RUNNING="2")
    places = [journey.place("Storm club") for _ in range(3)]
    for number in range(4):
        for place in places:
            member = (place.alice, place.bob)[number % 2]
            await journey.told(await journey.ask(member, place.channel, f"wave number {number}", duration=1))
    for _ in range(3):
        await asyncio.sleep(chance.uniform(0.0, 0.8))
        await journey.restart()
    ended = ("posted", "failed")
    await journey.until(lambda: all(job["state"] in ended for job in journey.jobs()), "every job to end", 30)
    jobs = journey.jobs()
    assert len(jobs) == 12
    for job in jobs:
        assert len(journey.calls_for(job["id"])) == 1
        posted = job["state"] == "posted"
        assert len(journey.posts(job["id"])) == int(posted)
        assert job["reason"] == (None if posted else "outcome unknown")
        assert journey.money(job["id"]) == ("charged" if posted else "possibly_charged")
    await journey.make(places[0], "after the storm", duration=1)
