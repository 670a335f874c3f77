"""The clips are real: length, size, rate, sound and content, by decoding what arrived in the bucket."""

import base64
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from sandbox.cloudflare import CloudflareSandbox, media
from tests.sandbox.cloudflare.caller import Bucket, Client, plain_http


@dataclass
class Facts:
    width: int
    height: int
    frames: list[Image.Image]
    seconds: float
    codecs: tuple[str, str]
    rate: int
    sound: float


def decode(content: bytes) -> Facts:
    with av.open(io.BytesIO(content), "r") as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        frames, loudest = [], 0.0
        for frame in container.decode(video, audio):
            if isinstance(frame, av.VideoFrame):
                assert frame.format.name == "yuv420p"
                frames.append(frame.to_image())
            elif isinstance(frame, av.AudioFrame):
                loudest = max(loudest, *memoryview(bytes(frame.planes[0])).cast("f"))
        return Facts(
            video.width,
            video.height,
            frames,
            (container.duration or 0) / av.time_base,
            (video.codec_context.name, audio.codec_context.name),
            int(video.average_rate or 0),
            loudest,
        )


@pytest.fixture
async def real(bucket: Bucket) -> AsyncIterator[Client]:
    async with CloudflareSandbox() as sandbox, plain_http() as http:
        yield Client(sandbox, bucket, http)


def picture(content: bytes) -> dict[str, str]:
    return {"url": f"data:image/png;base64,{base64.b64encode(content).decode()}"}


