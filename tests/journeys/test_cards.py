"""The status card: place in line, Cancel, and who is mentioned."""

import copy

import pytest
from journey import Journey, Place, video_id, videos

from sandbox.discord import Permission, Role
from sandbox.discord.permissions import BOT

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {"QUEUE__PER_USER_WAITING": "10", "QUEUE__MAX_RUNNING": "50"}


async def waiting(shared: Journey, place: Place, *prompts: str) -> None:
    """One job of alice's that is being made for as long as the model is held, and these behind it."""
    shared.model.hold()
    calls = len(shared.model.calls)
    await shared.told(await shared.ask(place.alice, place.channel, "the one in front", duration=1))
    await shared.model.wait_for_call(calls + 1)
    for prompt in prompts:
        await shared.told(await shared.ask(place.alice, place.channel, prompt, duration=1))
        await shared.card(place.channel, prompt)


async def test_cards_tell_the_place_in_line_and_move_up(shared: Journey, place: Place) -> None:
    await waiting(shared, place, "second in line", "third in line")
    front, second, third = [await shared.card(place.channel, words) for words in ("in front", "second", "third")]
    await shared.until(lambda: "Being made" in front.text, "the first card to say that it is being made")
    assert [button.disabled for button in front.buttons] == [True]
    assert "In line: number 1" in second.text
    assert "In line: number 2" in third.text
    assert [b.label for b in third.buttons] == ["Cancel"]
    await shared.answered(await place.alice.click(second, "Cancel"))
    await shared.until(lambda: "In line: number 1" in third.text, "the third card to move up")
    shared.model.release()
    await shared.video(place.channel, 2)
    await shared.until(lambda: front.deleted and third.deleted, "the cards to go")
    assert [m for m in place.channel.messages if not m.media] == [second]


@pytest.mark.parametrize("who", ["owner", "moderator"])
async def test_owner_and_moderators_cancel_what_waits(shared: Journey, place: Place, who: str) -> None:
    moderator = place.guild.create_member("mona", permissions=Permission.MANAGE_MESSAGES)
    await waiting(shared, place, "an idea that was not so good")
    card = await shared.card(place.channel, "not so good")
    calls = len(shared.model.calls)
    person = place.alice if who == "owner" else moderator
    await shared.answered(await person.click(card, "Cancel"))
    await shared.until(lambda: "Cancelled" in card.text, "the card to say so")
    assert f"<@{person.id}>" in card.text
    assert "Nothing was charged" in card.text
    assert card.buttons == []
    assert shared.job(place, 2)["state"] == "cancelled"
    assert shared.money(shared.job(place, 2)["id"]) == "released"
    shared.model.release()
    await shared.video(place.channel)
    assert len(shared.model.calls) == calls


async def test_strangers_cannot_cancel(shared: Journey, place: Place) -> None:
    await waiting(shared, place, "mine alone")
    card = await shared.card(place.channel, "mine alone")
    sent = await place.bob.click(card, "Cancel")
    assert "Only the member who asked" in await shared.told_aside(sent)
    assert "In line" in card.text
    shared.model.release()
    await shared.video(place.channel, 2)


async def test_a_second_click_on_cancel_gets_one_sentence(shared: Journey, place: Place) -> None:
    await waiting(shared, place, "cancelled with two clicks")
    card = await shared.card(place.channel, "two clicks")
    custom_id = card.buttons[0].custom_id
    assert custom_id is not None
    await shared.answered(await place.alice.press(place.channel, custom_id, card))
    again = await place.alice.press(place.channel, custom_id, card)
    assert await shared.told_aside(again) == "This request is cancelled already. Nothing was charged."
    await shared.until(lambda: "Cancelled" in card.text, "the card to say so")
    shared.model.release()
    await shared.video(place.channel)


