"""The five buttons of a posted video, and the forms behind three of them."""

from typing import Any

import pytest
from simcord.results import InteractionResult

from bot.model import can_edit, can_extend
from bot.store.records import State
from tests.cogs.stage import PROMPT, Seen, Stage, answer, parts, refusal, texts

LABELS = ["Extend", "Edit", "Retry", "Details", "Delete"]
FORMS = ["Extend", "Edit", "Retry"]
LONG = "x" * 5000


def fields(result: InteractionResult) -> dict[str, dict[str, Any]]:
    """The fields of the form that was shown, by custom_id."""
    assert result.modal is not None
    return {part["custom_id"]: part for part in parts(result.modal["components"]) if "custom_id" in part}


async def fill(stage: Stage, shown: InteractionResult, prompt: str = "then it naps", **more: Any) -> InteractionResult:
    values = {"prompt": prompt} | ({"duration": ["6"]} if "duration" in fields(shown) else {}) | more
    return await stage.bob.submit_modal(shown, values)


def again(result: InteractionResult) -> InteractionResult:
    """A client that sends a form twice, which simcord does not do by itself."""
    result._interaction.modal_consumed = False
    return result


# --- the buttons


async def test_all_five_are_there(stage: Stage) -> None:
    job, _ = await stage.posted()
    (post,) = stage.messages()
    assert list(post.buttons) == LABELS
    assert not any(button.get("disabled") for button in post.buttons.values())
    assert [button["custom_id"] for button in post.buttons.values()] == [
        f"cinecord:{label.lower()}:{job.id}" for label in LABELS
    ]


@pytest.mark.parametrize(
    ("seconds", "off"), [(1.5, ["Extend"]), (8.7, []), (8.8, ["Edit"]), (15.0, ["Edit"]), (21.0, ["Extend", "Edit"])]
)
async def test_one_that_cannot_apply_is_disabled_and_details_say_why(
    stage: Stage, seconds: float, off: list[str]
) -> None:
    _, message = await stage.posted(seconds=seconds)
    (post,) = stage.messages()
    assert list(post.buttons) == LABELS
    assert [label for label, button in post.buttons.items() if button.get("disabled")] == off
    details = answer(await stage.bob.click(message, label="Details"))
    reasons = {"Extend": can_extend(seconds), "Edit": can_edit(seconds)}
    for label, reason in reasons.items():
        assert (f"**{label} is off**: {reason}" in details) is (label in off)


@pytest.mark.parametrize("label", FORMS)
async def test_a_form_has_the_prompt_filled_in(stage: Stage, label: str) -> None:
    _, message = await stage.posted()
    shown = await stage.bob.click(message, label=label)
    found = fields(shown)
    assert (found["prompt"]["value"], found["prompt"]["required"]) == (PROMPT, True)
    if label == "Extend":
        options = {option["value"]: option.get("default", False) for option in found["duration"]["options"]}
        assert [int(value) for value in options] == list(range(2, 11))
        assert [value for value, chosen in options.items() if chosen] == ["6"]
    assert ("duration" in found) is (label == "Extend")
    assert stage.states() == ["posted"]


@pytest.mark.parametrize(
    ("label", "operation", "parent"), [("Extend", "extend", True), ("Edit", "edit", True), ("Retry", "generate", False)]
)
async def test_a_form_becomes_a_job_of_who_sent_it_also_after_a_restart(
    stage: Stage, label: str, operation: str, parent: bool
) -> None:
    job, message = await stage.posted()
    await stage.restart()
    shown = await stage.bob.click(message, label=label)
    await stage.restart()
    values: dict[str, Any] = {"duration": ["9"]} if label == "Extend" else {}
    result = await fill(stage, shown, **values)
    assert answer(result).startswith("Taken: $")
    row, request = stage.rows()[-1], stage.requests()[-1]
    assert (row["operation"], row["user_id"], row["state"]) == (operation, stage.bob.id, "queued")
    assert row["parent_id"] == (job.id if parent else None)
    assert request["prompt"] == "then it naps"
    assert request.get("duration") == {"Extend": 9, "Edit": None, "Retry": 2}[label]
    assert (request["video"]["key"] == job.video_key) if parent else ("video" not in request)
    assert "In line: number 1" in stage.messages()[-1].text


@pytest.mark.parametrize("label", FORMS)
async def test_a_form_that_is_sent_twice_is_taken_once(stage: Stage, label: str) -> None:
    _, message = await stage.posted()
    shown = await stage.bob.click(message, label=label)
    await fill(stage, shown)
    twice = refusal(await fill(stage, again(shown)))
    assert "sent before" in twice
    assert "costs once" in twice
    assert stage.states() == ["posted", "queued"]
    assert len(stage.messages()) == 2


