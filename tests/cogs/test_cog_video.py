"""/video generate, reference, edit, extend: what is taken, what is refused, and what either leaves behind."""

import struct
from typing import Any

import discord
import pytest

from bot.store.records import State
from tests.bot.parts import clip, moving_gif, png
from tests.cogs.stage import PROMPT, Stage, answer, refusal


async def test_a_prompt_becomes_a_job_a_private_answer_and_a_card(stage: Stage) -> None:
    result = await stage.ann.slash(
        stage.channel, "video generate", prompt=PROMPT, duration=3, aspect_ratio="9:16", resolution="720p"
    )
    assert answer(result) == "Taken: $0.42 is set aside for it. The video will be posted here."
    assert stage.requests() == [
        {"operation": "generate", "prompt": PROMPT, "duration": 3, "aspect_ratio": "9:16", "resolution": "720p"}
    ]
    (row,) = stage.rows()
    assert (row["state"], row["user_id"], row["price"]) == ("queued", stage.ann.id, 420_000)
    (card,) = stage.messages()
    assert "In line: number 1" in card.text
    assert f"> {PROMPT}" in card.text
    assert "Generate · 3 s · 720p · 9:16 · $0.42" in card.text
    assert list(card.buttons) == ["Cancel"]
    assert row["card_message_id"] == card.id
    assert not card.pinged
    (line,) = stage.logged("job.accepted")
    assert PROMPT not in str(line)


async def test_the_first_answer_comes_before_the_work(stage: Stage) -> None:
    await stage.ann.slash(stage.channel, "video generate", prompt=PROMPT, image=("a.png", png()))
    calls = [(request.method, request.path.split("/")[-1]) for request in stage.env.http_requests]
    assert calls[-3:] == [("POST", "callback"), ("PATCH", "@original"), ("POST", calls[-1][1])]


async def test_only_options_of_any_length_and_size_pass(stage: Stage) -> None:
    await stage.ann.slash(stage.channel, "video generate", prompt="x" * 6000, size="1920x1080")
    assert stage.requests() == [{"operation": "generate", "prompt": "x" * 6000, "size": "1920x1080"}]
    assert stage.rows()[0]["price"] == 8 * 140_000


async def test_a_picture_is_made_safe_and_kept(stage: Stage) -> None:
    await stage.ann.slash(stage.channel, "video generate", prompt=PROMPT, image=("holiday.png", png()))
    (request,) = stage.requests()
    assert set(request) == {"operation", "prompt", "image"}
    assert stage.files() == [request["image"]]
    assert "from a picture" in stage.messages()[0].text


async def test_of_a_moving_picture_the_answer_says_what_was_used(stage: Stage) -> None:
    result = await stage.ann.slash(stage.channel, "video generate", prompt=PROMPT, image=("cat.gif", moving_gif()))
    assert "first frame" in answer(result)


async def test_references_keep_their_order(stage: Stage) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    pictures: dict[str, Any] = {f"image{n}": (f"{n}.png", png(colour)) for n, colour in enumerate(colours, 1)}
    await stage.ann.slash(stage.channel, "video reference", prompt=PROMPT, duration=4, **pictures)
    for colour in colours:
        await stage.bob.slash(stage.channel, "video generate", prompt=PROMPT, image=("one.png", png(colour)))
    reference, *singles = stage.requests()
    assert reference["reference_images"] == [single["image"] for single in singles]
    assert reference["duration"] == 4
    assert "3 references" in stage.messages()[0].text


async def test_ten_references_pass(stage: Stage) -> None:
    pictures: dict[str, Any] = {f"image{n}": (f"{n}.png", png((n, n, n))) for n in range(1, 11)}
    await stage.ann.slash(stage.channel, "video reference", prompt=PROMPT, **pictures)
    assert len(stage.requests()[0]["reference_images"]) == 10


async def test_an_uploaded_video_is_edited(stage: Stage) -> None:
    await stage.ann.slash(stage.channel, "video edit", prompt="at night", video=("a.mp4", clip(stage.path.parent)))
    (request,) = stage.requests()
    assert request["operation"] == "edit"
    assert request["video"]["seconds"] == pytest.approx(2, abs=0.2)
    assert stage.files() == [request["video"]["key"]]
    assert stage.rows()[0]["parent_id"] is None


