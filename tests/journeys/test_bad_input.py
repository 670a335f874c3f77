"""Each bad request ends with one clear sentence to its sender, costs nothing, and leaves nothing behind."""

from typing import Any

import pytest
from journey import OPENAPI, Journey, Place
from pictures import clip, huge_png, photo_on_its_side, picture

from sandbox.discord import File, Interaction, Permission

pytestmark = pytest.mark.asyncio(loop_scope="module")

SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9"/></svg>'


async def refused(shared: Journey, place: Place, sent: Interaction) -> str:
    """The one private sentence; nothing else has happened."""
    answer = await shared.told(sent)
    await shared.until(lambda: shared.files() == [], f"the storage to be empty again: {shared.files()}", 3)
    assert sent.followups == []
    assert sent.messages == place.alice.ephemeral(place.channel)[-1:]
    assert place.channel.messages == []
    assert 10 < len(answer) < 260
    assert "\n" not in answer
    assert shared.jobs() == []
    assert shared.rows("SELECT * FROM ledger") == []
    assert shared.rows("SELECT * FROM job_files") == []
    assert shared.model.calls == []
    return answer


async def test_discords_own_description_judges_every_message(shared: Journey) -> None:
    if not OPENAPI.is_file():
        pytest.skip(f"Discord's OpenAPI description is not at {OPENAPI}: set DISCORD_OPENAPI")
    assert shared.discord.openapi is not None


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("", "prompt"),
        (" ", "empty"),
        ("\t\n \u3000\u200b\u2800", "empty"),
        ("\u0301" * 5999, "empty"),
        ("x" * 6001, "6,000"),
        ("x" * 100_000, "6,000"),
        ("\u0489\u0300" * 1_000_000, "6,000"),
        ("🎬" * 3001 + "x" * 3001, "6,000"),
    ],
    ids=["empty", "space", "blanks", "only marks", "6001", "100000", "4 MB of marks", "emoji"],
)
async def test_a_prompt_that_is_none_or_too_long(shared: Journey, place: Place, prompt: str, words: str) -> None:
    sent = await shared.ask(place.alice, place.channel, prompt, force=True)
    assert words in await refused(shared, place, sent)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("duration", 0),
        ("duration", 16),
        ("duration", 10**15),
        ("aspect_ratio", "21:9"),
        ("resolution", "8k"),
        ("size", "9999x9999"),
    ],
)
async def test_a_value_that_no_client_offers(shared: Journey, place: Place, option: str, value: Any) -> None:
    sent = await shared.ask(place.alice, place.channel, "a value out of line", force=True, **{option: value})
    await refused(shared, place, sent)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.png", b"", "empty"),
        ("large.png", b"\x89PNG\r\n\x1a\n" + bytes(30 * 1024 * 1024), "25 MB"),
        ("notes.png", b"Dear diary, this is no picture at all.", "text file"),
        ("wall.png", huge_png(), "30,000 × 30,000"),
        ("half.jpg", picture("JPEG", (640, 480))[:900], "incomplete or damaged"),
        ("cut.jpg", photo_on_its_side()[:-300], "incomplete or damaged"),
        ("drawing.svg", SVG, "SVG"),
        ("drawing.png", SVG, "SVG"),
        ("film.png", clip(0.5), "a video, not a picture"),
        ("random.webp", bytes(range(256)) * 40, "not a picture"),
        ("dot.png", picture(size=(1, 1)), "too small"),
        ("../../etc/passwd", b"root:x:0:0", "text file"),
    ],
)
async def test_a_file_that_is_no_good_picture(
    shared: Journey, place: Place, name: str, data: bytes, words: str
) -> None:
    sent = await shared.ask(place.alice, place.channel, "from this picture", force=True, image=File(name, data))
    assert words in await refused(shared, place, sent)


async def test_one_bad_reference_among_good_ones_refuses_all(shared: Journey, place: Place) -> None:
    good: dict[str, Any] = {f"image{n}": File(f"{n}.png", picture(size=(40 + n, 40))) for n in range(1, 4)}
    sent = await shared.ask(
        place.alice, place.channel, "a group picture", "reference", **good, image4=File("four.png", b"not one")
    )
    assert "text file" in await refused(shared, place, sent)


@pytest.mark.parametrize(
    ("command", "name", "data", "words"),
    [
        ("edit", "picture.mp4", picture(), "video"),
        ("edit", "empty.mp4", b"", "empty"),
        ("edit", "text.mp4", b"once upon a time", "video"),
        ("edit", "half.mp4", clip(2.0)[:700], "video"),
        ("edit", "long.mp4", clip(9.0), "8.7 seconds"),
        ("extend", "short.mp4", clip(1.0), "at least 2 seconds"),
    ],
)
async def test_a_file_that_is_no_good_video(
    shared: Journey, place: Place, command: str, name: str, data: bytes, words: str
) -> None:
    sent = await shared.ask(place.alice, place.channel, "go on from here", command, force=True, video=File(name, data))
    assert words in await refused(shared, place, sent)


async def test_a_picture_with_an_aspect_ratio(shared: Journey, place: Place) -> None:
    options = {"image": File("a.png", picture()), "aspect_ratio": "1:1"}
    sent = await shared.ask(place.alice, place.channel, "stretch it", **options)
    assert "takes the picture's shape" in await refused(shared, place, sent)


@pytest.mark.parametrize("options", [{}, {"video": File("a.mp4", b"x"), "source": "0" * 20}])
async def test_no_source_or_two(shared: Journey, place: Place, options: dict[str, Any]) -> None:
    sent = await shared.ask(place.alice, place.channel, "edit what", "edit", **options)
    assert "video" in await refused(shared, place, sent)


@pytest.mark.parametrize(
    "url",
    [
        "https://attacker.example/picture.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:1/a.png",
        "file:///etc/passwd",
        "https://cdn.discordapp.com@attacker.example/a.png",
        "http://[",
        "",
    ],
)
async def test_an_attachment_that_lives_elsewhere(shared: Journey, place: Place, url: str) -> None:
    class Forger(type(place.alice)):
        """A member whose client lies about where the upload is."""

        def _command_data(self, *args: Any, **options: Any) -> dict[str, Any]:
            data = super()._command_data(*args, **options)
            for attachment in data["resolved"]["attachments"].values():
                attachment["url"] = attachment["proxy_url"] = url
            return data

    place.alice.__class__ = Forger
    sent = await shared.ask(place.alice, place.channel, "fetch this for me", image=File("a.png", picture()))
    assert "Only files uploaded to Discord can be used" in await refused(shared, place, sent)


async def test_an_attachment_that_has_expired(shared: Journey, place: Place) -> None:
    seconds, shared.discord.cdn.seconds = shared.discord.cdn.seconds, -10.0
    try:
        sent = await shared.ask(place.alice, place.channel, "too late", image=File("a.png", picture()))
        assert "expired" in await refused(shared, place, sent)
    finally:
        shared.discord.cdn.seconds = seconds


async def test_a_place_where_the_bot_may_not_post(shared: Journey, place: Place) -> None:
    place.channel.deny(Permission.SEND_MESSAGES)
    sent = await shared.ask(place.alice, place.channel, "into the void")
    assert "I lack Send Messages here" in await refused(shared, place, sent)
