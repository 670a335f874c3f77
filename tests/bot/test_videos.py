"""Real clips made with PyAV: what `probe` says of them, what a strip shows, and that a cut is exact."""

import math
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from bot import video_files
from bot.decoders import Decoders
from bot.errors import BadAttachment, MediaError
from bot.videos import OUTSIDE, filmstrip, first_frame, last_seconds, probe, trim

FPS = 24


def clip(
    path: Path,
    seconds: float = 2.0,
    *,
    size: tuple[int, int] = (160, 96),
    codecs: tuple[str, str] = ("libx264", "aac"),
    sound: bool = True,
    rotation: int = 0,
    fps: int = FPS,
) -> Path:
    """A clip whose grey tells the time: 0 at the start, 200 at the end; its top left corner is red."""
    with av.open(str(path), "w") as container:
        track: Any = container.add_stream(codecs[0], rate=fps)
        track.width, track.height, track.pix_fmt = *size, "yuv420p"
        track.codec_context.gop_size = 100
        if rotation:
            track.set_display_rotation(rotation)
        tone: Any = container.add_stream(codecs[1], rate=48_000, layout="stereo") if sound else None
        frames = round(seconds * fps)
        for number in range(frames):
            image = Image.new("RGB", size, (round(200 * number / frames),) * 3)
            image.paste((255, 0, 0), (0, 0, size[0] // 4, size[1] // 4))
            frame = av.VideoFrame.from_image(image)
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
        if tone is not None:
            for at in range(0, int(seconds * 48_000), 960):
                container.mux(tone.encode(beep(at)))
            container.mux(tone.encode(None))
    return path


def beep(at: int) -> av.AudioFrame:
    frame = av.AudioFrame(format="s16", layout="stereo", samples=960)
    wave = b"".join(int(3000 * math.sin((at + n) / 20)).to_bytes(2, "little", signed=True) * 2 for n in range(960))
    frame.planes[0].update(wave)
    frame.pts, frame.sample_rate, frame.time_base = at, 48_000, Fraction(1, 48_000)
    return frame


def frames_of(path: Path) -> list[tuple[float, Image.Image]]:
    with av.open(str(path)) as container:
        return [(frame.time, frame.to_image()) for frame in container.decode(video=0)]


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image.copy()


def grey(image: Image.Image) -> int:
    pixel: Any = image.getpixel((image.width - 5, image.height - 5))
    return pixel[1]


def sound_seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        return sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


def test_facts_of_a_clip_as_the_model_makes_it(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4")
    facts = probe(path)
    assert (facts.width, facts.height, facts.fps, facts.frames) == (160, 96, 24.0, 48)
    assert facts.seconds == pytest.approx(2.0, abs=0.05)
    assert (facts.video_codec, facts.container, facts.has_audio) == ("h264", "mp4", True)
    assert facts.size == path.stat().st_size


@pytest.mark.parametrize(
    ("suffix", "codecs", "container"),
    [("mov", ("libx264", "aac"), "mp4"), ("webm", ("libvpx", "libopus"), "webm"), ("mkv", ("libx264", "aac"), "webm")],
)
def test_containers_are_told_by_content(tmp_path: Path, suffix: str, codecs: tuple[str, str], container: str) -> None:
    path = clip(tmp_path / f"a.{suffix}", 1.0, codecs=codecs).rename(tmp_path / "picture.png")
    facts = probe(path)
    assert facts.container == container
    assert facts.seconds == pytest.approx(1.0, abs=0.1)


def test_a_turned_clip_is_measured_as_it_is_shown(tmp_path: Path) -> None:
    facts = probe(clip(tmp_path / "a.mp4", 0.5, rotation=90, sound=False))
    assert (facts.width, facts.height, facts.has_audio) == (96, 160, False)


def test_a_recording_without_a_stated_length_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    with av.open(str(path), "w", options={"live": "1"}) as container:
        track: Any = container.add_stream("libvpx", rate=FPS)
        track.width, track.height, track.pix_fmt = 64, 64, "yuv420p"
        for number in range(36):
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 64)))
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    with av.open(str(path)) as container:
        assert not container.duration
    assert probe(path).seconds == pytest.approx(1.5, abs=0.1)


def test_a_header_that_understates_the_length_is_not_believed(tmp_path: Path) -> None:
    """The price and the model's limits go by the length."""
    path = clip(tmp_path / "a.mp4", 6.0, sound=False)
    data = bytearray(path.read_bytes())
    header = data.index(b"mdhd")  # ISO 14496-12: version, two times, time scale, duration
    scale = int.from_bytes(data[header + 16 : header + 20], "big")
    data[header + 20 : header + 24] = scale.to_bytes(4, "big")
    path.write_bytes(data)
    with av.open(str(path)) as container:
        assert (container.duration or 0) / av.time_base < 2
    assert probe(path).seconds == pytest.approx(6, abs=0.2)


