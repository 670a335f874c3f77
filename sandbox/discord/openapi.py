"""Bodies checked against Discord's own OpenAPI description, where that file and jsonschema-rs are there."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

CALLBACKS = {
    4: "CreateMessageInteractionCallbackRequest",
    5: "CreateMessageInteractionCallbackRequest",
    6: "UpdateMessageInteractionCallbackRequest",
    7: "UpdateMessageInteractionCallbackRequest",
    8: "ApplicationCommandAutocompleteCallbackRequest",
    9: "ModalInteractionCallbackRequest",
}
COMMANDS = "commands"  # no schema of its own: a list of ApplicationCommandUpdateRequest
_ID_KEYS = frozenset({"id", "message_id", "channel_id", "guild_id", "recipient_id"})
_ID_LISTS = frozenset({"users", "roles", "sticker_ids", "applied_tags"})


class OpenApi:
    """Validators for named schemas of the description, built at first use."""

    def __init__(self, path: Path) -> None:
        self._document: dict[str, Any] = json.loads(path.read_text("utf-8"))
        self._validators: dict[str, Any] = {}

    def faults(self, schema: str, body: Any) -> list[str]:
        """What the description finds wrong with a body; empty if nothing."""
        found = self._validator(schema).iter_errors(_as_strings(body))
        return [f"{'/'.join(map(str, error.instance_path))}: {error.message}"[:500] for error in found]

    def _validator(self, schema: str) -> Any:
        if schema not in self._validators:
            import jsonschema_rs  # noqa: PLC0415  an optional dependency, only for tests

            reference: dict[str, Any] = {"$ref": f"#/components/schemas/{schema}"}
            if schema == COMMANDS:
                item = {"$ref": "#/components/schemas/ApplicationCommandUpdateRequest"}
                reference = {"type": "array", "items": item, "maxItems": 130}
            reference["components"] = self._document["components"]
            self._validators[schema] = jsonschema_rs.Draft202012Validator(reference)
        return self._validators[schema]


def load(path: Path | None) -> OpenApi | None:
    """The description at `path`, or where DISCORD_OPENAPI points; None if there is none, or no jsonschema-rs."""
    where = path or (Path(value) if (value := os.environ.get("DISCORD_OPENAPI")) else None)
    if where is None or not where.is_file():
        return None
    try:
        import jsonschema_rs  # noqa: F401, PLC0415  an optional dependency, only for tests
    except ImportError:
        return None
    return OpenApi(where)


def _as_strings(body: Any) -> Any:
    """Ids as strings: Discord takes integers for them and the description does not say so."""
    body = copy.deepcopy(body)
    _turn(body, component=False)
    return body


def _turn(node: Any, *, component: bool) -> None:
    if isinstance(node, list):
        for item in node:
            _turn(item, component=component)
        return
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        # A component's own id is an integer in Discord's description, any other id is a snowflake.
        if key in _ID_KEYS and _is_id(value) and not (key == "id" and component):
            node[key] = str(value)
        elif key in _ID_LISTS and isinstance(value, list):
            node[key] = [str(item) if _is_id(item) else item for item in value]
        else:
            inside = key in {"components", "component", "accessory"} or (component and key in {"items", "options"})
            _turn(value, component=inside)


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