async def test_a_form_that_is_opened_twice_is_two_requests(stage: Stage) -> None:
    _, message = await stage.posted()
    for _ in range(2):
        await fill(stage, await stage.bob.click(message, label="Retry"))
    assert stage.states() == ["posted", "queued", "queued"]


@pytest.mark.parametrize("label", FORMS)
async def test_a_prompt_too_long_for_a_form_is_used_again_when_left_empty(stage: Stage, label: str) -> None:
    _, message = await stage.posted(prompt=LONG)
    shown = await stage.bob.click(message, label=label)
    prompt = fields(shown)["prompt"]
    assert not prompt.get("value")
    assert not prompt["required"]
    assert "too long to show" in str(shown.modal)
    await fill(stage, shown, "")
    assert stage.requests()[-1]["prompt"] == LONG
    await fill(stage, await stage.bob.click(message, label=label), "short")
    assert stage.requests()[-1]["prompt"] == "short"


async def test_a_prompt_of_4000_letters_fits_into_a_form(stage: Stage) -> None:
    _, message = await stage.posted(prompt="x" * 4000)
    assert fields(await stage.bob.click(message, label="Retry"))["prompt"]["value"] == "x" * 4000


async def test_a_form_without_words_is_refused(stage: Stage) -> None:
    _, message = await stage.posted()
    result = await fill(stage, await stage.bob.click(message, label="Extend"), "   ")
    assert "prompt is empty" in refusal(result)
    assert stage.states() == ["posted"]


@pytest.mark.parametrize("label", FORMS)
async def test_a_form_whose_video_is_deleted_meanwhile_is_refused(stage: Stage, label: str) -> None:
    job, message = await stage.posted()
    other, _ = await stage.posted()
    shown = await stage.bob.click(message, label=label)
    if label == "Retry":
        stage.env.backend.interactions[shown._interaction.id].modal["custom_id"] = (  # pyright: ignore[reportOptionalSubscript]
            f"cinecord:form:retry:{'0' * 20}:1"
        )
    else:
        await stage.services.videos.mark_deleted(job.id)
    sentence = refusal(await fill(stage, shown))
    assert "deleted" in sentence or "not there any more" in sentence
    assert stage.states() == ["posted", "posted"]
    assert other.id != job.id


async def test_a_retry_whose_picture_is_gone_is_refused(stage: Stage) -> None:
    from bot.model import Operation, Request

    request = Request(operation=Operation.GENERATE, prompt=PROMPT, image="images/gone.png")
    _, message = await stage.posted(request=request)
    result = await fill(stage, await stage.bob.click(message, label="Retry"))
    assert "is deleted, so it cannot be repeated" in refusal(result)
    assert stage.states() == ["posted"]


async def test_a_forged_press_on_a_disabled_button_says_why(stage: Stage) -> None:
    _, message = await stage.posted(seconds=21.0)
    for button in parts(stage.env.backend.get_message(stage.channel.id, message.id).components):
        button["disabled"] = False
    for label, reason in (("Extend", can_extend(21.0)), ("Edit", can_edit(21.0))):
        assert refusal(await stage.bob.click(message, label=label)) == reason


# --- details


async def test_details_tell_all_there_is(stage: Stage) -> None:
    job, message = await stage.posted()
    result = await stage.bob.click(message, label="Details")
    details = answer(result)
    for part in (PROMPT, "Generate · 2 s · 480p", "64×48", "2 s", "$0.16", stage.ann.mention, f"`{job.id}`"):
        assert part in details
    assert "Made from" not in details
    assert result.response is not None
    gallery = [part for part in parts(result.response.components) if part["type"] == 12]
    assert len(gallery) == 1
    stored = stage.env.backend.get_message(stage.channel.id, result.response.id)
    assert [attachment["filename"] for attachment in stored.attachments] == ["filmstrip.jpg"]
    picture = stage.env.backend.cdn.get(stored.attachments[0]["url"])
    assert picture is not None
    assert picture.startswith(b"\xff\xd8")
    assert not stored.ping_user_ids


@pytest.mark.parametrize("letter", ["*", "x", "\u202e", "🦊"])
async def test_details_of_the_longest_prompts_fit_and_bring_them_whole(stage: Stage, letter: str) -> None:
    prompt = "a" + letter * 5998 + "b"
    job, message = await stage.posted(prompt=prompt)
    for _ in range(4):
        job, message = await stage.posted(prompt=prompt, parent_id=job.id, seconds=21.0)
    result = await stage.bob.click(message, label="Details")
    assert "Made from** 4 earlier videos" in answer(result)
    assert result.response is not None
    assert sum(map(len, texts(result.response.components))) <= 4000
    stored = stage.env.backend.get_message(stage.channel.id, result.response.id)
    files = {attachment["filename"]: attachment["url"] for attachment in stored.attachments}
    whole = stage.env.backend.cdn.get(files["prompt.txt"])
    assert whole is not None
    assert whole.decode() == prompt