async def test_of_a_longer_video_a_part_is_edited(stage: Stage) -> None:
    await stage.ann.slash(
        stage.channel, "video edit", prompt="at night", video=("a.mp4", clip(stage.path.parent, 10.0)), start=2.5
    )
    assert stage.requests()[0]["video"]["seconds"] == pytest.approx(7.5, abs=0.3)


async def test_an_uploaded_video_is_extended(stage: Stage) -> None:
    await stage.ann.slash(
        stage.channel, "video extend", prompt="it jumps", video=("a.mp4", clip(stage.path.parent, 3.0)), duration=4
    )
    (request,) = stage.requests()
    assert (request["operation"], request["duration"]) == ("extend", 4)
    assert stage.rows()[0]["price"] == 4 * 80_000


@pytest.mark.parametrize("command", ["edit", "extend"])
async def test_a_video_made_here_is_a_source(stage: Stage, command: str) -> None:
    job, _ = await stage.posted()
    await stage.bob.slash(stage.channel, f"video {command}", prompt="again", source=job.id)
    row = stage.rows()[-1]
    assert (row["operation"], row["parent_id"], row["user_id"]) == (command, job.id, stage.bob.id)
    assert stage.requests()[-1]["video"]["key"] == job.video_key


PICTURES_THAT_ARE_NONE = {
    "empty": ("a.png", b""),
    "text": ("a.png", b"just some words, nothing to look at"),
    "truncated": ("a.jpg", png()[:40]),
    "svg": ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "30,000 × 30,000 pixels": ("a.png", png()[:16] + struct.pack(">II", 30_000, 30_000) + png()[24:]),
}


async def refuses(stage: Stage, command: str, *sayings: str, **options: Any) -> str:
    """The command is refused in private with all of `sayings`, and leaves no row, no file and no card."""
    before = stage.rows(), stage.files(), len(stage.messages())
    sentence = refusal(await stage.ann.slash(stage.channel, command, **options))
    for saying in sayings:
        assert saying in sentence
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert "Traceback" not in stage.discord_saw()
    assert (stage.rows(), stage.files(), len(stage.messages())) == before
    assert not [line for line in stage.logs if line["log_level"] in {"error", "critical"}]
    return sentence


async def test_pictures_that_are_none_are_refused(stage: Stage) -> None:
    for name, picture in PICTURES_THAT_ARE_NONE.items():
        sentence = await refuses(stage, "video generate", prompt=PROMPT, image=picture)
        assert any(word in sentence for word in ("picture", "file", "drawings")), name
    assert "video" in await refuses(stage, "video generate", prompt=PROMPT, image=("a.png", clip(stage.path.parent)))
    await refuses(stage, "video reference", prompt=PROMPT, image1=("a.png", png()), image2=("b.png", b"no"))


async def test_prompts_without_words_are_refused(stage: Stage) -> None:
    for prompt in (" ", "\n\t ", "\u200b\u200b", "\u2800"):
        await refuses(stage, "video generate", "prompt is empty", prompt=prompt)


async def test_options_that_contradict_each_other_are_refused(stage: Stage) -> None:
    given = {"prompt": PROMPT}
    await refuses(stage, "video generate", "Size and resolution", **given, size="848x480", resolution="480p")
    await refuses(stage, "video generate", "Size and aspect ratio", **given, size="848x480", aspect_ratio="1:1")
    await refuses(stage, "video generate", "picture's shape", **given, image=("a.png", png()), aspect_ratio="1:1")


