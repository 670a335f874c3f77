"""From a prompt, a picture or ten pictures to a posted video."""

from io import BytesIO
from typing import Any

import httpx
import pytest
from journey import Journey, Place, video_id
from pictures import animated, look_at, photo_on_its_side, picture
from PIL import Image

from sandbox.discord import File, Message

pytestmark = pytest.mark.asyncio(loop_scope="module")


def job_of(shared: Journey, message: Message) -> Any:
    return shared.jobs("id = ?", video_id(message))[0]


async def fetched(url: str) -> Image.Image:
    """A picture as the model gets it."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(url)
    assert answer.status_code == 200
    image = Image.open(BytesIO(answer.content))
    image.load()
    return image


async def test_a_prompt_becomes_a_video_that_mentions_only_who_asked(shared: Journey, place: Place) -> None:
    sent = await shared.ask(place.alice, place.channel, "a paper boat on a *wild* river", duration=4)
    first = sent.response
    assert first is not None
    assert first.kind == "deferred"
    assert first.ephemeral
    assert "$0.32" in await shared.told(sent)
    posted = await shared.video(place.channel)
    [shown] = posted.media
    assert shown.data is not None
    assert shown.content_type == "video/mp4"
    assert look_at(shown.data) == (4.0, 848, 480)
    assert posted.pings.users == {place.alice.id}
    assert r"a paper boat on a \*wild\* river" in posted.text
    assert "$0.32" in posted.text
    assert [b.label for b in posted.buttons] == ["Extend", "Edit", "Retry", "Details", "Delete"]
    assert not any(b.disabled for b in posted.buttons)
    await shared.until(lambda: place.channel.messages == [posted], "the card to go")
    job = job_of(shared, posted)
    assert job["message_id"] == posted.id
    assert shared.money(job["id"]) == "charged"
    assert [charge.usd for charge in shared.model.charges_for(job["id"])] == [0.32]


async def test_a_photo_reaches_the_model_upright_and_without_its_place(shared: Journey, place: Place) -> None:
    photo = photo_on_its_side()
    posted = await shared.make(place, "let it rain", image=File("holiday.jpg", photo))
    [call] = shared.calls_for(video_id(posted))
    received = await fetched(call.input["image"]["url"])
    assert received.size == (120, 200)
    assert dict(received.getexif()) == {}
    assert set(received.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    top, bottom = received.getpixel((60, 20)), received.getpixel((60, 180))
    assert isinstance(top, tuple)
    assert isinstance(bottom, tuple)
    assert (top[0] > 200, top[2] < 60) == (True, True)
    assert (bottom[2] > 200, bottom[0] < 60) == (True, True)
    assert "aspect_ratio" not in call.input
    data = posted.media[0].data
    assert data is not None
    _, width, height = look_at(data)
    assert height > width
    assert "from a picture" in posted.text


async def test_a_moving_picture_gives_its_first_frame_and_says_so(shared: Journey, place: Place) -> None:
    sent = await shared.ask(place.alice, place.channel, "go on", image=File("cat.gif", animated()), duration=3)
    assert "first frame was used" in await shared.told(sent)
    posted = await shared.video(place.channel)
    received = await fetched(shared.calls_for(video_id(posted))[0].input["image"]["url"])
    colour = received.getpixel((5, 5))
    assert isinstance(colour, tuple)
    assert colour[1] > 100 > colour[0]


@pytest.mark.parametrize("count", [1, 10])
async def test_reference_pictures_reach_the_model_in_order(shared: Journey, place: Place, count: int) -> None:
    sizes = [(40 + 10 * n, 40) for n in range(count)]
    pictures = {f"image{n + 1}": File(f"{n}.png", picture(size=sizes[n])) for n in range(count)}
    options = {"command": "reference", "aspect_ratio": "1:1", "resolution": "480p"}
    posted = await shared.make(place, "all of them at a picnic", **options, **pictures)
    [call] = shared.calls_for(video_id(posted))
    received = [await fetched(item["url"]) for item in call.input["reference_images"]]
    assert [image.size for image in received] == sizes
    assert "image" not in call.input
    assert f"{count} reference" in posted.text


@pytest.mark.parametrize(
    ("options", "wanted", "dollars"),
    [
        ({"duration": 2, "aspect_ratio": "9:16"}, (2.0, 480, 848), 0.16),
        ({"duration": 2, "resolution": "720p", "aspect_ratio": "1:1"}, (2.0, 720, 720), 0.28),
        ({"duration": 1, "size": "1696x960"}, (1.0, 1696, 960), 0.14),
        ({}, (8.0, 848, 480), 0.64),
    ],
)
async def test_length_shape_and_size_are_what_was_asked_for(
    shared: Journey, place: Place, options: dict[str, Any], wanted: tuple[float, int, int], dollars: float
) -> None:
    sent = await shared.ask(place.alice, place.channel, "a kite over the dunes", **options)
    assert f"${dollars:.2f}" in await shared.told(sent)
    posted = await shared.video(place.channel)
    data = posted.media[0].data
    assert data is not None
    assert look_at(data) == wanted
    [call] = shared.calls_for(video_id(posted))
    assert {name: call.input[name] for name in options} == options
    assert [charge.usd for charge in shared.model.charges_for(video_id(posted))] == [dollars]


async def test_the_model_knows_members_by_a_stable_name_that_is_not_their_id(shared: Journey, place: Place) -> None:
    first = video_id(await shared.make(place, "a first wave"))
    second = video_id(await shared.make(place, "a second wave"))
    await shared.ask(place.bob, place.channel, "another wave", duration=3)
    third = video_id(await shared.video(place.channel, 3))
    users = [shared.calls_for(job)[0].input["user"] for job in (first, second, third)]
    assert users[0] == users[1] != users[2]
    assert all(len(user) == 32 for user in users)
    assert not any(str(member.id) in user for member in (place.alice, place.bob) for user in users)


async def test_the_call_carries_the_job_and_asks_for_no_logged_prompt(shared: Journey, place: Place) -> None:
    job = video_id(await shared.make(place, "a quiet street at dawn"))
    [call] = shared.calls_for(job)
    assert call.metadata["job"] == job
    assert call.headers["cf-aig-collect-log-payload"] == "false"
    assert call.headers["cf-aig-max-attempts"] == "1"
    assert call.input["output"]["upload_url"].startswith(f"http://127.0.0.1:{shared.port}/tickets/")


async def test_videos_can_be_asked_for_in_servers_only(shared: Journey, place: Place) -> None:
    sent = await shared.answered(
        await place.alice.slash(place.alice.dm_channel, "video generate", {"prompt": "hello"}, force=True)
    )
    assert "server" in (await sent.wait_message(5)).text
    assert shared.jobs("user_id = ?", place.alice.id) == []


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
async def test_every_good_kind_of_picture_is_taken(shared: Journey, place: Place, kind: str) -> None:
    posted = await shared.make(place, "it starts to move", image=File(f"a.{kind.lower()}", picture(kind)))
    received = await fetched(shared.calls_for(video_id(posted))[0].input["image"]["url"])
    assert received.format == "JPEG"
    assert received.size == (64, 48)
