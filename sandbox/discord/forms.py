"""What a person fills into a modal, checked as Discord's client does, and the data that the bot gets of it."""

from __future__ import annotations

from typing import Any

from sandbox.discord import components as c
from sandbox.discord.cdn import File
from sandbox.discord.errors import SandboxError
from sandbox.discord.modals import Field, Modal
from sandbox.discord.options import Resolved


def build(modal: Modal, values: dict[str, Any], resolved: Resolved, *, checked: bool) -> dict[str, Any]:
    """The `data` of a modal submit. `values` by label or custom_id; what is absent keeps its default."""
    unknown = [name for name in values if modal.find(name) is None]
    if unknown:
        raise SandboxError(f"the modal {modal.title!r} has no fields {unknown}, only {[f.label for f in modal.fields]}")
    given = {
        field.custom_id: values.get(field.label, values.get(field.custom_id, field.value)) for field in modal.fields
    }
    by_id = {field.custom_id: field for field in modal.fields}

    def fill(component: dict[str, Any]) -> dict[str, Any]:
        field = by_id[component["custom_id"]]
        return _input(field, given[field.custom_id], resolved, checked=checked)

    parts: list[dict[str, Any]] = []
    for component in modal.raw["components"]:
        head = {"type": component["type"], "id": component["id"]}
        if component["type"] == c.LABEL:
            parts.append(head | {"component": fill(component["component"])})
        elif component["type"] == c.ROW:
            parts.append(head | {"components": [fill(child) for child in component["components"]]})
        else:
            parts.append(head)
    data: dict[str, Any] = {"custom_id": modal.custom_id, "components": parts}
    if resolved.parts:
        data["resolved"] = resolved.parts
    return data


def _input(field: Field, value: Any, resolved: Resolved, *, checked: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"type": field.type, "id": field.id, "custom_id": field.custom_id}
    if field.type == c.TEXT_INPUT:
        if checked:
            _check_text(field, value)
        return body | {"value": value}
    if field.type == c.CHECKBOX:
        return body | {"value": bool(value)}
    if field.type == c.RADIO_GROUP:
        if checked:
            _check_count(field, [] if value is None else [value])
        return body | {"value": value}
    chosen = list(value or [])
    if checked:
        _check_count(field, chosen)
    if field.type == c.FILE_UPLOAD:
        files = [item for item in chosen if isinstance(item, File)]
        return body | {"values": [resolved.attachment(f, checked=checked, types=field.file_types) for f in files]}
    return body | {"values": [resolved.snowflake(item) for item in chosen]}


def _check_text(field: Field, value: Any) -> None:
    if not isinstance(value, str):
        raise SandboxError(f"{field.label} takes text")
    if not value and field.required:
        raise SandboxError(f"{field.label} is required")
    low, high = field.minimum or 0, 4000 if field.maximum is None else field.maximum
    if value and not low <= len(value) <= high:
        raise SandboxError(f"{field.label}: {len(value)} characters, from {low} to {high} are allowed")


def _check_count(field: Field, chosen: list[Any]) -> None:
    low = (1 if field.minimum is None else field.minimum) if field.required else 0
    high = 1 if field.maximum is None else field.maximum
    if not low <= len(chosen) <= high and (chosen or field.required):
        raise SandboxError(f"{field.label}: {len(chosen)} chosen, from {low} to {high} are allowed")
    wrong = [item for item in chosen if field.options and item not in field.options]
    if wrong:
        raise SandboxError(f"{field.label}: {wrong} is none of {list(field.options)}")