async def test_a_prompt_that_is_not_shown_whole_comes_as_a_file(stage: Stage) -> None:
    for length in (1000, 1001, 1600, 3000):
        _, message = await stage.posted(prompt="w" * length)
        result = await stage.bob.click(message, label="Details")
        assert result.response is not None
        stored = stage.env.backend.get_message(stage.channel.id, result.response.id)
        shown_whole = "w" * length in answer(result)
        assert shown_whole or "prompt.txt" in [attachment["filename"] for attachment in stored.attachments]


async def test_details_without_a_filmstrip_still_come(stage: Stage) -> None:
    _, message = await stage.posted(content=b"no video at all")
    details = answer(await stage.bob.click(message, label="Details"))
    assert PROMPT in details
    assert stage.logged("video.no_filmstrip")


async def test_lineage_hides_what_was_deleted_or_is_not_for_this_member(stage: Stage) -> None:
    secret = stage.hidden_channel()
    gone = await stage.job(State.POSTED, prompt="gone words")
    await stage.services.videos.mark_deleted(gone.id)
    hidden = await stage.job(State.POSTED, prompt="secret words", channel_id=secret.id, parent_id=gone.id)
    seen = await stage.job(State.POSTED, prompt="open words", parent_id=hidden.id)
    _, message = await stage.posted(parent_id=seen.id)
    details = answer(await stage.bob.click(message, label="Details"))
    assert "Made from** 3 earlier videos" in details
    assert "open words" in details
    assert f"https://discord.com/channels/{stage.guild.id}/{stage.channel.id}/{seen.message_id}" in details
    assert "gone words" not in details
    assert "- Generate: deleted" in details
    assert "secret words" not in details
    assert "in a channel that you cannot see" in details


# --- delete


@pytest.mark.parametrize("who", ["ann", "mod"])
async def test_owner_and_moderators_delete(stage: Stage, who: str) -> None:
    job, message = await stage.posted()
    assert stage.files() == [job.video_key]
    result = await getattr(stage, who).click(message, label="Delete")
    assert answer(result) == "The video is deleted, here and where the bot kept it."
    assert stage.messages() == []
    assert stage.files() == []
    assert stage.rows("videos")[0]["deleted_at"] is not None
    assert await stage.services.videos.get(job.id, guild_id=stage.guild.id) is None


async def test_strangers_do_not_delete(stage: Stage) -> None:
    job, message = await stage.posted()
    assert "Only the member who asked" in refusal(await stage.bob.click(message, label="Delete"))
    assert len(stage.messages()) == 1
    assert stage.files() == [job.video_key]


async def test_a_message_that_discord_keeps_is_not_called_deleted(stage: Stage) -> None:
    _, message = await stage.posted()
    stage.env.inject_error("DELETE", "/channels/*/messages/*", status=500)
    assert "could not remove this message" in answer(await stage.ann.click(message, label="Delete"))
    assert stage.files() == []
    assert stage.logged("video.message_kept")


async def test_buttons_of_a_deleted_video_say_so(stage: Stage) -> None:
    job, message = await stage.posted()
    await stage.services.videos.mark_deleted(job.id)
    for label in LABELS:
        result = await stage.ann.click(message, label=label)
        if label == "Retry":  # the request is still there, and needs nothing of the video
            assert fields(result)["prompt"]["value"] == PROMPT
        else:
            assert refusal(result) == "That video is deleted."


# --- ids from elsewhere


async def test_an_id_from_another_guild_finds_nothing(stage: Stage) -> None:
    elsewhere = stage.env.create_guild("Elsewhere")
    secret = elsewhere.create_text_channel("secret")
    job = await stage.job(State.POSTED, guild_id=elsewhere.id, channel_id=secret.id, prompt="secret words")
    _, message = await stage.posted()
    stored = stage.env.backend.get_message(stage.channel.id, message.id)
    for part in parts(stored.components):
        if "custom_id" in part:
            part["custom_id"] = part["custom_id"][:-20] + job.id
    for label in LABELS:
        sentence = refusal(await stage.mod.click(message, label=label))
        assert sentence == ("That request is not there any more." if label == "Retry" else "That video is deleted.")
    assert len(stage.files()) == 2


async def test_in_direct_messages_the_buttons_say_where_they_work(stage: Stage) -> None:
    stage.env.inject_error("POST", f"/channels/{stage.channel.id}/messages", status=403, code=50013)
    await stage.job(State.POSTED)
    private = stage.ann.user.dm_channel
    (message,) = private.history()
    assert list(Seen(stage.env.backend.get_message(private.id, message.id)).buttons) == LABELS
    for label in LABELS:
        result = await stage.ann.user.click(message, label=label)
        assert "work only in the server" in refusal(result)