@pytest.mark.parametrize("command", ["video edit", "video extend"])
async def test_sources_that_are_none_are_refused(stage: Stage, command: str) -> None:
    upload = ("a.mp4", clip(stage.path.parent))
    job, _ = await stage.posted()
    await refuses(stage, command, "`video`", "`source`", prompt=PROMPT)
    await refuses(stage, command, "not both", prompt=PROMPT, video=upload, source=job.id)
    await refuses(stage, command, "list that `source` offers", prompt=PROMPT, source="the fox one")
    await refuses(stage, command, "list that `source` offers", prompt=PROMPT, source="0" * 20)
    await refuses(stage, command, prompt=PROMPT, video=("a.mp4", png()))
    await refuses(stage, command, prompt=PROMPT, video=("a.mp4", b"\0" * 1000))
    await refuses(stage, command, "0 bytes", prompt=PROMPT, video=("a.mp4", b""))


async def test_videos_of_the_wrong_length_are_refused(stage: Stage) -> None:
    long, short = ("a.mp4", clip(stage.path.parent, 10.0)), ("a.mp4", clip(stage.path.parent, 1.0))
    await refuses(stage, "video edit", "8.7 seconds", "start", prompt=PROMPT, video=long)
    await refuses(stage, "video edit", "`start` must be below", prompt=PROMPT, video=long, start=11.0)
    await refuses(stage, "video extend", "at least 2 seconds", prompt=PROMPT, video=short)


async def test_files_from_elsewhere_are_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simcord.backend.cdn.CDN_BASE", "https://cdn.evil.example")
    await refuses(stage, "video generate", "uploaded to Discord", prompt=PROMPT, image=("a.png", png()))
    await refuses(stage, "video edit", "uploaded to Discord", prompt=PROMPT, video=("a.mp4", clip(stage.path.parent)))


async def test_an_upload_that_is_gone_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.env.backend.cdn, "get", lambda _url: None)
    await refuses(stage, "video generate", "expired or was deleted", prompt=PROMPT, image=("a.png", png()))


@pytest.mark.parametrize("stage", [{"per_user_waiting": 1, "per_guild_waiting": 2}], indirect=True)
async def test_a_full_line_is_refused(stage: Stage) -> None:
    await stage.ann.slash(stage.channel, "video generate", prompt=PROMPT)
    await refuses(stage, "video generate", "You have 1 request", prompt=PROMPT, image=("a.png", png()))
    await stage.bob.slash(stage.channel, "video generate", prompt=PROMPT)
    full = refusal(await stage.mod.slash(stage.channel, "video generate", prompt=PROMPT))
    assert "This server has 2 requests waiting" in full


@pytest.mark.parametrize(
    ("denied", "named"),
    [
        ({"attach_files": False}, "Attach Files"),
        ({"send_messages": False}, "Send Messages"),
        ({"attach_files": False, "send_messages": False}, "Send Messages, Attach Files"),
    ],
)
async def test_a_missing_permission_of_the_bot_is_named(stage: Stage, denied: dict[str, Any], named: str) -> None:
    me = stage.guild.me
    assert me is not None
    stage.channel = stage.guild.create_text_channel("closed", overwrites={me: discord.PermissionOverwrite(**denied)})
    await refuses(stage, "video generate", named, "Ask a moderator", prompt=PROMPT)


async def test_in_direct_messages_nothing_is_made(stage: Stage) -> None:
    # Discord does not offer the command there; this is a Discord that does.
    stage.env.backend.commands[None]["video", 1]["contexts"] = [0, 1]
    sentence = refusal(await stage.ann.user.slash("video generate", prompt=PROMPT))
    assert "not in direct messages" in sentence
    assert stage.rows() == []


async def test_an_option_that_this_version_does_not_know_is_refused(stage: Stage) -> None:
    # A client with yesterday's commands, where the prompt could be left out.
    options = stage.env.backend.commands[None]["video", 1]["options"][0]["options"]
    options[0]["required"] = False
    await refuses(stage, "video generate", "reload Discord")


async def test_places_count_and_jobs_at_work_do_not(stage: Stage) -> None:
    await stage.job(State.SUBMITTED, user_id=stage.bob.id)
    await stage.ann.slash(stage.channel, "video generate", prompt="first")
    await stage.env.advance_time(1)
    await stage.ann.slash(stage.channel, "video generate", prompt="second")
    assert ["In line: number 1" in stage.messages()[0].text, "In line: number 2" in stage.messages()[1].text] == [
        True
    ] * 2