def difference(one: Image.Image, other: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def brightest(image: Image.Image) -> float:
    return ImageStat.Stat(image.convert("L")).extrema[0][1]


async def made(client: Client, **fields: Any) -> Facts:
    answer = await client.run(**fields)
    assert answer.status_code == 200, answer.text
    return decode(client.bucket.files["/clip.mp4"])


async def test_generate_has_length_size_rate_and_quiet_sound(real: Client) -> None:
    facts = await made(real, duration=2)
    assert (facts.width, facts.height, len(facts.frames), facts.rate) == (848, 480, 48, 24)
    assert facts.seconds == pytest.approx(2.0, abs=0.001)
    assert facts.codecs == ("h264", "aac")
    assert 0.005 < facts.sound < 0.2
    assert difference(facts.frames[0], facts.frames[-1]) > 1
    content = real.bucket.files["/clip.mp4"]
    assert content.index(b"moov") < content.index(b"mdat"), "the index comes first"
    assert real.bucket.headers["/clip.mp4"]["Content-Type"] == "video/mp4"


async def test_the_prompt_is_seen(real: Client) -> None:
    one = await made(real, prompt="a fox")
    two = await made(real, prompt="a fox and a description of what it does")
    words, further = (8, 448, 80, 478), (140, 448, 700, 478)
    assert brightest(one.frames[0].crop(words)) > 200
    assert brightest(one.frames[0].crop(further)) < 100
    assert brightest(two.frames[0].crop(further)) > 200


async def test_something_moves_in_every_frame(real: Client) -> None:
    facts = await made(real, duration=2, _operation="generate")
    lengths = [bar_length(frame) for frame in facts.frames]
    assert all(one < next_one for one, next_one in pairwise(lengths)), lengths
    assert lengths[0] < 60
    assert lengths[-1] > 840


def bar_length(frame: Image.Image) -> int:
    """How many pixels of the caption's bar are bright."""
    row = max(range(430, 450), key=lambda y: ImageStat.Stat(frame.convert("L").crop((0, y, 10, y + 1))).mean[0])
    return sum(value > 150 for value in frame.convert("L").crop((0, row, frame.width, row + 1)).tobytes())


async def test_a_picture_is_the_background_in_its_own_ratio(real: Client) -> None:
    red = io.BytesIO()
    Image.new("RGB", (300, 400), (220, 20, 20)).save(red, "PNG")
    facts = await made(real, image=picture(red.getvalue()), resolution="720p")
    assert (facts.width, facts.height, len(facts.frames)) == (720, 960, 24)
    pixel = facts.frames[12].getpixel((700, 20))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 150
    assert pixel[1] < 80
    assert real.sandbox.ledger[0].usd == 0.14


async def test_references_are_tiles(real: Client, png: Callable[[int, int], bytes]) -> None:
    with_tiles = await made(real, reference_images=[picture(png(64, 64))] * 5, aspect_ratio="1:1")
    without = await made(real, aspect_ratio="1:1")
    assert (with_tiles.width, with_tiles.height) == (480, 480)
    top = (0, 0, 480, 250)
    assert difference(with_tiles.frames[12].crop(top), without.frames[12].crop(top)) > 5


async def test_extend_appends_and_bills_what_was_added(real: Client) -> None:
    source = await made(real, duration=3, aspect_ratio="9:16")
    real.bucket.files["/source.mp4"] = real.bucket.files["/clip.mp4"]
    facts = await made(real, _operation="extend", duration=2, video={"url": f"{real.bucket.url}/source.mp4"})
    assert (facts.width, facts.height, len(facts.frames)) == (480, 848, 120)
    assert facts.seconds == pytest.approx(5.0, abs=0.001)
    assert difference(facts.frames[30], source.frames[30]) < 15
    calm = (0, 460, 480, 600)
    assert difference(facts.frames[72].crop(calm), source.frames[71].crop(calm)) < 10
    charge = real.sandbox.ledger[-1]
    assert (charge.operation, charge.seconds, charge.usd) == ("extend", 2, 0.16)


async def test_the_added_part_shows_its_own_words_alone(real: Client) -> None:
    await made(real, duration=2, prompt="a fox in the snow " * 9)
    real.bucket.files["/source.mp4"] = real.bucket.files["/clip.mp4"]
    facts = await made(
        real, _operation="extend", duration=2, prompt="owl", video={"url": f"{real.bucket.url}/source.mp4"}
    )
    above, beside = (0, 400, 848, 440), (140, 452, 700, 478)
    assert brightest(facts.frames[47].crop(above)) > 200, "the source's words take more lines"
    assert brightest(facts.frames[47].crop(beside)) > 200
    assert brightest(facts.frames[60].crop(above)) < 180
    assert brightest(facts.frames[60].crop(beside)) < 100
    assert brightest(facts.frames[60].crop((8, 448, 80, 478))) > 200


async def test_edit_keeps_the_length_and_changes_the_colours(real: Client) -> None:
    source = await made(real, duration=1, size="1920x1080")
    real.bucket.files["/source.mp4"] = real.bucket.files["/clip.mp4"]
    video = {"url": f"{real.bucket.url}/source.mp4"}
    facts = await made(real, _operation="edit", duration=9, resolution="480p", video=video)
    assert (source.width, source.height) == (1920, 1080)
    assert (facts.width, facts.height, len(facts.frames)) == (1280, 720, 24)
    calm = (0, 300, 1280, 450)
    assert difference(facts.frames[20].crop(calm), source.frames[20].resize((1280, 720)).crop(calm)) > 20
    charge = real.sandbox.ledger[-1]
    assert (charge.seconds, charge.resolution, charge.usd) == (1, "720p", 0.14)


@pytest.mark.parametrize(("word", "strongest"), [("blue", 2), ("Red", 0), ("green", 1)])
async def test_an_edit_goes_towards_the_colour_that_it_names(real: Client, word: str, strongest: int) -> None:
    await made(real, prompt="a hill")
    real.bucket.files["/source.mp4"] = real.bucket.files["/clip.mp4"]
    video = {"url": f"{real.bucket.url}/source.mp4"}
    facts = await made(real, _operation="edit", prompt=f"make it {word}, please", video=video)
    means = ImageStat.Stat(facts.frames[10].crop((0, 100, 848, 400))).mean
    assert means.index(max(means)) == strongest, means


async def test_sources_of_the_wrong_length_are_refused(real: Client, tmp_path: Path) -> None:
    for seconds, operation, fits in (
        (8.7, "edit", True),
        (8.8, "edit", False),
        (1.9, "extend", False),
        (2.0, "extend", True),
        (15.1, "extend", False),
    ):
        path = tmp_path / "source.mp4"
        media.render(media.Order("generate", "x", 64, 64, round(seconds * 24)), path)
        real.bucket.files["/source.mp4"] = path.read_bytes()
        answer = await real.run(_operation=operation, duration=2, video={"url": f"{real.bucket.url}/source.mp4"})
        assert answer.status_code == (200 if fits else 400), (seconds, operation)
        assert fits or "video: " in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("rate", "size", "pixels", "kind"),
    # A transport stream's clock may start anywhere; here it starts at 2 s.
    [(30, (322, 241), "yuv444p", "mp4"), (12, (200, 100), "yuv420p", "mp4"), (24, (200, 100), "yuv420p", "ts")],
)
async def test_a_strangers_video_is_brought_to_24_frames(
    real: Client, tmp_path: Path, rate: int, size: tuple[int, int], pixels: str, kind: str
) -> None:
    path = tmp_path / f"strange.{kind}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        for number in range(rate * 2):
            frame = av.VideoFrame.from_image(Image.new("RGB", size, (number * 3, 80, 40)))
            frame.pts, frame.time_base = number + (2 * rate if kind == "ts" else 0), Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    real.bucket.files["/source.mp4"] = path.read_bytes()
    facts = await made(real, _operation="extend", duration=2, video={"url": f"{real.bucket.url}/source.mp4"})
    assert (len(facts.frames), facts.width % 2, facts.height % 2) == (96, 0, 0)
    assert abs(facts.width - size[0]) <= 1
    pixel = facts.frames[24].getpixel((10, 10))
    assert isinstance(pixel, tuple)
    assert pixel[0] == pytest.approx(rate * 3, abs=12)


