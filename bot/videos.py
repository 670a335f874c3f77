"""What a video file is, a strip of its frames, and a cut of it: PyAV, streaming, never a whole video in memory.

Everything here belongs in a worker of bot/decoders.py, and raises BadAttachment with a sentence for the member where
the file is at fault.
"""

from __future__ import annotations  # the annotations alone would load FFmpeg in the bot

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bot.decoders import lazy
from bot.errors import BadAttachment
from bot.video_cut import Cut
from bot.video_files import DAMAGED, Source, finished, length_of, opened

if TYPE_CHECKING:
    import av
    from PIL import Image, ImageDraw, ImageFont
else:
    av = lazy("av")
    Image, ImageDraw, ImageFont = lazy("PIL.Image"), lazy("PIL.ImageDraw"), lazy("PIL.ImageFont")

STRIP_WIDTH = 1600
SEEK_OVER_SECONDS = 30.0  # a shorter video is decoded in one go: faster than seeking for each frame
OUTSIDE = "That part lies outside the video. Choose an earlier start."


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """`width` and `height` in pixels as shown, upright; `fps` 0 and `frames` None where the file does not say."""

    seconds: float
    width: int
    height: int
    fps: float
    frames: int | None
    size: int
    has_audio: bool
    video_codec: str
    container: str


def probe(path: Path) -> VideoFacts:
    """Facts about the video at `path`, whose first frame was decoded to be sure.

    Raises BadAttachment where the file is no video, is damaged, or is over PIXEL_CAP or SECONDS_CAP.
    """
    with opened(path) as source:
        video = source.video
        seconds = length_of(source, path)
        first = next(source.container.decode(video), None)
        if first is None:
            raise BadAttachment(DAMAGED, cause="no frame")
        aspect = float(video.sample_aspect_ratio or 1)
        width, height = max(1, round(first.width * aspect)), first.height
        if first.rotation % 180:
            width, height = height, width
        return VideoFacts(
            seconds=seconds,
            width=width,
            height=height,
            fps=round(float(video.average_rate or 0), 3),
            frames=video.frames or None,
            size=path.stat().st_size,
            has_audio=source.audio is not None,
            video_codec=video.codec_context.codec.canonical_name,
            container="webm" if source.container.format.name.startswith("matroska") else "mp4",
        )


def first_frame(path: Path, out: Path) -> Path:
    """Write the first frame of `path`, upright, to `out` as JPEG."""
    with opened(path) as source:
        frame = next(source.container.decode(source.video), None)
        if frame is None:
            raise BadAttachment(DAMAGED, cause="no frame")
        with finished(out) as part:
            _upright(frame, STRIP_WIDTH).save(part, "JPEG", quality=90)
    return out


def filmstrip(path: Path, out: Path, frames: int = 6) -> Path:
    """Write one JPEG of `frames` evenly spaced frames with their times to `out`, at most STRIP_WIDTH wide."""
    columns = min(frames, 3)
    rows = -(-frames // columns)
    with opened(path) as source:
        seconds = length_of(source, path)
        times = [seconds * (index + 0.5) / frames for index in range(frames)]
        tiles = [_labelled(_upright(frame, STRIP_WIDTH // columns), at) for frame, at in _frames_at(source, times)]
    width, height = tiles[0].size
    sheet = Image.new("RGB", (width * columns, height * rows))
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % columns * width, index // columns * height))
    with finished(out) as part:
        sheet.save(part, "JPEG", quality=85)
    return out


def last_seconds(path: Path, out: Path, seconds: float) -> Path:
    """The last `seconds` of `path`, as `trim` writes them."""
    return trim(path, out, max(0.0, probe(path).seconds - seconds), seconds)


def trim(path: Path, out: Path, start: float, seconds: float) -> Path:
    """Write at most `seconds` of `path` from `start` (seconds) to `out`: upright mp4, H.264 yuv420p, AAC, faststart.

    The cut is exact to a frame, and never longer than `seconds`. Raises BadAttachment where nothing lies there.
    """
    with opened(path) as source:
        length = min(seconds, length_of(source, path) - start)
        if start < 0 or length <= 0:
            raise BadAttachment(OUTSIDE, cause=f"start {start:g}, length {length:g}")
        with (
            finished(out) as part,
            av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as target,
        ):
            Cut(source, target, start, length).run()
    return out


def _frames_at(source: Source, times: list[float]) -> Iterator[tuple[av.VideoFrame, float]]:
    """The frame shown at each of `times`, which ascend; the last frame where the pictures end early."""
    far_apart = times[-1] > SEEK_OVER_SECONDS
    decoded: Iterator[av.VideoFrame] = source.container.decode(source.video)
    frame: av.VideoFrame | None = None
    for at in times:
        if far_apart:
            source.container.seek(int((source.start + at) * av.time_base))
            decoded = source.container.decode(source.video)
            frame = None
        while frame is None or frame.pts is None or frame.time < source.start + at:
            following = next(decoded, None)
            if following is None:
                break
            frame = following
        if frame is None:
            raise BadAttachment(DAMAGED, cause=f"no frame at {at:g} s")
        yield frame, at


def _upright(frame: av.VideoFrame, box: int) -> Image.Image:
    """The frame as shown, within a square of `box` pixels."""
    scale = min(1.0, box / max(frame.width, frame.height))
    width, height = max(1, int(frame.width * scale)), max(1, int(frame.height * scale))
    small = frame.reformat(width=width, height=height, format="rgb24")
    image = cast("Image.Image", small.to_image())  # type: ignore[reportUnknownMemberType]
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image


def _labelled(image: Image.Image, seconds: float) -> Image.Image:
    """The picture with its time in a corner, as minutes and seconds."""
    text = f"{int(seconds // 60)}:{seconds % 60:04.1f}"
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(max(10, image.height // 16))
    left, top, right, bottom = draw.textbbox((6, 4), text, font=font)
    draw.rectangle((left - 4, top - 3, right + 4, bottom + 3), fill=(0, 0, 0))
    draw.text((6, 4), text, font=font, fill=(255, 255, 255))
    return image