def picture(path: Path, kind: str) -> Path:
    Image.new("RGB", (64, 64)).save(path, kind)
    return path


def sound_only(path: Path) -> Path:
    with av.open(str(path), "w", format="mp4") as container:
        tone = container.add_stream("aac", rate=48_000, layout="stereo")
        for at in range(0, 48_000, 960):
            container.mux(tone.encode(beep(at)))
        container.mux(tone.encode(None))
    return path


def truncated(path: Path) -> Path:
    data = clip(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
REFUSED: dict[str, tuple[Any, str]] = {
    "empty": (lambda path: written(path, b""), video_files.EMPTY),
    "text": (lambda path: written(path, b"no video"), video_files.OTHER),
    "playlist": (lambda path: written(path, PLAYLIST), video_files.OTHER),
    "png": (lambda path: picture(path, "PNG"), video_files.PICTURE),
    "gif": (lambda path: picture(path, "GIF"), video_files.PICTURE),
    "avif": (lambda path: picture(path, "AVIF"), video_files.PICTURE),
    "avi": (lambda path: written(path, b"RIFF\0\0\0\0AVI LIST" + bytes(99)), video_files.OTHER),
    "mp3": (lambda path: written(path, b"ID3\x04\x00" + bytes(99)), video_files.SOUND_ONLY),
    "sound in mp4": (sound_only, video_files.SOUND_ONLY),
    "truncated": (truncated, video_files.DAMAGED),
    "head only": (lambda path: written(path, b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"), video_files.DAMAGED),
    "ebml head only": (lambda path: written(path, b"\x1aE\xdf\xa3" + bytes(40)), video_files.DAMAGED),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_video_gets_one_clear_sentence(name: str, tmp_path: Path) -> None:
    make, sentence = REFUSED[name]
    path = make(tmp_path / "video.mp4")
    with pytest.raises(BadAttachment) as caught:
        probe(path)
    assert caught.value.sentence == sentence


def test_caps_of_pixels_and_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(tmp_path / "a.mp4", 1.0, sound=False)
    monkeypatch.setattr(video_files, "SECONDS_CAP", 0.5)
    with pytest.raises(BadAttachment, match="seconds long"):
        probe(path)
    monkeypatch.setattr(video_files, "PIXEL_CAP", 100)
    with pytest.raises(BadAttachment, match="160 × 96 pixels"):
        probe(path)


def test_a_strip_shows_evenly_spaced_frames_with_their_times(tmp_path: Path) -> None:
    out = filmstrip(clip(tmp_path / "a.mp4", 3.0), tmp_path / "strip.jpg")
    with Image.open(out) as image:
        assert image.format == "JPEG"
        assert image.size == (480, 192)
        greys = [grey(image.crop((x, y, x + 160, y + 96))) for y in (0, 96) for x in (0, 160, 320)]
        label = image.crop((0, 0, 60, 24)).convert("L").getextrema()
    assert greys == pytest.approx([200 * (n + 0.5) / 6 for n in range(6)], abs=8)
    assert label[1] > 200  # the time, in white on black
    assert label[0] < 30
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mp4", "strip.jpg"]


def test_strips_of_large_turned_and_long_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = filmstrip(clip(tmp_path / "a.mp4", 0.5, size=(1920, 1080), sound=False), tmp_path / "a.jpg")
    tall = filmstrip(clip(tmp_path / "b.mp4", 0.5, rotation=90, sound=False), tmp_path / "b.jpg", frames=2)
    assert opened(wide).width <= 1600
    assert opened(tall).size == (192, 160)
    monkeypatch.setattr("bot.videos.SEEK_OVER_SECONDS", 1.0)
    strip = opened(filmstrip(clip(tmp_path / "c.mp4", 6.0), tmp_path / "c.jpg", frames=3))
    greys = [grey(strip.crop((x, 0, x + 160, 96))) for x in (0, 160, 320)]
    assert greys == pytest.approx([33, 100, 167], abs=8)


def test_the_first_frame_stands_upright(tmp_path: Path) -> None:
    out = first_frame(clip(tmp_path / "a.mp4", 0.5, rotation=-90, sound=False), tmp_path / "a.jpg")
    with Image.open(out) as image:
        assert image.size == (96, 160)
        corner: Any = image.getpixel((image.width - 6, 6))  # turned clockwise, the red corner is at the top right
    assert corner[0] > 180
    assert corner[1] < 70


@pytest.mark.parametrize(("start", "seconds"), [(0.0, 1.0), (1.27, 1.5), (2.5, 8.7)])
def test_a_cut_is_exact_and_never_too_long(tmp_path: Path, start: float, seconds: float) -> None:
    source = clip(tmp_path / "a.mp4", 4.0)
    out = trim(source, tmp_path / "out.mp4", start, seconds)
    expected = min(seconds, 4.0 - start)
    facts = probe(out)
    assert expected - 1.5 / FPS <= facts.seconds <= expected + 1e-6
    assert (facts.width, facts.height, facts.fps, facts.video_codec) == (160, 96, 24.0, "h264")
    seen = frames_of(out)
    assert len(seen) == facts.frames == int(expected * FPS + 1e-3)
    assert seen[0][0] == 0.0
    assert grey(seen[0][1]) == pytest.approx(200 * start / 4, abs=5)
    assert grey(seen[-1][1]) == pytest.approx(200 * (start + expected) / 4, abs=7)
    assert sound_seconds(out) == pytest.approx(expected, abs=0.1)
    head = out.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mp4", "out.mp4"]


def test_the_last_seconds(tmp_path: Path) -> None:
    out = last_seconds(clip(tmp_path / "a.mp4", 3.0), tmp_path / "out.mp4", 1.0)
    seen = frames_of(out)
    assert len(seen) in {23, 24}
    assert grey(seen[-1][1]) == pytest.approx(200 * 71 / 72, abs=7)
    assert last_seconds(tmp_path / "a.mp4", tmp_path / "whole.mp4", 15.0).exists()
    assert probe(tmp_path / "whole.mp4").seconds == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_a_turned_clip_is_cut_upright(tmp_path: Path, rotation: int) -> None:
    out = trim(clip(tmp_path / "a.mp4", 0.5, rotation=rotation), tmp_path / "out.mp4", 0, 0.5)
    shown = opened(first_frame(tmp_path / "a.mp4", tmp_path / "a.jpg"))
    _, frame = frames_of(out)[0]
    assert frame.size == shown.size
    corners = [(6, 6), (frame.width - 6, 6), (6, frame.height - 6), (frame.width - 6, frame.height - 6)]
    red = [[image.getpixel(corner)[0] > 150 for corner in corners] for image in (frame, shown)]
    assert red[0] == red[1]
    assert sum(red[0]) == 1


@pytest.mark.parametrize("codecs", [("libvpx", "libopus"), ("libvpx-vp9", "libopus")])
def test_webm_odd_sizes_and_silence_are_cut_to_mp4(tmp_path: Path, codecs: tuple[str, str]) -> None:
    source = clip(tmp_path / "a.webm", 1.0, codecs=codecs, size=(101, 77), fps=30, sound=codecs[0] == "libvpx")
    facts = probe(trim(source, tmp_path / "out.mp4", 0.2, 0.5))
    assert (facts.width, facts.height, facts.fps, facts.frames) == (100, 76, 30.0, 15)
    assert facts.has_audio == (codecs[0] == "libvpx")


@pytest.mark.parametrize(("start", "seconds"), [(5.0, 1.0), (-1.0, 1.0), (0.5, 0.0)])
def test_a_part_outside_is_refused_and_leaves_nothing(tmp_path: Path, start: float, seconds: float) -> None:
    source = clip(tmp_path / "a.mp4", 1.0)
    with pytest.raises(BadAttachment) as caught:
        trim(source, tmp_path / "out.mp4", start, seconds)
    assert caught.value.sentence == OUTSIDE
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


async def test_mangled_clips_are_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    dice = random.Random(seed)
    originals = [
        clip(tmp_path / "a.mp4", 0.5).read_bytes(),
        clip(tmp_path / "a.webm", 0.5, codecs=("libvpx", "libopus")).read_bytes(),
    ]
    decoders = Decoders(workers=2)
    outcomes: set[str] = set()
    try:
        for number in range(40):
            data = bytearray(originals[number % 2])
            for _ in range(dice.randint(1, 30)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            path = written(tmp_path / "mangled", bytes(data))
            for attempt in (probe, trim, filmstrip):
                out = (
                    () if attempt is probe else (tmp_path / "out", 0.1, 0.3) if attempt is trim else (tmp_path / "out",)
                )
                try:
                    await decoders.run(attempt, path, *out, seconds=20.0)  # type: ignore[arg-type]
                    outcomes.add("read")
                except BadAttachment:
                    outcomes.add("refused")
                except MediaError as error:  # a mangled size may ask for more memory than there is
                    outcomes.add(error.cause if "Traceback" in error.cause else "killed")
    finally:
        await decoders.aclose()
    assert {"read", "refused"} <= outcomes <= {"read", "refused", "killed"}
    assert {file.name for file in tmp_path.iterdir()} <= {"a.mp4", "a.webm", "mangled", "out"}
