"""What people do with a posted video: extend, edit, ask again, look at it, delete it. One bot for all walks."""

from typing import Any

import pytest
from journey import Journey, Place, button, video_id, videos
from pictures import clip, look_at

from sandbox.discord import File, Permission

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNKNOWN_ID = "00000000000000000000"


async def test_details_show_the_lineage_and_a_filmstrip(shared: Journey, place: Place) -> None:
    first = await shared.make(place, "a seed in the soil", duration=3)
    opened = await shared.click(place.bob, first, "Extend")
    await shared.told(await shared.submit(place.bob, opened, {"prompt": "a sprout breaks through", "duration": ["2"]}))
    second = await shared.video(place.channel, 2)
    assert second.pings.users == {place.bob.id}
    sent = await shared.click(place.bob, second, "Details")
    text = await shared.told(sent)
    assert "a sprout breaks through" in text
    assert "Generate: a seed in the soil" in text
    assert str(first.id) in text
    assert f"<@{place.bob.id}>" in text
    assert sent.original is not None
    [strip] = sent.original.media
    assert strip.content_type == "image/jpeg"
    assert strip.width is not None
    assert strip.height is not None
    assert strip.width > 2 * strip.height


async def test_buttons_that_cannot_apply_are_disabled_and_details_say_why(shared: Journey, place: Place) -> None:
    long = await shared.make(place, "a slow sunset", duration=9)
    assert button(long, "Edit").disabled
    assert not button(long, "Extend").disabled
    text = await shared.told(await shared.click(place.alice, long, "Details"))
    assert "Edit is off" in text
    assert "8.7 seconds" in text
    forged = await shared.answered(await place.alice.press(place.channel, f"cinecord:edit:{video_id(long)}", long))
    assert "8.7 seconds" in await shared.told(forged)
    short = await shared.make(place, "a blink", duration=1)
    assert button(short, "Extend").disabled
    assert "at least 2 seconds" in await shared.told(await shared.click(place.alice, short, "Details"))


async def test_a_long_clip_cannot_be_extended_past_what_the_model_takes(shared: Journey, place: Place) -> None:
    long = await shared.make(place, "a marathon", duration=15)
    opened = await shared.click(place.alice, long, "Extend")
    await shared.submit(place.alice, opened, {"duration": ["2"]})
    longer = await shared.video(place.channel, 2)
    assert button(longer, "Extend").disabled
    assert button(longer, "Edit").disabled
    assert "Extend is off" in await shared.told(await shared.click(place.alice, longer, "Details"))


async def test_the_same_form_sent_twice_makes_one_video(shared: Journey, place: Place) -> None:
    first = await shared.make(place, "an empty stage")
    opened = await shared.click(place.alice, first, "Edit")
    once = await shared.submit(place.alice, opened, {"prompt": "a dancer enters"})
    again = await shared.submit(place.alice, opened, {"prompt": "a dancer enters"})
    assert "$" in await shared.told(once)
    assert "taken once" in await shared.told(again)
    await shared.video(place.channel, 2)
    assert len(shared.jobs("guild_id = ?", place.guild.id)) == 2
    assert len(videos(place.channel)) == 2


async def test_retry_asks_again_with_the_same_settings_and_another_prompt(shared: Journey, place: Place) -> None:
    first = await shared.make(place, "a red balloon", duration=2, resolution="720p", aspect_ratio="4:3")
    opened = await shared.click(place.bob, first, "Retry")
    assert opened.modal is not None
    assert [field.value for field in opened.modal.fields] == ["a red balloon"]
    await shared.told(await shared.submit(place.bob, opened, {"prompt": "a blue balloon"}))
    second = await shared.video(place.channel, 2)
    asked = [dict(shared.calls_for(video_id(post))[0].input) for post in (first, second)]
    for given in asked:
        del given["output"], given["user"]
    assert asked[1] == asked[0] | {"prompt": "a blue balloon"}
    assert second.pings.users == {place.bob.id}


async def test_source_offers_and_takes_only_what_the_member_may_see(shared: Journey, place: Place) -> None:
    hidden = place.guild.create_channel("moderators")
    hidden.deny(Permission.VIEW_CHANNEL, who=place.guild.everyone)
    hidden.allow(Permission.VIEW_CHANNEL, Permission.SEND_MESSAGES, Permission.ATTACH_FILES)
    hidden.allow(Permission.VIEW_CHANNEL, who=place.alice)
    seen = await shared.make(place, "an open square")
    await shared.told(await shared.ask(place.alice, hidden, "a hidden court", duration=3))
    secret = await shared.video(hidden)
    offered = [
        [
            choice.value
            for choice in await member.autocomplete(place.channel, "video extend", {"source": ""}, focused="source")
        ]
        for member in (place.alice, place.bob)
    ]
    assert offered == [[video_id(secret), video_id(seen)], [video_id(seen)]]
    typed = await place.alice.autocomplete(place.channel, "video edit", {"source": "square"}, focused="source")
    assert [choice.value for choice in typed] == [video_id(seen)]
    assert typed[0].name.startswith("an open square")
    refused = await shared.ask(place.bob, place.channel, "now at night", "extend", source=video_id(secret))
    assert "not there any more" in await shared.told(refused)
    assert len(shared.jobs("guild_id = ?", place.guild.id)) == 2


