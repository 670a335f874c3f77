"""The forms (modals) that Extend, Edit and Retry open, and what comes back from them.

A form's custom_id holds all that is needed to take it in: the action, the video, and the interaction that opened it.
So it survives a restart between opening and sending, and sending it twice makes one request.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import discord
from discord import ui

from cogs.buttons import ID, PREFIX

LONGEST_PROMPT = 4000
"""Discord: the longest value of a text input."""

_CUSTOM_ID = re.compile(rf"{PREFIX}:form:(?P<action>extend|edit|retry):(?P<video>{ID}):(?P<opened>\d{{1,20}})")
_TITLES = {"extend": "Extend this video", "edit": "Edit this video", "retry": "Ask again"}
_LABELS = {
    "extend": "What happens next?",
    "edit": "What should be different?",
    "retry": "Prompt",
}


@dataclass(frozen=True, slots=True)
class Sent:
    """A form that came back. `prompt` may be empty; `key` is the same however often the form is sent."""

    action: str
    video_id: str
    key: str
    prompt: str
    duration: int | None


def form(action: str, video_id: str, prompt: str, *, opened_by: int) -> ui.Modal:
    """The form for an action on a video, with its prompt filled in."""
    modal = ui.Modal(title=_TITLES[action], custom_id=f"{PREFIX}:form:{action}:{video_id}:{opened_by}")
    fits = len(prompt) <= LONGEST_PROMPT
    modal.add_item(
        ui.Label(
            text=_LABELS[action],
            description=None if fits else "The prompt is too long to show here. Leave this empty to use it again.",
            component=ui.TextInput(
                style=discord.TextStyle.paragraph,
                custom_id="prompt",
                default=prompt if fits else None,
                required=fits,
                max_length=LONGEST_PROMPT,
            ),
        )
    )
    if action == "extend":
        modal.add_item(ui.Label(text="Seconds to add", component=_durations()))
    # Stopped, so that discord.py keeps nothing of it: it is taken in by its custom_id, in whatever process.
    modal.stop()
    return modal


def _durations() -> "ui.Select[Any]":
    options = [discord.SelectOption(label=f"{n} s", value=str(n), default=n == 6) for n in range(2, 11)]
    return ui.Select(custom_id="duration", options=options, min_values=1, max_values=1)


def read(interaction: discord.Interaction) -> Sent | None:
    """What was sent, or None if this interaction is not one of these forms."""
    if interaction.type is not discord.InteractionType.modal_submit or not interaction.data:
        return None
    data: Any = interaction.data
    match = _CUSTOM_ID.fullmatch(data.get("custom_id", ""))
    if match is None:
        return None
    fields = {item["custom_id"]: item for item in _fields(data.get("components", []))}
    values = fields.get("duration", {}).get("values") or []
    return Sent(
        action=match["action"],
        video_id=match["video"],
        key=f"form:{match['opened']}",
        prompt=str(fields.get("prompt", {}).get("value", "")),
        duration=int(values[0]) if values and str(values[0]).isdecimal() else None,
    )


def _fields(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for component in components:
        inner = component.get("component")
        if inner is not None:
            yield inner
        yield from _fields(component.get("components", []))
        if "custom_id" in component:
            yield component
