"""Messages, forms and lists as a terminal shows them. Nothing here reads markup out of what strangers wrote."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from sandbox.demo.marks import Kind, Line, lines_of
from sandbox.discord import Field, Message

WIDEST = 96
_LINE_STYLES = {Kind.SMALL: "dim", Kind.HEADING: "bold", Kind.QUOTE: "", Kind.NORMAL: ""}
_BUTTON_STYLES = {1: "bold white on blue", 3: "bold white on green", 4: "bold white on red"}
_LONGEST_DEFAULT = 300
_ALL_OPTIONS = 12


def message_panel(message: Message, number: int) -> Panel:
    """A message with its number, its texts, what it shows, and its buttons by number."""
    parts: list[RenderableType] = [_text(line) for line in lines_of(message.text, message.sandbox)]
    parts += [
        Text(f"▣ {m.filename}  {_size(m.width, m.height)}{round(m.size / 1024)} KB", "cyan") for m in message.media
    ]
    if message.buttons:
        parts += [Text(), _buttons(message)]
    title = f"#{number}  {message.author.name}{' · APP' if message.author.bot else ''}"
    return Panel(
        Group(*parts),
        title=Text(title, "bold"),
        title_align="left",
        subtitle=Text("only you see this", "dim italic") if message.ephemeral else None,
        subtitle_align="left",
        border_style="dim" if message.ephemeral else _accent(message),
        width=None,
    )


def summary(message: Message, number: int) -> Text:
    """A message in one line."""
    words = " · ".join(line.text for line in lines_of(message.text, message.sandbox) if line.text)
    seen = " (only you)" if message.ephemeral else ""
    return Text(f"#{number:<3} {message.author.name}{seen}: {words}")


def field_hint(field: Field) -> str:
    """What may be typed into a form's field, and what Enter keeps."""
    hints = [field.description] if field.description else []
    if field.options:
        shown = field.options if len(field.options) <= _ALL_OPTIONS else (*field.options[:_ALL_OPTIONS], "…")
        hints.append(f"one of {', '.join(shown)}")
    if field.kind == "files":
        hints.append("paths of files")
    default = ", ".join(map(str, field.value)) if isinstance(field.value, list) else str(field.value or "")
    if default:
        cut = default if len(default) <= _LONGEST_DEFAULT else default[:_LONGEST_DEFAULT] + "…"
        hints.append(f"Enter keeps: {cut}")
    elif not field.required:
        hints.append("Enter leaves it empty")
    return " · ".join(hints)


def terminal() -> Console:
    """Standard output for people, no wider than is good to read."""
    console = Console(highlight=False)
    console.width = min(console.width, WIDEST)
    return console


def _text(line: Line) -> Text:
    text = Text("▌ " if line.kind is Kind.QUOTE else "", _LINE_STYLES[line.kind])
    for span in line.spans:
        text.append(span.text, "blue" if span.mention else "bold" if span.bold else None)
    return text


def _buttons(message: Message) -> Text:
    row = Text()
    for number, button in enumerate(message.buttons, start=1):
        style = "dim strike" if button.disabled else _BUTTON_STYLES.get(button.style, "bold white on grey37")
        row.append(f"{number} ", "dim").append(f" {button.label or button.url} ", style).append("  ")
    return row


def _size(width: int | None, height: int | None) -> str:
    return f"{width}×{height}  " if width and height else ""


def _accent(message: Message) -> str:
    colours = (part.get("accent_color") for part in message.components)
    found = next((colour for colour in colours if isinstance(colour, int)), None)
    return "blue" if found is None else f"#{found:06x}"
