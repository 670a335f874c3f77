"""What the sandbox's clips show: the prompt's words on a panel, a moving ball, a picture behind them, reference tiles.

Everything is drawn on the three planes of yuv420p with Pillow: the words are set once a clip and a frame costs a few
pastes, so that a test on two cores does not spend its time on pictures. No numpy.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import av
from PIL import Image, ImageColor, ImageDraw, ImageFont, ImageOps

MARGIN = 1.10
"""How much larger than the clip a background is, so that it can be panned."""

MAX_WORDS_DRAWN = 240
"""Characters of a prompt that are drawn; prompts are hostile text, and setting 8,000 marks takes seconds."""


@dataclass(frozen=True)
class Planes:
    """One picture as yuv420p: `y` has the full size, `cb` and `cr` half of it."""

    y: Image.Image
    cb: Image.Image
    cr: Image.Image

    @property
    def size(self) -> tuple[int, int]:
        return self.y.size


def even(value: float) -> int:
    """The nearest even number, at least 2: yuv420p halves both sides."""
    return max(2, round(value / 2) * 2)


def planes_of_frame(frame: av.VideoFrame) -> Planes:
    """The planes of a decoded frame, without the padding at each row's end."""
    if frame.format.name != "yuv420p":
        frame = frame.reformat(format="yuv420p")
    y, cb, cr = (
        Image.frombuffer("L", (p.line_size, p.height), bytes(p)[: p.line_size * p.height], "raw", "L", 0, 1).crop(
            (0, 0, p.width, p.height)
        )
        for p in frame.planes
    )
    return Planes(y, cb, cr)


def planes_of_image(image: Image.Image) -> Planes:
    """An RGB picture with even sides as planes."""
    return planes_of_frame(av.VideoFrame.from_image(image.convert("RGB")).reformat(format="yuv420p"))


def cover(picture: Image.Image, width: int, height: int) -> Image.Image:
    """The picture scaled to cover the size and cut to it, never stretched."""
    return ImageOps.fit(picture.convert("RGB"), (width, height), Image.Resampling.BILINEAR)


def overscanned(width: int, height: int) -> tuple[int, int]:
    return even(width * MARGIN), even(height * MARGIN)


def plain_background(prompt: str, width: int, height: int) -> Image.Image:
    """A quiet gradient whose colour belongs to the prompt."""
    hue = zlib.crc32(prompt.encode("utf-8", "replace")) % 360
    dark = ImageColor.getrgb(f"hsl({hue},45%,18%)")[:3]
    light = ImageColor.getrgb(f"hsl({(hue + 40) % 360},55%,48%)")[:3]
    return ImageOps.colorize(Image.linear_gradient("L"), dark, light).resize(overscanned(width, height))


def tiles(pictures: list[Image.Image], background: Image.Image) -> Image.Image:
    """The background with the references on it, in one grid, each whole and in its own ratio."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    width, height = background.size[0] // columns, int(background.size[1] * 0.62) // rows
    for number, picture in enumerate(pictures):
        tile = ImageOps.contain(picture.convert("RGB"), (int(width * 0.8), int(height * 0.8)))
        left, top = (number % columns) * width, int(background.size[1] * 0.05) + (number // columns) * height
        background.paste(tile, (left + (width - tile.width) // 2, top + (height - tile.height) // 2))
    return background


def _printable(text: str) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in text[: MAX_WORDS_DRAWN * 4]).split())
    return words if len(words) <= MAX_WORDS_DRAWN else words[:MAX_WORDS_DRAWN] + "…"


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int, lines: int) -> list[str]:
    wrapped = [""]
    for word in text.split():
        longer = f"{wrapped[-1]} {word}".strip()
        if wrapped[-1] and font.getlength(longer) > width:
            wrapped.append(word)
        else:
            wrapped[-1] = longer
    if len(wrapped) > lines:
        wrapped = [*wrapped[: lines - 1], wrapped[lines - 1] + " …"]
    return wrapped


def caption(heading: str, prompt: str, width: int, height: int, *, least_lines: int = 1) -> Image.Image:
    """A panel (luma only) with a small heading and the prompt, word-wrapped."""
    points = max(9, min(width, height) // 17)
    large, small = ImageFont.load_default(points), ImageFont.load_default(max(8, points * 2 // 3))
    inner = even(width * 0.9) - points
    lines = _wrap(_printable(prompt), large, inner, 4)
    rows = max(least_lines, len(lines))
    panel = Image.new("L", (even(width * 0.9), even(min(height, points * (1.6 + 1.25 * rows)))), 38)
    draw = ImageDraw.Draw(panel)
    draw.text((points // 2, points // 4), heading, fill=150, font=small)
    for number, line in enumerate(lines):
        draw.text((points // 2, points * (1.15 + 1.25 * number)), line, fill=230, font=large)
    return panel


class Scene:
    """A background, a caption and a ball that crosses the picture, as frames of one clip."""

    def __init__(
        self, background: Planes, size: tuple[int, int], panel: Image.Image, frames: int, *, on_top: bool = False
    ) -> None:
        self._background, self._size, self._panel, self._frames = background, size, panel, max(1, frames)
        self._blank = av.VideoFrame(size[0], size[1], "yuv420p")
        width, height = size
        edge = height * 0.04
        self._panel_at = (even((width - panel.width) / 2), even(edge if on_top else height - panel.height - edge))
        self._ball = self._disc(even(min(width, height) * 0.09))
        self._ball_chroma = self._ball.reduce(2)

    @staticmethod
    def _disc(side: int) -> Image.Image:
        disc = Image.new("L", (side * 4, side * 4), 0)
        ImageDraw.Draw(disc).ellipse((0, 0, side * 4 - 1, side * 4 - 1), fill=255)
        return disc.reduce(4)

    def frame(self, index: int) -> av.VideoFrame:
        """The clip's frame number `index`, from 0."""
        progress = index / self._frames
        left, top = (self._pan(axis, progress) for axis in (0, 1))
        x = even(progress * (self._size[0] - self._ball.width))
        y = even((0.3 + 0.2 * math.sin(progress * 12)) * (self._size[1] - self._ball.height))
        frame = av.VideoFrame(self._size[0], self._size[1], "yuv420p")
        luma = self._layer(0, self._background.y, (left, top))
        luma.paste(self._panel, self._panel_at)
        luma.paste(225, (x, y), self._ball)
        frame.planes[0].update(luma.tobytes())
        for number, (source, tint) in enumerate(((self._background.cb, 90), (self._background.cr, 165)), start=1):
            chroma = self._layer(number, source, (left // 2, top // 2))
            chroma.paste(128, self._panel_box_halved())
            chroma.paste(tint, (x // 2, y // 2), self._ball_chroma)
            frame.planes[number].update(chroma.tobytes())
        return frame

    def _panel_box_halved(self) -> tuple[int, int, int, int]:
        left, top = self._panel_at
        return left // 2, top // 2, (left + self._panel.width) // 2, (top + self._panel.height) // 2

    def _pan(self, axis: int, progress: float) -> int:
        slack = self._background.size[axis] - self._size[axis]
        return int(slack * progress) // 2 * 2

    def _layer(self, number: int, source: Image.Image, offset: tuple[int, int]) -> Image.Image:
        plane = self._blank.planes[number]
        layer = Image.new("L", (plane.line_size, plane.height))
        layer.paste(source.crop((*offset, offset[0] + plane.width, offset[1] + plane.height)), (0, 0))
        return layer
