"""A picture of a posted message as Discord's dark theme shows it, for the README. All in it comes from the message."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from pathlib import Path

import av
from PIL import Image, ImageDraw

from sandbox.demo.lettering import Pen
from sandbox.demo.marks import Kind, Line, Span, lines_of
from sandbox.discord import Button, Media, Message

WIDTH = 900
LEFT, RIGHT, TOP = 88, 36, 28
MEDIA_WIDTH = 720
GROUND, TEXT, FAINT, WHITE = "#313338", "#dbdee1", "#949ba4", "#f2f3f5"
MENTION, MENTION_GROUND = "#c9cdfb", "#3c4270"
BLURPLE, BAR = "#5865f2", "#4e5058"
_BUTTONS = {1: BLURPLE, 2: BAR, 3: "#248046", 4: "#da373c", 5: BAR}
_SIZES = {Kind.NORMAL: 18, Kind.QUOTE: 18, Kind.SMALL: 15, Kind.HEADING: 22}
NOTE = "Drawn by make demo. The clip is the stand-in's test picture, not the model's work."
_SMOOTH = 4  # shapes are drawn this much larger, then reduced


@dataclass
class _Page:
    """The picture while it grows downwards; `y` is where the next part begins."""

    image: Image.Image
    pen: Pen
    y: int


def save_posted_result(message: Message, path: Path) -> None:
    """Draws the message into a PNG file. Raises OSError where the file cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_message(message).save(path, "PNG", optimize=True)


def draw_message(message: Message) -> Image.Image:
    """The message in the order of its parts: texts, video, texts, buttons."""
    image = Image.new("RGB", (WIDTH, 4000), GROUND)
    page = _Page(image, Pen(image), TOP)
    _head(page, message)
    for component in message.components:
        _part(page, message, component)
    page.pen.write(NOTE, LEFT, page.y + 20, 13, FAINT)
    return image.crop((0, 0, WIDTH, page.y + 20 + 13 + TOP - 10))


def _part(page: _Page, message: Message, component: dict[str, object]) -> None:
    kind = component["type"]
    if kind == 10:
        for line in lines_of(str(component["content"]), message.sandbox):
            _text(page, line)
    elif kind == 12:
        for media in message.media:
            _player(page, media)
    elif kind == 1:
        _buttons(page, message.buttons)


def _head(page: _Page, message: Message) -> None:
    disc = Image.new("L", (44 * _SMOOTH, 44 * _SMOOTH), 0)
    ImageDraw.Draw(disc).ellipse((0, 0, 44 * _SMOOTH - 1, 44 * _SMOOTH - 1), fill=255)
    page.image.paste(BLURPLE, (24, page.y), disc.reduce(_SMOOTH))
    initial = message.author.name[:1].upper()
    page.pen.write(initial, 24 + (44 - page.pen.width(initial, 24, bold=True)) // 2, page.y + 8, 24, WHITE, bold=True)
    x = page.pen.write(message.author.name, LEFT, page.y - 2, 18, WHITE, bold=True) + 8
    if message.author.bot:
        page.image.paste(*_rounded((page.pen.width("APP", 12, bold=True) + 10, 18), 4, BLURPLE, (x, page.y + 1)))
        x = page.pen.write("APP", x + 5, page.y + 3, 12, WHITE, bold=True) + 13
    page.pen.write(time.strftime("%H:%M", time.localtime(message.at)), x, page.y + 3, 13, FAINT)
    page.y += 28


def _text(page: _Page, line: Line) -> None:
    size = _SIZES[line.kind]
    quote = line.kind is Kind.QUOTE
    left, top, height = LEFT + (16 if quote else 0), page.y, round(size * 1.42)
    colour = FAINT if line.kind is Kind.SMALL else TEXT
    x = left
    for word in _words(line.spans):
        bold = word.bold or line.kind is Kind.HEADING
        width = page.pen.width(word.text, size, bold=bold)
        if x > left and x + width > WIDTH - RIGHT:
            x, page.y = left, page.y + height
        if word.mention:
            page.image.paste(*_rounded((width + 4, size + 6), 3, MENTION_GROUND, (x - 2, page.y - 1)))
        x = page.pen.write(word.text, x, page.y, size, MENTION if word.mention else colour, bold=bold)
    page.y += height
    if quote:
        page.image.paste(*_rounded((4, page.y - top), 2, BAR, (LEFT, top - 2)))
    page.y += 2


def _words(spans: tuple[Span, ...]) -> list[Span]:
    words: list[Span] = []
    for span in spans:
        pieces = [span.text] if span.mention else span.text.replace(" ", " \0").split("\0")
        words += [Span(piece, span.bold, span.mention) for piece in pieces if piece]
    return words


def _player(page: _Page, media: Media) -> None:
    frame = _frame(media)
    if frame is None:
        return
    height = round(frame.height * MEDIA_WIDTH / frame.width)
    shown = frame.resize((MEDIA_WIDTH, height), Image.Resampling.LANCZOS)
    page.y += 6
    page.image.paste(shown, (LEFT, page.y), _mask((MEDIA_WIDTH, height), 10))
    side = 72
    centre = (LEFT + (MEDIA_WIDTH - side) // 2, page.y + (height - side) // 2)
    shade = _mask((side, side), side // 2).point([value * 170 // 255 for value in range(256)])
    page.image.paste("#000000", centre, shade)
    play = Image.new("L", (side * _SMOOTH, side * _SMOOTH), 0)
    corners = ((0.38, 0.28), (0.38, 0.72), (0.75, 0.5))
    ImageDraw.Draw(play).polygon([(x * side * _SMOOTH, y * side * _SMOOTH) for x, y in corners], fill=255)
    page.image.paste(WHITE, centre, play.reduce(_SMOOTH))
    page.y += height + 10


def _frame(media: Media) -> Image.Image | None:
    """A frame from the first quarter of the video."""
    if media.data is None:
        return None
    with av.open(io.BytesIO(media.data), "r") as container:
        stream = container.streams.video[0]
        wanted = stream.frames // 4
        for number, frame in enumerate(container.decode(stream)):
            if number >= wanted:
                return frame.to_image()
    return None


def _buttons(page: _Page, buttons: list[Button]) -> None:
    x, height = LEFT, 38
    page.y += 8
    for button in buttons:
        label = button.label or ""
        width = page.pen.width(label, 16) + 34
        if x + width > WIDTH - RIGHT:
            x, page.y = LEFT, page.y + height + 8
        ground = _mixed(_BUTTONS.get(button.style, BAR), GROUND, 0.5 if button.disabled else 0)
        page.image.paste(*_rounded((width, height), 8, ground, (x, page.y)))
        page.pen.write(label, x + 17, page.y + 8, 16, _mixed("#ffffff", GROUND, 0.5 if button.disabled else 0))
        x += width + 8
    page.y += height


def _mixed(colour: str, other: str, part: float) -> str:
    pairs = ((int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in pairs)


def _mask(size: tuple[int, int], radius: int) -> Image.Image:
    large = Image.new("L", (size[0] * _SMOOTH, size[1] * _SMOOTH), 0)
    ImageDraw.Draw(large).rounded_rectangle(
        (0, 0, large.width - 1, large.height - 1), radius=radius * _SMOOTH, fill=255
    )
    return large.reduce(_SMOOTH)


def _rounded(
    size: tuple[int, int], radius: int, colour: str, at: tuple[int, int]
) -> tuple[str, tuple[int, int], Image.Image]:
    """What Image.paste needs for a filled shape with round corners."""
    return colour, at, _mask(size, radius)
