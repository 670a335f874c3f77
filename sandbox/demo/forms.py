"""A form (modal) asked field by field at the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from sandbox.demo import show
from sandbox.demo.typed import named, read_file
from sandbox.discord import Field, Interaction, SandboxError
from sandbox.discord import commands as kinds

if TYPE_CHECKING:
    from sandbox.demo.session import Session

CLOSE = "."
_PICKED = {
    "user select": kinds.USER_OPTION,
    "role select": kinds.ROLE,
    "mentionable select": kinds.MENTIONABLE,
    "channel select": kinds.CHANNEL,
}


class _Closed(Exception):
    """The person closed the form."""


def fill_in(opened: Interaction, session: Session) -> Interaction | None:
    """Asks for each field and sends the form, again after a refusal; None if it was closed."""
    modal = opened.modal
    if modal is None:
        return None
    session.console.print(Text(f"\n{modal.title}", "bold").append(f"   (a single {CLOSE} closes the form)", "dim"))
    while True:
        try:
            values = {field.custom_id: _ask(field, session) for field in modal.fields}
            given = {name: value for name, value in values.items() if value is not None}
            return session.background.run(session.person.submit(opened, given))
        except _Closed:
            session.say("The form is closed; nothing was sent.")
            return None
        except SandboxError as refusal:
            session.say(f"✗ {refusal}", "red")


def _ask(field: Field, session: Session) -> Any:
    """What was typed, None to keep what the form came with."""
    session.console.print(Text(f"  {field.label}", "bold").append(f"  {show.field_hint(field)}", "dim"))
    typed = session.read("  > ").strip()
    if typed == CLOSE:
        raise _Closed
    return _value(field, typed, session) if typed else None


def _value(field: Field, typed: str, session: Session) -> Any:
    if field.kind == "text":
        return typed
    if field.kind == "checkbox":
        return typed.lower() in {"yes", "y", "true", "on", "1"}
    if field.kind == "files":
        return [read_file(path, session.bases) for path in typed.split()]
    parts = [part.strip() for part in typed.split(",") if part.strip()]
    if field.kind in _PICKED:
        return [named(part, _PICKED[field.kind], session.channel) for part in parts]
    chosen = [_option(field, part) for part in parts]
    return chosen[0] if field.kind == "radio" else chosen


def _option(field: Field, typed: str) -> str:
    # "6 s" means the option "6".
    short = typed.split(maxsplit=1)[0]
    return next((option for option in field.options if option in {typed, short}), typed)
