"""The rules for components on a message, and what Discord makes of them: ids for each, media items for files."""

from __future__ import annotations

import copy
from typing import Any

from sandbox.discord.errors import Form, words
from sandbox.discord.messages import media_items, walk

ROW, BUTTON, STRING_SELECT, TEXT_INPUT = 1, 2, 3, 4
SECTION, TEXT, THUMBNAIL, GALLERY, FILE, SEPARATOR, CONTAINER = 9, 10, 11, 12, 13, 14, 17
LABEL, FILE_UPLOAD, RADIO_GROUP, CHECKBOX_GROUP, CHECKBOX = 18, 19, 21, 22, 23
SELECTS = frozenset({3, 5, 6, 7, 8})
LINK, PREMIUM = 5, 6

MAX_COMPONENTS = 40
MAX_TEXT = 4000  # characters of all text displays of a message

_TOP = frozenset({ROW, SECTION, TEXT, GALLERY, FILE, SEPARATOR, CONTAINER})
_IN_CONTAINER = _TOP - {CONTAINER}
_SELECT_KEYS = "custom_id placeholder min_values max_values disabled required options default_values channel_types"
_KEYS = {
    ROW: "components",
    BUTTON: "style label emoji custom_id url disabled sku_id",
    TEXT_INPUT: "custom_id style label value placeholder required min_length max_length",
    SECTION: "components accessory",
    TEXT: "content",
    THUMBNAIL: "media description spoiler",
    GALLERY: "items",
    FILE: "file spoiler",
    SEPARATOR: "spacing divider",
    CONTAINER: "components accent_color spoiler",
    LABEL: "label description component",
    FILE_UPLOAD: "custom_id min_values max_values required file_types",
    RADIO_GROUP: "custom_id options required",
    CHECKBOX_GROUP: "custom_id options min_values max_values required",
    CHECKBOX: "custom_id default",
} | dict.fromkeys(SELECTS, _SELECT_KEYS)
KEYS = {kind: words(f"type id {names}") for kind, names in _KEYS.items()}
_MEDIA_KEYS = frozenset({"url"})
_ITEM_KEYS = frozenset({"media", "description", "spoiler"})
_OPTION_KEYS = frozenset({"label", "value", "description", "default", "emoji"})


def check(form: Form, components: Any, *, v2: bool, names: set[str], path: str = "components") -> None:
    """Notes every fault of a message's components. `names` are the files that `attachment://` may name."""
    top = form.items(path, components, 0, MAX_COMPONENTS if v2 else 5)
    faults = len(form.faults)
    for index, component in enumerate(top):
        kind = component_type(form, f"{path}.{index}", component, _TOP if v2 else frozenset({ROW}))
        if kind is not None:
            _check_one(form, f"{path}.{index}", component, names)
    if len(form.faults) == faults:
        _check_whole(form, path, top)


def _check_whole(form: Form, path: str, components: list[dict[str, Any]]) -> None:
    everything = list(walk(components))
    if len(everything) > MAX_COMPONENTS:
        form.add(path, "BASE_TYPE_MAX_LENGTH", f"The total number of components must be {MAX_COMPONENTS} or fewer.")
    if sum(len(c["content"]) for c in everything if c["type"] == TEXT) > MAX_TEXT:
        form.add(path, "COMPONENT_MAX_TOTAL_TEXT", f"All text displays together must be {MAX_TEXT} or fewer in length.")
    check_unique(form, path, everything)


def check_unique(form: Form, path: str, everything: list[dict[str, Any]]) -> None:
    """A `custom_id`, and an `id` that is not 0, may be used once in a message or modal."""
    for key, code in (("custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED"), ("id", "COMPONENT_ID_DUPLICATED")):
        seen: set[Any] = set()
        for component in everything:
            value = component.get(key)
            if value and value in seen:
                form.add(path, code, f"Component {key} {value!r} cannot be duplicated.")
            seen.add(value)