async def test_a_source_that_breaks_off_costs_nothing(real: Client) -> None:
    await made(real, duration=3)
    real.sandbox.ledger.clear()
    whole = real.bucket.files["/clip.mp4"]
    start = whole.index(b"mdat") + 4
    real.bucket.files["/source.mp4"] = whole[: start + 200]
    answer = await real.run(_operation="edit", video={"url": f"{real.bucket.url}/source.mp4"})
    assert answer.status_code == 400
    assert "video.url" in answer.json()["errors"][0]["message"]
    assert real.sandbox.ledger == []


def test_sizes_by_ratio() -> None:
    assert media.size_for_ratio("16:9", "480p") == (848, 480)
    assert media.size_for_ratio("9:16", "720p") == (720, 1280)
    assert media.size_for_ratio("3:2", "480p") == (720, 480)
    assert media.size_for_image(4000, 100, "720p")[0] == 1920
    for ratio in ("1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3"):
        for resolution, short in (("480p", 480), ("720p", 720)):
            width, height = media.size_for_ratio(ratio, resolution)
            assert min(width, height) == short
            assert width % 2 == height % 2 == 0


@pytest.mark.parametrize("prompt", ["\u0301" * 8000, "x" * 8000, "\x00\u202e<b>&@everyone", "🦊" * 400])
def test_hostile_prompts_are_drawn(tmp_path: Path, prompt: str) -> None:
    media.render(media.Order("generate", prompt, 160, 90, 3), tmp_path / "clip.mp4")
    assert media.probe(tmp_path / "clip.mp4").seconds == pytest.approx(0.125)


def test_quick_clips_have_the_same_facts(tmp_path: Path) -> None:
    order = media.Order("generate", "x", 320, 180, 36)
    media.render_quick(order, tmp_path / "one.mp4")
    media.render_quick(order, tmp_path / "two.mp4")
    facts = decode((tmp_path / "two.mp4").read_bytes())
    assert (facts.width, facts.height, len(facts.frames), facts.seconds) == (320, 180, 36, 1.5)