@pytest.mark.parametrize("command", ["edit", "extend"])
async def test_a_video_made_here_is_the_source_of_a_command(shared: Journey, place: Place, command: str) -> None:
    first = await shared.make(place, "a closed door", duration=3)
    await shared.told(await shared.ask(place.bob, place.channel, "it opens", command, source=video_id(first)))
    data = (await shared.video(place.channel, 2)).media[0].data
    assert data is not None
    assert look_at(data)[0] == {"edit": 3.0, "extend": 9.0}[command]
    job = shared.job(place, 2)
    assert job["parent_id"] == video_id(first)
    assert shared.calls_for(job["id"])[0].input["_operation"] == command


async def test_an_uploaded_video_is_edited_and_extended(shared: Journey, place: Place) -> None:
    upload: dict[str, Any] = {"video": File("mine.mp4", clip(3.0))}
    await shared.told(await shared.ask(place.alice, place.channel, "make it winter", "edit", **upload))
    edited = await shared.video(place.channel, 1)
    await shared.told(await shared.ask(place.alice, place.channel, "walk on", "extend", duration=2, **upload))
    extended = await shared.video(place.channel, 2)
    lengths = [look_at(post.media[0].data or b"") for post in (edited, extended)]
    assert [length[0] for length in lengths] == [3.0, 5.0]
    assert {length[1:] for length in lengths} == {(320, 240)}


async def test_a_part_of_a_long_upload_is_edited_from_its_start_time(shared: Journey, place: Place) -> None:
    upload = File("long.webm", clip(11.0, "matroska"))
    sent = await shared.ask(place.alice, place.channel, "in black and white", "edit", video=upload, start=4.0)
    await shared.told(sent)
    data = (await shared.video(place.channel)).media[0].data
    assert data is not None
    assert look_at(data)[0] == pytest.approx(7.0, abs=0.1)


@pytest.mark.parametrize("who", ["owner", "moderator"])
async def test_owner_and_moderators_delete_a_video_for_good(shared: Journey, place: Place, who: str) -> None:
    moderator = place.guild.create_member("mona", permissions=Permission.MANAGE_MESSAGES)
    posted = await shared.make(place, "a sand castle")
    files = [name for name in shared.files() if video_id(posted) in name]
    assert len(files) == 1
    person = place.alice if who == "owner" else moderator
    assert "deleted" in await shared.told(await shared.click(person, posted, "Delete"))
    assert posted.deleted
    assert not set(files) & set(shared.files())
    assert shared.rows("SELECT deleted_at FROM videos WHERE id = ?", video_id(posted))[0]["deleted_at"]


async def test_a_stranger_cannot_delete_a_video(shared: Journey, place: Place) -> None:
    posted = await shared.make(place, "an oak tree")
    assert "a moderator, can delete" in await shared.told(await shared.click(place.bob, posted, "Delete"))
    assert not posted.deleted
    assert [name for name in shared.files() if video_id(posted) in name]


async def test_buttons_of_a_deleted_video_say_so(shared: Journey, place: Place) -> None:
    posted = await shared.make(place, "a snowman in March")
    opened = await shared.click(place.alice, posted, "Extend")
    await shared.told(await shared.click(place.alice, posted, "Delete"))
    for action in ("extend", "edit", "details", "delete"):
        custom_id = f"cinecord:{action}:{video_id(posted)}"
        sent = await shared.answered(await place.alice.press(place.channel, custom_id, posted))
        assert await shared.told(sent) == "That video is deleted."
    assert await shared.told(await shared.submit(place.alice, opened)) == "That video is deleted."
    assert len(shared.jobs("guild_id = ?", place.guild.id)) == 1


async def test_a_video_of_another_server_answers_to_nobody_here(shared: Journey, place: Place) -> None:
    posted = await shared.make(place, "a family portrait")
    other = shared.place("Other club")
    before = len(shared.model.calls)
    for action in ("extend", "edit", "retry", "details", "delete"):
        custom_id = f"cinecord:{action}:{video_id(posted)}"
        # Another server's message under a press from here: no client can send it, and Discord would not let it pass.
        sent = await shared.answered(await other.alice.press(other.channel, custom_id, posted))
        assert (await shared.told(sent)) in {"That video is deleted.", "That request is not there any more."}
    sent = await shared.ask(other.alice, other.channel, "take it over", "edit", source=video_id(posted))
    assert "not there any more" in await shared.told(sent)
    assert not posted.deleted
    assert len(shared.model.calls) == before


async def test_made_up_buttons_do_nothing(shared: Journey, place: Place) -> None:
    posted = await shared.make(place, "a robin")
    actions = ("extend", "edit", "retry", "details", "delete", "cancel", "conquer")
    made_up = [f"cinecord:{action}:{UNKNOWN_ID}" for action in actions]
    made_up += [
        f"cinecord:delete:{video_id(posted)}:now",
        f"cinecord:cancel:{video_id(posted)}",
        "cinecord:",
        "x" * 100,
    ]
    forged = [await place.bob.press(place.channel, custom_id, posted) for custom_id in made_up]
    await shared.told(await shared.click(place.bob, posted, "Details"))
    assert [sent.response for sent in forged] == [None] * len(forged)
    assert place.channel.messages == [posted]
    assert len(shared.jobs("guild_id = ?", place.guild.id)) == 1


async def test_a_made_up_source_gets_one_sentence(shared: Journey, place: Place) -> None:
    for source in (UNKNOWN_ID, "../../etc/passwd", "'; DROP TABLE jobs; --", "x" * 6000):
        sent = await shared.ask(place.alice, place.channel, "what is this", "extend", source=source)
        assert await shared.told(sent) == (
            "That video is not there any more. Choose one from the list that `source` offers."
        )
    assert shared.jobs("guild_id = ?", place.guild.id) == []
