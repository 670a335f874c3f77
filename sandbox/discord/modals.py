"""The rules for modals, and what a person sees of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sandbox.discord.components import (
    CHECKBOX,
    CHECKBOX_GROUP,
    FILE_UPLOAD,
    LABEL,
    RADIO_GROUP,
    ROW,
    SELECTS,
    TEXT,
    TEXT_INPUT,
    assign_ids,
    check_options,
    check_select,
    check_unique,
    component_type,
)
from sandbox.discord.errors import Form
from sandbox.discord.messages import walk

KINDS = {
    TEXT_INPUT: "text",
    3: "select",
    5: "user select",
    6: "role select",
    7: "mentionable select",
    8: "channel select",
    FILE_UPLOAD: "files",
    RADIO_GROUP: "radio",
    CHECKBOX_GROUP: "checkboxes",
    CHECKBOX: "checkbox",
}
_INPUTS = frozenset(KINDS)
_KEYS = frozenset({"custom_id", "title", "components"})


@dataclass(frozen=True)
class Field:
    """One input of a modal. `value` is what it is filled with when the modal opens; lengths and counts as limits."""

    label: str
    custom_id: str
    kind: str
    type: int
    id: int
    value: Any
    required: bool
    minimum: int | None = None
    maximum: int | None = None
    options: tuple[str, ...] = ()
    description: str | None = None
    file_types: tuple[str, ...] = ()


@dataclass(frozen=True)
class Modal:
    """A modal as its reader sees it; `raw` is the body that the bot sent, with ids filled in."""

    title: str
    custom_id: str
    fields: list[Field]
    raw: dict[str, Any] = field(repr=False)

    @property
    def text(self) -> str:
        """Every word the reader sees: title, labels, descriptions, text displays."""
        lines = [self.title]
        for component in self.raw["components"]:
            lines += [component[key] for key in ("content", "label", "description") if component.get(key)]
        return "\n".join(lines)

    def find(self, name: str) -> Field | None:
        """The field with this label or custom_id."""
        return next((f for f in self.fields if name in {f.label, f.custom_id}), None)


def check(form: Form, data: Any) -> None:
    """Notes every fault of the `data` of a modal response."""
    if not isinstance(data, dict):
        form.add("data", "BASE_TYPE_REQUIRED", "This field is required.")
        return
    form.known("data", data, _KEYS)
    form.text("data.title", data.get("title"), 1, 45)
    form.text("data.custom_id", data.get("custom_id"), 1, 100)
    top = form.items("data.components", data.get("components"), 1, 5)
    faults = len(form.faults)
    for index, component in enumerate(top):
        _check_top(form, f"data.components.{index}", component)
    if len(form.faults) == faults:
        check_unique(form, "data.components", list(walk(top)))


def _check_top(form: Form, path: str, component: Any) -> None:
    kind = component_type(form, path, component, frozenset({ROW, TEXT, LABEL}))
    if kind == TEXT:
        form.text(f"{path}.content", component.get("content"), 1, 4000)
    elif kind == ROW:
        for index, child in enumerate(form.items(f"{path}.components", component.get("components"), 1, 1)):
            where = f"{path}.components.{index}"
            if component_type(form, where, child, frozenset({TEXT_INPUT})) is not None:
                form.text(f"{where}.label", child.get("label"), 1, 45)
                _check_text_input(form, where, child)
    elif kind == LABEL:
        form.text(f"{path}.label", component.get("label"), 1, 45)
        if component.get("description") is not None:
            form.text(f"{path}.description", component["description"], 1, 100)
        inner = component.get("component")
        if component_type(form, f"{path}.component", inner, _INPUTS) is not None:
            _check_input(form, f"{path}.component", component["component"])


def _check_input(form: Form, path: str, inner: dict[str, Any]) -> None:
    kind = inner["type"]
    if kind == TEXT_INPUT:
        if inner.get("label"):
            form.add(
                f"{path}.label", "COMPONENT_LABEL_FORBIDDEN", "A text input inside a Label has no label of its own."
            )
        _check_text_input(form, path, inner)
    elif kind in SELECTS:
        if inner.get("disabled"):
            form.add(f"{path}.disabled", "COMPONENT_DISABLED_IN_MODAL", "A select in a modal cannot be disabled.")
        check_select(form, path, inner)
    else:
        form.text(f"{path}.custom_id", inner.get("custom_id"), 1, 100)
        if kind == RADIO_GROUP:
            check_options(form, f"{path}.options", inner.get("options"), 2, 10)
        elif kind == CHECKBOX_GROUP:
            check_options(form, f"{path}.options", inner.get("options"), 1, 10)
        low, high = inner.get("min_values"), inner.get("max_values")
        if low is not None:
            form.integer(f"{path}.min_values", low, 0, 10)
        if high is not None:
            form.integer(f"{path}.max_values", high, max(1, low or 0), 10)


def _check_text_input(form: Form, path: str, inner: dict[str, Any]) -> None:
    form.text(f"{path}.custom_id", inner.get("custom_id"), 1, 100)
    form.integer(f"{path}.style", inner.get("style"), 1, 2)
    low, high, value = inner.get("min_length"), inner.get("max_length"), inner.get("value")
    if low is not None:
        form.integer(f"{path}.min_length", low, 0, 4000)
    if high is not None:
        form.integer(f"{path}.max_length", high, max(1, low or 0), 4000)
    if value is not None:
        form.text(f"{path}.value", value, 0, high if isinstance(high, int) else 4000)
    if inner.get("placeholder") is not None:
        form.text(f"{path}.placeholder", inner["placeholder"], 0, 100)


def read(data: dict[str, Any]) -> Modal:
    """The modal that a checked body describes."""
    assign_ids(data["components"])
    fields: list[Field] = []
    for component in data["components"]:
        if component["type"] == LABEL:
            fields.append(_field(component["label"], component["component"], component.get("description")))
        elif component["type"] == ROW:
            fields += [_field(child["label"], child, None) for child in component["components"]]
    return Modal(data["title"], data["custom_id"], fields, data)


def _field(label: str, inner: dict[str, Any], description: str | None) -> Field:
    kind = inner["type"]
    text = kind == TEXT_INPUT
    return Field(
        label=label,
        custom_id=inner["custom_id"],
        kind=KINDS[kind],
        type=kind,
        id=inner["id"],
        value=_default(inner),
        required=kind != CHECKBOX and inner.get("required") is not False,
        minimum=inner.get("min_length" if text else "min_values"),
        maximum=inner.get("max_length" if text else "max_values"),
        options=tuple(option["value"] for option in inner.get("options") or ()),
        description=description,
        file_types=tuple(inner.get("file_types") or ()),
    )


def _default(inner: dict[str, Any]) -> Any:
    kind = inner["type"]
    if kind == TEXT_INPUT:
        return inner.get("value") or ""
    if kind == CHECKBOX:
        return bool(inner.get("default"))
    chosen = [option["value"] for option in inner.get("options") or () if option.get("default")]
    if kind == RADIO_GROUP:
        return chosen[0] if chosen else None
    if kind in SELECTS:
        return chosen or [str(value["id"]) for value in inner.get("default_values") or ()]
    return chosen
