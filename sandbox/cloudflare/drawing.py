"""What the sandbox's clips show: the prompt's words along the edge, a growing bar, a picture behind, reference tiles.

Everything is drawn on the three planes of yuv420p with Pillow: the words are set once a clip and a frame costs a few
pastes, so that a test on two cores does not spend its time on pictures. No numpy.
"""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass

import av
from PIL import Image, ImageColor, ImageDraw, ImageFont, ImageOps, ImageStat

MARGIN = 1.10
"""How much larger than the clip a background is, so that it can be panned."""

MAX_WORDS_DRAWN = 240
"""Characters of a prompt that are drawn; prompts are hostile text, and setting 8,000 marks takes seconds."""

MAX_LINES = 3
_LINE = 1.25  # a line's height, in letters
_BAR_LUMA = 210
_SHADE = 150  # of 255: how much of the picture the strip takes away
_DARK = frozenset({"dark", "dusk", "evening", "midnight", "night"})
_GREY = (128, 128)
_TINTS = {
    "blue": (158, 112), "red": (112, 168), "green": (108, 108), "gold": (96, 142), "golden": (96, 142),
    "yellow": (84, 138), "orange": (92, 160), "purple": (156, 146), "violet": (158, 144), "pink": (132, 160),
    "grey": _GREY, "gray": _GREY, "black": _GREY, "white": _GREY, "monochrome": _GREY,
}  # fmt: skip
"""Colour words, and the middle (cb, cr) of a picture that is tinted so."""


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


@dataclass(frozen=True)
class Caption:
    """Words (luma only) for a strip along the picture's edge, which is as high as its lines need."""

    words: Image.Image
    bar: int

    @property
    def height(self) -> int:
        return self.words.height


def caption(label: str, prompt: str, width: int, height: int) -> Caption:
    """The prompt, word-wrapped, at the left of a strip as wide as the picture; the small label at its right."""
    points, bar = _sizes(width, height)
    large, small = ImageFont.load_default(points), ImageFont.load_default(max(8, points * 3 // 4))
    edge, beside = points // 2, round(small.getlength(label))
    lines = _wrap(_printable(prompt), large, max(width // 3, width - 4 * edge - beside), MAX_LINES)
    words = Image.new("L", (width, strip_height(width, height, len(lines))), 0)
    draw = ImageDraw.Draw(words)
    top, step = bar + points // 4, round(points * _LINE)
    for number, line in enumerate(lines):
        draw.text((edge, top + step * number), line, fill=255, font=large)
    draw.text((width - edge, top + points), label, fill=150, font=small, anchor="rs")
    return Caption(words, bar)


def _sizes(width: int, height: int) -> tuple[int, int]:
    """The letters' and the bar's height in pixels."""
    return max(9, min(width, height) // 24), even(min(width, height) / 120)


def strip_height(width: int, height: int, lines: int) -> int:
    points, bar = _sizes(width, height)
    return min(even(height), even(bar + points * 0.5 + points * _LINE * lines))


def without_strip(last: Planes) -> Planes:
    """The last frame of one of these clips without its caption: what is above is mirrored into its place.

    A clip ends with a full bar, which tells how high the strip is; another video stays as it is.
    """
    width, height = last.size
    _, bar = _sizes(width, height)
    for lines in range(1, MAX_LINES + 1):
        tall = strip_height(width, height, lines)
        top = height - tall
        if tall * 2 <= height and _is_bar(last.y, top + bar // 2) and not _is_bar(last.y, top - bar):
            # The encoder smears the bar's edge a little upwards.
            tall += 2
            return Planes(_mirrored(last.y, tall), _mirrored(last.cb, tall // 2), _mirrored(last.cr, tall // 2))
    return last


def _is_bar(luma: Image.Image, row: int) -> bool:
    found = ImageStat.Stat(luma.crop((0, row, luma.width, row + 1)))
    return found.mean[0] > _BAR_LUMA - 45 and found.stddev[0] < 20


def _mirrored(plane: Image.Image, rows: int) -> Image.Image:
    copy = plane.copy()
    above = plane.crop((0, plane.height - 2 * rows, plane.width, plane.height - rows))
    copy.paste(above.transpose(Image.Transpose.FLIP_TOP_BOTTOM), (0, plane.height - rows))
    return copy


def recoloured(planes: Planes, prompt: str) -> Planes:
    """The picture as an edit leaves it: tinted towards a colour that the prompt names, else with its colours turned."""
    words = re.findall(r"[a-z]+", prompt[:2000].lower())
    y = planes.y.point([v * 3 // 5 for v in range(256)]) if _DARK.intersection(words) else planes.y
    tint = next((_TINTS[word] for word in words if word in _TINTS), None)
    if tint is None:
        warmer, cooler = [min(255, v + 26) for v in range(256)], [max(0, v - 26) for v in range(256)]
        return Planes(y, planes.cr.point(cooler), planes.cb.point(warmer))
    cb, cr = ([round(goal + (v - 128) * 0.3) for v in range(256)] for goal in tint)
    return Planes(y, planes.cb.point(cb), planes.cr.point(cr))


class Scene:
    """A background, a caption on a darkened strip, and a thin bar that grows along it, as frames of one clip."""

    def __init__(
        self, background: Planes, size: tuple[int, int], words: Caption, frames: int, *, on_top: bool = False
    ) -> None:
        self._background, self._size, self._caption, self._frames = background, size, words, max(1, frames)
        self._blank = av.VideoFrame(size[0], size[1], "yuv420p")
        width, height = size
        self._strip_at = 0 if on_top else height - words.height
        # The bar is on the side of the picture's middle.
        self._bar_at = words.height - words.bar if on_top else height - words.height
        self._shade = Image.new("L", (width, words.height), _SHADE)
        self._shade_halved = self._shade.reduce(2)

    def frame(self, index: int) -> av.VideoFrame:
        """The clip's frame number `index`, from 0. The last one has a full bar."""
        progress = index / self._frames
        left, top = (self._pan(axis, progress) for axis in (0, 1))
        width, _ = self._size
        frame = av.VideoFrame(self._size[0], self._size[1], "yuv420p")
        luma = self._layer(0, self._background.y, (left, top))
        luma.paste(20, (0, self._strip_at), self._shade)
        luma.paste(235, (0, self._strip_at), self._caption.words)
        done = max(1, width * (index + 1) // self._frames)
        luma.paste(_BAR_LUMA, (0, self._bar_at, done, self._bar_at + self._caption.bar))
        frame.planes[0].update(luma.tobytes())
        for number, source in enumerate((self._background.cb, self._background.cr), start=1):
            chroma = self._layer(number, source, (left // 2, top // 2))
            chroma.paste(128, (0, self._strip_at // 2), self._shade_halved)
            chroma.paste(128, (0, self._bar_at // 2, (done + 1) // 2, (self._bar_at + self._caption.bar) // 2))
            frame.planes[number].update(chroma.tobytes())
        return frame

    def _pan(self, axis: int, progress: float) -> int:
        slack = self._background.size[axis] - self._size[axis]
        return int(slack * progress) // 2 * 2

    def _layer(self, number: int, source: Image.Image, offset: tuple[int, int]) -> Image.Image:
        plane = self._blank.planes[number]
        layer = Image.new("L", (plane.line_size, plane.height))
        layer.paste(source.crop((*offset, offset[0] + plane.width, offset[1] + plane.height)), (0, 0))
        return layer
