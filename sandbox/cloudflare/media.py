"""The sandbox's clips: real mp4 files (H.264 yuv420p, AAC, 24 frames a second, index first) of exact length and size.

Everything here blocks and is called in a worker thread. `render` is the only entrance for the server; `probe` tells the
length and size of a source.
"""

from __future__ import annotations

import array
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
from av.error import FFmpegError
from av.video.frame import PictureType
from PIL import Image

from sandbox.cloudflare import drawing

FPS = 24
SAMPLE_RATE = 48_000
AAC_FRAME = 1024
LONGEST_SIDE = 1920

Operation = Literal["generate", "edit", "extend"]

_SHORT_SIDE = {"480p": 480, "720p": 720}
_RATIOS = {"1:1": (1, 1), "16:9": (16, 9), "9:16": (9, 16), "4:3": (4, 3), "3:4": (3, 4), "3:2": (3, 2), "2:3": (2, 3)}
_tone: list[bytes] = []
_clips: dict[tuple[int, int, int], bytes] = {}
_one_at_a_time = threading.Lock()


class UndecodableError(Exception):
    """A source video has no frame that can be decoded."""


@dataclass(frozen=True)
class Source:
    """A source video on disk. `seconds` is the picture's length, not the (slightly different) sound's."""

    path: Path
    seconds: float
    width: int
    height: int


@dataclass(frozen=True)
class Order:
    """What to render. `frames` counts the whole clip, for extend with the source's part."""

    operation: Operation
    prompt: str
    width: int
    height: int
    frames: int
    image: Image.Image | None = None
    references: tuple[Image.Image, ...] = ()
    source: Source | None = None


def size_for_ratio(aspect_ratio: str, resolution: str) -> tuple[int, int]:
    """Width and height for a ratio; 16:9 at 480p is 848 x 480, as the model's own size list has it."""
    if resolution == "480p" and aspect_ratio in ("16:9", "9:16"):
        return (848, 480) if aspect_ratio == "16:9" else (480, 848)
    across, down = _RATIOS[aspect_ratio]
    return _with_short_side(across / down, _SHORT_SIDE[resolution])


def size_for_image(width: int, height: int, resolution: str) -> tuple[int, int]:
    """The picture's own ratio at the resolution's short side; the long side stays within 1920."""
    return _with_short_side(width / height, _SHORT_SIDE[resolution])


def size_for_source(width: int, height: int) -> tuple[int, int]:
    """The source's size, capped at 720p, with even sides."""
    scale = min(1.0, 720 / min(width, height), LONGEST_SIDE / max(width, height))
    return drawing.even(width * scale), drawing.even(height * scale)


def _with_short_side(ratio: float, short: int) -> tuple[int, int]:
    width, height = (short * ratio, short) if ratio >= 1 else (short, short / ratio)
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    return drawing.even(width * scale), drawing.even(height * scale)


def frame_count(seconds: float) -> int:
    return max(1, round(seconds * FPS))


def probe(path: Path) -> Source:
    """Length and size of a video file, after its first frame was decoded.

    Raises UndecodableError when the file is not a video that can be read."""
    try:
        with av.open(str(path)) as container:
            stream = next(iter(container.streams.video), None)
            if stream is None:
                raise UndecodableError("it has no video track")
            first = next(container.decode(stream), None)
            if first is None:
                raise UndecodableError("it has no frame")
            length = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
            seconds = length or (container.duration or 0) / av.time_base
            if seconds <= 0:
                raise UndecodableError("its length is unknown")
            return Source(path, seconds, first.width, first.height)
    except (FFmpegError, OSError, ValueError) as error:
        raise UndecodableError("it is not a video that can be decoded") from error


def render(order: Order, path: Path) -> None:
    """Writes the clip. Raises UndecodableError when the source breaks off while it is read."""
    try:
        with _Writer(path, order.width, order.height) as writer:
            for frame in _frames(order):
                writer.add(frame)
    except FFmpegError as error:
        raise UndecodableError("its frames cannot be decoded") from error


def render_quick(order: Order, path: Path) -> None:
    """A copy of one clip kept for each size and length: for load tests, where what it shows does not matter."""
    key = (order.width, order.height, order.frames)
    with _one_at_a_time:
        if key not in _clips:
            render(Order("generate", "quick", *key), path)
            _clips[key] = path.read_bytes()
    path.write_bytes(_clips[key])


def _frames(order: Order) -> Iterator[av.VideoFrame]:
    if order.operation == "generate":
        yield from _generate(order)
    elif order.operation == "edit":
        yield from _edit(order)
    else:
        yield from _extend(order)


