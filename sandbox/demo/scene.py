"""A small landscape that the try-out draws itself, so that there is a picture to start a video from."""

from __future__ import annotations

import io
import math
import random

from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter

Point = tuple[float, float]

_SKY = ("#2d4f8e", "#f3a671", "#fbdfa8")
_HILLS = (
    ("#8a7fae", 0.58, 0.050, 1.3, 0.4),
    ("#5f7f8f", 0.66, 0.055, 1.9, 2.2),
    ("#3f6b5a", 0.76, 0.060, 1.4, 4.0),
    ("#234438", 0.88, 0.045, 2.3, 1.1),
)
_WOODED = 2  # the hill with the trees: x and height of each, as parts of the picture
_TREES = ((0.12, 0.13), (0.17, 0.19), (0.215, 0.14), (0.80, 0.15), (0.85, 0.21), (0.89, 0.15))


def draw_scene(width: int = 1280, height: int = 720) -> Image.Image:
    """Hills, trees and a low sun, always the same."""
    picture = _sky(width, height)
    _sun(picture, (width * 0.66, height * 0.47), height * 0.085)
    for number, (colour, base, swing, waves, shift) in enumerate(_HILLS):
        outline = _ridge(width, height, base, swing, waves, shift)
        ImageDraw.Draw(picture).polygon([*outline, (width, height), (0, height)], fill=colour)
        if number == _WOODED:
            for x, tall in _TREES:
                _tree(picture, x * width, _height_at(x, base, swing, waves, shift) * height, tall * height)
    return picture


def scene_png() -> bytes:
    """The scene as a PNG file."""
    buffer = io.BytesIO()
    draw_scene().save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _sky(width: int, height: int) -> Image.Image:
    stops = [ImageColor.getrgb(colour)[:3] for colour in _SKY]
    horizon = int(height * 0.62)
    noise = Image.frombytes("L", (width, horizon), random.Random(1).randbytes(width * horizon))
    bands = [_dithered([float(stop[band]) for stop in stops], noise) for band in range(3)]
    picture = Image.new("RGB", (width, height), _SKY[-1])
    picture.paste(Image.merge("RGB", bands), (0, 0))
    return picture


def _dithered(stops: list[float], noise: Image.Image) -> Image.Image:
    """One colour's gradient from the top down; neighbouring steps are mixed by chance, so that no band is seen."""
    rows = [_between(stops, row / noise.height) for row in range(noise.height)]
    whole, part = Image.new("L", (1, noise.height)), Image.new("L", (1, noise.height))
    whole.putdata([int(value) for value in rows])
    part.putdata([int(value % 1 * 256) for value in rows])
    step = ImageChops.subtract(part.resize(noise.size), noise).point([0] + [1] * 255)
    return ImageChops.add(whole.resize(noise.size), step)


def _between(stops: list[float], place: float) -> float:
    upper = min(int(place * (len(stops) - 1)), len(stops) - 2)
    part = place * (len(stops) - 1) - upper
    eased = part * part * (3 - 2 * part) * 0.5 + part * 0.5
    return stops[upper] + (stops[upper + 1] - stops[upper]) * eased


def _sun(picture: Image.Image, centre: Point, radius: float) -> None:
    for size, strength in ((3.2, 60), (1.7, 90), (1.0, 255)):
        reach = radius * size
        mask = Image.new("L", picture.size, 0)
        box = (centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach)
        ImageDraw.Draw(mask).ellipse(box, fill=strength)
        blur = radius * 0.7 if strength < 255 else 1
        picture.paste((255, 241, 200), (0, 0), mask.filter(ImageFilter.GaussianBlur(blur)))


def _height_at(x: float, base: float, swing: float, waves: float, shift: float) -> float:
    return base + swing * math.sin(waves * x * math.tau + shift) + swing * 0.35 * math.sin(waves * 2.7 * x * math.tau)


def _ridge(width: int, height: int, base: float, swing: float, waves: float, shift: float) -> list[Point]:
    steps = width // 4
    return [(width * i / steps, height * _height_at(i / steps, base, swing, waves, shift)) for i in range(steps + 1)]


def _tree(picture: Image.Image, x: float, foot: float, tall: float) -> None:
    draw = ImageDraw.Draw(picture)
    draw.rectangle((x - tall * 0.03, foot - tall * 0.2, x + tall * 0.03, foot + tall * 0.05), fill="#2a211c")
    for part in range(3):
        low, wide = foot - tall * (0.12 + 0.26 * part), tall * (0.26 - 0.06 * part)
        draw.polygon([(x - wide, low), (x + wide, low), (x, low - tall * 0.42)], fill="#16302a")
