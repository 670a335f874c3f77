"""How many may wait and run, in which order they are served, and what a month may cost."""

from journey import Journey, Place


async def queue(journey: Journey, place: Place, *asks: tuple[str, str]) -> None:
    """Requests of (member, prompt), each accepted."""
    for name, prompt in asks:
        sent = await journey.ask(getattr(place, name), place.channel, prompt, duration=1)
        assert "Taken" in await journey.told(sent)


async def test_a_member_may_have_only_so_many_waiting(journey: Journey) -> None:
    journey.discord.ratelimits.enabled = False
    await journey.start(QUEUE__PER_USER_WAITING="2")
    place = journey.place()
    journey.model.hold()
    await queue(journey, place, ("alice", "a first hat"))
    await journey.model.wait_for_call()
    await queue(journey, place, ("alice", "a second hat"), ("alice", "a third hat"))
    refused = await journey.told(await journey.ask(place.alice, place.channel, "a fourth hat"))
    assert "waiting" in refused
    assert "2" in refused
    assert len(journey.jobs()) == 3
    await queue(journey, place, ("bob", "a hat for bob"))
    journey.model.release()
    await journey.video(place.channel, 4)
    await queue(journey, place, ("alice", "a fourth hat after all"))
    await journey.video(place.channel, 5)
    assert len(journey.model.ledger) == 5


async def test_a_server_may_have_only_so_many_waiting(journey: Journey) -> None:
    journey.discord.ratelimits.enabled = False
    await journey.start(QUEUE__PER_GUILD_WAITING="2", QUEUE__PER_GUILD_RUNNING="1")
    place, other = journey.place(), journey.place("Quiet club")
    journey.model.hold()
    await queue(journey, place, ("alice", "a first sail"))
    await journey.model.wait_for_call()
    await queue(journey, place, ("alice", "a second sail"), ("bob", "a third sail"))
    assert "waiting" in await journey.told(await journey.ask(place.bob, place.channel, "a fourth sail"))
    assert len(journey.jobs()) == 3
    await queue(journey, other, ("alice", "a sail elsewhere"))
    journey.model.release()
    await journey.video(place.channel, 3)
    await journey.video(other.channel, 1)


async def test_members_servers_and_the_whole_bot_run_only_so_many(journey: Journey) -> None:
    journey.discord.ratelimits.enabled = False
    await journey.start(QUEUE__MAX_RUNNING="3", QUEUE__PER_GUILD_RUNNING="2", QUEUE__PER_USER_RUNNING="1")
    place, other = journey.place(), journey.place("Quiet club")
    carol = place.guild.create_member("carol")
    journey.model.hold()

    def running() -> list[tuple[int, int]]:
        return sorted((job["guild_id"], job["user_id"]) for job in journey.jobs("state = 'submitted'"))

    await queue(journey, place, ("alice", "one lamp"), ("alice", "two lamps"))
    await journey.model.wait_for_call(1)
    assert running() == [(place.guild.id, place.alice.id)]
    await queue(journey, place, ("bob", "three lamps"))
    await journey.model.wait_for_call(2)
    assert "Taken" in await journey.told(await journey.ask(carol, place.channel, "four lamps", duration=1))
    await queue(journey, other, ("alice", "five lamps"), ("bob", "six lamps"))
    await journey.model.wait_for_call(3)
    assert running() == sorted(
        [(place.guild.id, place.alice.id), (place.guild.id, place.bob.id), (other.guild.id, other.alice.id)]
    )
    assert len(journey.model.calls) == 3
    journey.model.release()
    await journey.video(place.channel, 4)
    await journey.video(other.channel, 2)
    assert len(journey.model.calls) == 6


async def test_servers_and_members_are_served_in_turn(journey: Journey) -> None:
    journey.discord.ratelimits.enabled = False
    await journey.start(QUEUE__MAX_RUNNING="1")
    busy, quiet = journey.place("Busy club"), journey.place("Quiet club")
    journey.model.hold()
    await queue(journey, busy, ("alice", "alice 1"))
    await journey.model.wait_for_call()
    await queue(journey, busy, ("alice", "alice 2"), ("alice", "alice 3"), ("alice", "alice 4"), ("bob", "bob 1"))
    await queue(journey, quiet, ("alice", "quiet 1"), ("bob", "quiet 2"))
    journey.model.release()
    await journey.model.wait_for_call(7, 20)
    order = [call.input["prompt"] for call in journey.model.calls]
    assert order == ["alice 1", "quiet 1", "bob 1", "quiet 2", "alice 2", "alice 3", "alice 4"]
    await journey.video(busy.channel, 5)


async def test_the_months_budget_is_never_passed(journey: Journey) -> None:
    journey.discord.ratelimits.enabled = False
    await journey.start(BUDGET__MONTHLY_USD="0.40")
    place, other = journey.place(), journey.place("Other club")
    journey.model.fail_next("bad_input")
    await journey.told(await journey.ask(place.alice, place.channel, "refused, so it is free", duration=4))
    await journey.card(place.channel, "No video this time")
    await journey.make(place, "within the budget", duration=4)
    for where in (place, other):
        refused = await journey.told(await journey.ask(where.bob, where.channel, "beyond it", duration=2))
        assert "This month's budget for videos is used up" in refused
        assert "nothing was charged" in refused
    assert len(journey.jobs()) == 2
    sent = await journey.ask(other.alice, other.channel, "just fits", duration=1)
    assert "Taken" in await journey.told(sent)
    await journey.video(other.channel)
    assert journey.model.charged_usd == 0.4
