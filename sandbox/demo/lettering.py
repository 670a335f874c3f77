"""Text on pictures with the one font that comes with Pillow, so that a picture looks alike on every machine.

That font has one weight and few signs: bold is drawn with a thin outline, and a missing sign is taken from a system
font where there is one.
"""

from __future__ import annotations

from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_PLAIN = {"×": "x", "–": "-", "—": "-"}


@lru_cache(maxsize=64)
def _own(size: int) -> Font:
    return ImageFont.load_default(size)


@lru_cache(maxsize=64)
def _system(size: int) -> Font | None:
    try:
        return ImageFont.truetype("DejaVuSans.ttf", round(size * 0.92))
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _has(sign: str) -> bool:
    return _bitmap(sign) != _bitmap("\uffff")  # what a font has no sign for, it shows as a box


def _bitmap(sign: str) -> bytes:
    picture = Image.new("L", (40, 40))
    ImageDraw.Draw(picture).text((4, 4), sign, 255, _own(20))
    return picture.tobytes()


class Pen:
    """Writes on one picture. `size` is in pixels; a position is the top left corner."""

    def __init__(self, image: Image.Image) -> None:
        self._draw = ImageDraw.Draw(image)

    def width(self, text: str, size: int, *, bold: bool = False) -> int:
        total = sum(font.getlength(part) for font, part in _runs(text, size))
        return round(total + (len(text) * 0.4 if bold else 0))

    def write(self, text: str, x: int, y: int, size: int, colour: str, *, bold: bool = False) -> int:
        """Returns where the next letter goes."""
        across, base = float(x), y + round(size * 0.95)
        for font, part in _runs(text, size):
            for letter in part if bold else [part]:
                stroke = 0.45 if bold else 0
                self._draw.text((across, base), letter, colour, font, anchor="ls", stroke_width=stroke)
                across += font.getlength(letter) + (0.4 if bold else 0)
        return round(across)


def _runs(text: str, size: int) -> list[tuple[Font, str]]:
    runs: list[tuple[Font, str]] = []
    for wanted in text:
        font, sign = _own(size), wanted
        if not _has(wanted):
            other = _system(size)
            font, sign = (font, _PLAIN.get(wanted, wanted)) if other is None else (other, wanted)
        if runs and runs[-1][0] is font:
            runs[-1] = (font, runs[-1][1] + sign)
        else:
            runs.append((font, sign))
    return runs