async def test_cancel_that_comes_too_late_says_so(shared: Journey, place: Place) -> None:
    shared.model.hold()
    calls = len(shared.model.calls)
    await shared.told(await shared.ask(place.alice, place.channel, "claimed at once", duration=1))
    card = await shared.card(place.channel, "claimed at once")
    await shared.model.wait_for_call(calls + 1)
    # What a client that missed the card's last change still shows.
    stale = copy.copy(card)
    cancel = {
        "type": 2,
        "id": 98,
        "style": 2,
        "label": "Cancel",
        "custom_id": f"cinecord:cancel:{shared.job(place)['id']}",
    }
    stale.components = [{"type": 1, "id": 99, "components": [cancel]}]
    assert "too late to cancel" in await shared.told_aside(await place.alice.click(stale, "Cancel"))
    shared.model.release()
    await shared.video(place.channel)


@pytest.mark.parametrize("late", ["PATCH", "POST"])
async def test_a_failure_is_told_once_though_its_card_comes_late(shared: Journey, place: Place, late: str) -> None:
    slowed: list[str] = []

    def slow(method: str, path: str) -> float:
        if slowed or method != late or not path.startswith("/webhooks/"):
            return 0.0
        slowed.append(path)
        return 0.8

    shared.discord.set_latency(slow)
    other = place.guild.create_channel("other")
    first = await shared.ask(place.alice, place.channel, "bad luck sandbox:fault=bad_input", duration=1)
    await shared.until(lambda: slowed, "the card's way to be slow")
    await shared.told(await shared.ask(place.bob, other, "this wakes the dispatcher", duration=1))
    await shared.video(other)
    await shared.state(shared.job(place)["id"], "failed")
    await shared.told(first)
    told = await shared.card(place.channel, "No video this time")
    await shared.told(await shared.ask(place.bob, other, "meanwhile, elsewhere", duration=1))
    await shared.video(other, 2)
    assert place.channel.messages == [told]
    assert [button.label for button in told.buttons] == ["Retry"]


async def test_no_prompt_pings_anybody_but_who_asked(shared: Journey) -> None:
    guild = shared.discord.create_guild("Loud club", bot_permissions=BOT | Permission.MENTION_EVERYONE)
    channel = guild.create_channel("general")
    alice, bob = guild.create_member("alice"), guild.create_member("bob")
    role: Role = guild.create_role("crew", mentionable=True)
    prompt = (
        f"@everyone @here {bob.mention} <@&{role.id}> ```\n# code``` [free](https://example.org) ||spoiler|| "
        f"<#{channel.id}> \u202egnp.exe ~~x~~ __y__ **z** `@everyone` -# small\n> quote"
    )
    await shared.told(await shared.ask(alice, channel, prompt, duration=1))
    posted = await shared.video(channel)
    touching = [m for m in (*channel.messages, *shared.discord.deleted) if m.channel is channel]
    assert {user for m in touching for user in m.pings.users} == {alice.id}
    assert not any(m.pings.everyone or m.pings.roles for m in touching)
    assert posted.pings.users == {alice.id}
    assert "```" not in posted.text
    assert "](https" not in posted.text
    assert "\u202e" not in posted.text
    # The model gets what was written.
    assert shared.calls_for(video_id(posted))[0].input["prompt"] == prompt
    opened = await shared.click(bob, posted, "Retry")
    await shared.told(await shared.submit(bob, opened))
    again = await shared.until(lambda: videos(channel)[1] if len(videos(channel)) == 2 else None, "the second video")
    assert again.pings.users == {bob.id}
    details = await shared.click(bob, again, "Details")
    await shared.told(details)
    assert details.original is not None
    assert not details.original.pings


async def test_piles_of_marks_do_not_spill_over_other_messages(shared: Journey, place: Place) -> None:
    pile = "Z" + "\u0301\u0489\u0300" * 500 + "algo"
    await shared.told(await shared.ask(place.alice, place.channel, pile, duration=1))
    posted = await shared.video(place.channel)
    assert sum(char in "\u0301\u0489\u0300" for char in posted.text) <= 3
    assert "algo" in posted.text