def component_type(form: Form, path: str, component: Any, allowed: frozenset[int]) -> int | None:
    """The component's type if it may stand here; also notes unknown fields."""
    if not isinstance(component, dict):
        form.add(path, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
        return None
    kind = component.get("type")
    if kind not in allowed:
        form.add(f"{path}.type", "UNION_TYPE_CHOICES", f'Value of field "type" must be one of {sorted(allowed)}.')
        return None
    form.known(path, component, KEYS[kind])
    if component.get("id") is not None:
        form.integer(f"{path}.id", component["id"], 0, 2**31 - 1)
    return kind


def _check_one(form: Form, path: str, component: dict[str, Any], names: set[str]) -> None:
    kind = component["type"]
    if kind == ROW:
        _check_row(form, path, component)
    elif kind == SECTION:
        _check_section(form, path, component, names)
    elif kind == TEXT:
        form.text(f"{path}.content", component.get("content"), 1, MAX_TEXT)
    elif kind == GALLERY:
        for index, item in enumerate(form.items(f"{path}.items", component.get("items"), 1, 10)):
            _check_media(form, f"{path}.items.{index}", item, "media", names)
            form.known(f"{path}.items.{index}", item, _ITEM_KEYS)
    elif kind in {FILE, THUMBNAIL}:
        _check_media(form, path, component, "file" if kind == FILE else "media", names)
    elif kind == CONTAINER:
        _check_container(form, path, component, names)
    elif kind == SEPARATOR and component.get("spacing") is not None:
        form.integer(f"{path}.spacing", component["spacing"], 1, 2)


def _check_container(form: Form, path: str, component: dict[str, Any], names: set[str]) -> None:
    if component.get("accent_color") is not None:
        form.integer(f"{path}.accent_color", component["accent_color"], 0, 0xFFFFFF)
    children = form.items(f"{path}.components", component.get("components"), 1, MAX_COMPONENTS)
    for index, child in enumerate(children):
        where = f"{path}.components.{index}"
        if component_type(form, where, child, _IN_CONTAINER) is not None:
            _check_one(form, where, child, names)


def _check_section(form: Form, path: str, component: dict[str, Any], names: set[str]) -> None:
    for index, child in enumerate(form.items(f"{path}.components", component.get("components"), 1, 3)):
        if component_type(form, f"{path}.components.{index}", child, frozenset({TEXT})) is not None:
            _check_one(form, f"{path}.components.{index}", child, names)
    where = f"{path}.accessory"
    kind = component_type(form, where, component.get("accessory"), frozenset({BUTTON, THUMBNAIL}))
    if kind == BUTTON:
        check_button(form, where, component["accessory"])
    elif kind == THUMBNAIL:
        _check_one(form, where, component["accessory"], names)


def _check_row(form: Form, path: str, component: dict[str, Any]) -> None:
    children = form.items(f"{path}.components", component.get("components"), 1, 5)
    kinds = [
        component_type(form, f"{path}.components.{index}", child, SELECTS | {BUTTON})
        for index, child in enumerate(children)
    ]
    if any(kind in SELECTS for kind in kinds) and len(kinds) > 1:
        form.add(f"{path}.components", "COMPONENT_LAYOUT_WIDTH_EXCEEDED", "A row holds five buttons or one select.")
    for index, (kind, child) in enumerate(zip(kinds, children, strict=True)):
        if kind == BUTTON:
            check_button(form, f"{path}.components.{index}", child)
        elif kind is not None:
            check_select(form, f"{path}.components.{index}", child)


def check_button(form: Form, path: str, button: dict[str, Any]) -> None:
    """A button needs exactly what its style asks for: custom_id, url (link) or sku_id (premium)."""
    if not form.integer(f"{path}.style", button.get("style"), 1, 6):
        return
    style = button["style"]
    needed = {LINK: "url", PREMIUM: "sku_id"}.get(style, "custom_id")
    for key in ("custom_id", "url", "sku_id"):
        if key == needed and not button.get(key):
            form.add(f"{path}.{key}", "BASE_TYPE_REQUIRED", "This field is required.")
        elif key != needed and button.get(key):
            form.add(f"{path}.{key}", "BUTTON_COMPONENT_INVALID", f"A button of style {style} cannot have {key}.")
    if button.get("custom_id"):
        form.text(f"{path}.custom_id", button["custom_id"], 1, 100)
    if button.get("url") and not str(button["url"]).startswith(("http://", "https://", "discord://")):
        form.add(f"{path}.url", "URL_TYPE_INVALID_SCHEME", "Scheme must be one of ('discord', 'http', 'https').")
    if button.get("label") is not None:
        form.text(f"{path}.label", button["label"], 0, 80)
    if style != PREMIUM and not button.get("label") and not button.get("emoji"):
        form.add(path, "BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED", "A button needs a label or an emoji.")


def check_select(form: Form, path: str, select: dict[str, Any]) -> None:
    """A select menu; only type 3 brings its own options."""
    form.text(f"{path}.custom_id", select.get("custom_id"), 1, 100)
    if select.get("placeholder") is not None:
        form.text(f"{path}.placeholder", select["placeholder"], 0, 150)
    low, high = select.get("min_values"), select.get("max_values")
    if low is not None:
        form.integer(f"{path}.min_values", low, 0, 25)
    if high is not None:
        form.integer(f"{path}.max_values", high, max(1, low or 0), 25)
    if select["type"] == STRING_SELECT:
        check_options(form, f"{path}.options", select.get("options"), 1, 25)


def check_options(form: Form, path: str, options: Any, low: int, high: int) -> None:
    """The options of a select, radio group or checkbox group; values must differ."""
    values: list[Any] = []
    for index, option in enumerate(form.items(path, options, low, high)):
        form.known(f"{path}.{index}", option, _OPTION_KEYS)
        form.text(f"{path}.{index}.label", option.get("label"), 1, 100)
        form.text(f"{path}.{index}.value", option.get("value"), 1, 100)
        if option.get("description") is not None:
            form.text(f"{path}.{index}.description", option["description"], 0, 100)
        values.append(option.get("value"))
    if len(set(values)) != len(values):
        form.add(path, "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", "The specified option value is already used.")


def _check_media(form: Form, path: str, holder: dict[str, Any], key: str, names: set[str]) -> None:
    source = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(source, dict):
        form.add(f"{path}.{key}", "BASE_TYPE_REQUIRED", "This field is required.")
        return
    form.known(f"{path}.{key}", source, _MEDIA_KEYS)
    if not form.text(f"{path}.{key}.url", source.get("url"), 1, 2048):
        return
    url: str = source["url"]
    if url.startswith("attachment://"):
        if url.removeprefix("attachment://") not in names:
            text = "The referenced attachment was not found among the message's files."
            form.add(f"{path}.{key}.url", "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND", text)
    elif key == "file" or not url.startswith(("http://", "https://")):
        form.add(
            f"{path}.{key}.url", "URL_TYPE_INVALID_SCHEME", "The media item's address has a scheme that is not allowed."
        )
    if holder.get("description") is not None:
        form.text(f"{path}.description", holder["description"], 1, 1024)


def prepare(components: list[dict[str, Any]], attachment_id: dict[str, int]) -> list[dict[str, Any]]:
    """The components as Discord keeps them: every one has an `id`, media items point to attachments.

    `attachment_id` maps what a media item may say (`attachment://name`, or an address of a file of the same message) to
    the attachment.
    """
    kept = copy.deepcopy(components)
    assign_ids(kept)
    for item in media_items(kept):
        key = "media" if "media" in item else "file"
        found = attachment_id.get(item[key]["url"].partition("?")[0])
        item[key] = {"url": item[key]["url"]} if found is None else {"attachment": found}
    return kept


def assign_ids(components: list[dict[str, Any]]) -> None:
    """Discord fills a missing or zero `id` with the next free number, from 1, in the order of the tree."""
    everything = list(walk(components))
    taken = {component["id"] for component in everything if component.get("id")}
    number = 0
    for component in everything:
        if component.get("id"):
            continue
        number += 1
        while number in taken:
            number += 1
        component["id"] = number