def _caption(order: Order, seconds: float) -> drawing.Caption:
    length = f"{seconds:.1f}".removesuffix(".0")
    label = f"{order.operation} {'+' if order.operation == 'extend' else ''}{length} s"
    return drawing.caption(label, order.prompt, order.width, order.height)


def _generate(order: Order) -> Iterator[av.VideoFrame]:
    size = (order.width, order.height)
    if order.image is not None:
        background = drawing.cover(order.image, *drawing.overscanned(*size))
    else:
        background = drawing.plain_background(order.prompt, *size)
    if order.references:
        background = drawing.tiles(list(order.references), background)
    words = _caption(order, order.frames / FPS)
    scene = drawing.Scene(drawing.planes_of_image(background), size, words, order.frames)
    yield from (scene.frame(index) for index in range(order.frames))


def _edit(order: Order) -> Iterator[av.VideoFrame]:
    words, size = _caption(order, order.frames / FPS), (order.width, order.height)
    for index, frame in enumerate(_source_frames(order, order.frames)):
        picture = drawing.recoloured(drawing.planes_of_frame(frame), order.prompt)
        # The source's own caption stays at the bottom.
        yield drawing.Scene(picture, size, words, order.frames, on_top=True).frame(index)


def _extend(order: Order) -> Iterator[av.VideoFrame]:
    if order.source is None:
        raise UndecodableError("there is no source")
    before = min(frame_count(order.source.seconds), order.frames - 1)
    last: av.VideoFrame | None = None
    for last in _source_frames(order, before):
        yield last
    if last is None:
        raise UndecodableError("it has no frame")
    added = order.frames - before
    background = drawing.without_strip(drawing.planes_of_frame(last))
    scene = drawing.Scene(background, (order.width, order.height), _caption(order, added / FPS), added)
    yield from (scene.frame(index) for index in range(added))


def _source_frames(order: Order, count: int) -> Iterator[av.VideoFrame]:
    """Exactly `count` frames of the source at 24 a second, in the order's size; the last one repeats at the end."""
    if order.source is None:
        raise UndecodableError("there is no source")
    with av.open(str(order.source.path)) as container:
        decoded = container.decode(container.streams.video[0])
        current = next(decoded, None)
        if current is None:
            raise UndecodableError("it has no frame")
        start, following = current.time or 0.0, next(decoded, None)
        current = _fitted(current, order)
        for index in range(count):
            while following is not None and (following.time or 0.0) - start <= index / FPS + 0.001:
                current, following = _fitted(following, order), next(decoded, None)
            yield current


def _fitted(frame: av.VideoFrame, order: Order) -> av.VideoFrame:
    if (frame.width, frame.height, frame.format.name) == (order.width, order.height, "yuv420p"):
        return frame
    return frame.reformat(order.width, order.height, "yuv420p")


class _Writer:
    """One mp4 being written: a frame of picture, then the sound that belongs to it."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        options = {"preset": "ultrafast", "crf": "30", "tune": "zerolatency"}
        self._video = self._container.add_stream("libx264", rate=FPS, options=options)
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        self._video.codec_context.thread_count = 1
        self._video.codec_context.gop_size = FPS * 2
        self._audio = self._container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        self._audio.codec_context.bit_rate = 32_000
        self._count = self._samples = 0

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
        self._container.close()

    def add(self, frame: av.VideoFrame) -> None:
        frame.pts, frame.time_base, frame.pict_type = self._count, Fraction(1, FPS), PictureType.NONE
        self._container.mux(self._video.encode(frame))
        self._count += 1
        # Whole AAC frames only, so that the sound never outlasts the picture and the file's length is the picture's.
        while self._samples + AAC_FRAME <= self._count * SAMPLE_RATE // FPS:
            self._add_sound()

    def _add_sound(self) -> None:
        sound = av.AudioFrame(format="fltp", layout="mono", samples=AAC_FRAME)
        sound.planes[0].update(_tone_at(self._samples))
        sound.sample_rate, sound.pts, sound.time_base = SAMPLE_RATE, self._samples, Fraction(1, SAMPLE_RATE)
        self._container.mux(self._audio.encode(sound))
        self._samples += AAC_FRAME


def _tone_at(sample: int) -> bytes:
    """1,024 samples of a quiet 375 Hz sine: its period of 128 samples divides an AAC frame, so all frames are alike."""
    if not _tone:
        wave = (0.05 * math.sin(2 * math.pi * (sample + i) / 128) for i in range(AAC_FRAME))
        _tone.append(array.array("f", wave).tobytes())
    return _tone[0]
