"""Command definitions: the rules for registering them, and looking one up (Discord: Application commands)."""

from __future__ import annotations

import re
from typing import Any

from sandbox.discord.errors import ApiError, Form, words

CHAT_INPUT, USER, MESSAGE = 1, 2, 3
SUBCOMMAND, GROUP, STRING, INTEGER, BOOLEAN, USER_OPTION = 1, 2, 3, 4, 5, 6
CHANNEL, ROLE, MENTIONABLE, NUMBER, ATTACHMENT = 7, 8, 9, 10, 11

NAME = re.compile(r"^[-_'\w\u0900-\u097F\u0E00-\u0E7F]{1,32}$")
LIMITS = {CHAT_INPUT: 100, USER: 5, MESSAGE: 5}  # commands of each type in one place
MAX_CHARACTERS = 8000  # names, descriptions and choice values of one command

_COMMAND_KEYS = words(
    "id type name name_localizations description description_localizations options default_member_permissions "
    "dm_permission contexts integration_types nsfw handler default_permission"
)
_OPTION_KEYS = words(
    "type name name_localizations description description_localizations required choices options channel_types "
    "min_value max_value min_length max_length autocomplete file_types"
)
_NUMBERS = frozenset({INTEGER, NUMBER})
_TYPED = _NUMBERS | {STRING}
_FITS = {  # which option types a field may stand in
    "choices": _TYPED,
    "autocomplete": _TYPED,
    "min_length": frozenset({STRING}),
    "max_length": frozenset({STRING}),
    "min_value": _NUMBERS,
    "max_value": _NUMBERS,
    "channel_types": frozenset({CHANNEL}),
    "file_types": frozenset({ATTACHMENT}),
}
_CHOICE_KEYS = frozenset({"name", "name_localizations", "value"})


def check_all(form: Form, commands: Any) -> None:
    """Notes every fault of a bulk overwrite, and raises 400 with 30032 for too many commands of a type."""
    seen: set[tuple[int, str]] = set()
    counts = dict.fromkeys(LIMITS, 0)
    for index, command in enumerate(form.items("", commands, 0, 130)):
        path = str(index)
        kind = command.get("type", CHAT_INPUT) if isinstance(command, dict) else None
        if kind not in LIMITS:
            form.add(f"{path}.type", "BASE_TYPE_CHOICES", "Value must be one of {1, 2, 3}.")
            continue
        counts[kind] += 1
        _check_command(form, path, command, kind)
        key = (kind, str(command.get("name")))
        if key in seen:
            form.add(path, "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique")
        seen.add(key)
    form.check()
    for kind, count in counts.items():
        if count > LIMITS[kind]:
            raise ApiError(400, 30032, f"Maximum number of application commands reached ({LIMITS[kind]}).")


def _check_command(form: Form, path: str, command: dict[str, Any], kind: int) -> None:
    form.known(path, command, _COMMAND_KEYS)
    if kind != CHAT_INPUT:
        form.text(f"{path}.name", command.get("name"), 1, 32)
        if command.get("description"):
            form.add(
                f"{path}.description", "APPLICATION_COMMANDS_CONTEXT_MENU_DESCRIPTION_INVALID", "No description here."
            )
        if command.get("options"):
            form.add(f"{path}.options", "APPLICATION_COMMANDS_CONTEXT_MENU_OPTIONS_INVALID", "No options here.")
        return
    _check_name(form, path, command.get("name"))
    form.text(f"{path}.description", command.get("description"), 1, 100)
    _check_options(form, f"{path}.options", command.get("options") or [], depth=0)
    if characters(command) > MAX_CHARACTERS:
        form.add(path, "APPLICATION_COMMAND_TOO_LARGE", f"Command exceeds maximum size ({MAX_CHARACTERS})")


def _check_name(form: Form, path: str, name: Any) -> None:
    if form.text(f"{path}.name", name, 1, 32) and (not NAME.match(name) or name != name.lower()):
        form.add(f"{path}.name", "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")


def characters(command: dict[str, Any]) -> int:
    """The characters that count against the 8,000 of one command."""
    total = len(str(command.get("name", ""))) + len(str(command.get("description") or ""))
    total += sum(
        len(str(choice.get("value", ""))) + len(str(choice.get("name", ""))) for choice in command.get("choices") or ()
    )
    return total + sum(characters(option) for option in command.get("options") or ())


def _check_options(form: Form, path: str, options: Any, depth: int) -> None:
    names: set[str] = set()
    optional_seen = False
    listed = form.items(path, options, 0, 25)
    nested = [o.get("type") in {SUBCOMMAND, GROUP} for o in listed]
    if any(nested) and not all(nested):
        form.add(
            path,
            "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
            "Sub-command and sub-command group option types are mutually exclusive to all other types",
        )
    for index, option in enumerate(listed):
        where = f"{path}.{index}"
        form.known(where, option, _OPTION_KEYS)
        _check_name(form, where, option.get("name"))
        form.text(f"{where}.description", option.get("description"), 1, 100)
        if option.get("name") in names:
            form.add(where, "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS", "Option name already exists")
        names.add(str(option.get("name")))
        if option.get("required") and optional_seen:
            form.add(
                where,
                "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
                "Required options must be placed before non-required options",
            )
        optional_seen = optional_seen or not option.get("required")
        _check_option(form, where, option, depth)


def _check_option(form: Form, path: str, option: dict[str, Any], depth: int) -> None:
    kind = option.get("type")
    if not isinstance(kind, int) or kind not in range(1, 12):
        form.add(f"{path}.type", "BASE_TYPE_CHOICES", "Value must be one of 1 to 11.")
    elif kind in {SUBCOMMAND, GROUP}:
        if depth >= (2 if kind == SUBCOMMAND else 1):
            form.add(f"{path}.type", "APPLICATION_COMMAND_OPTIONS_NESTING", "Groups cannot be nested this deep.")
        elif kind == GROUP and any(o.get("type") != SUBCOMMAND for o in option.get("options") or ()):
            form.add(f"{path}.options", "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", "A group holds only subcommands.")
        else:
            _check_options(form, f"{path}.options", option.get("options") or [], depth + 1)
    else:
        _check_value_rules(form, path, option, kind)


def _check_value_rules(form: Form, path: str, option: dict[str, Any], kind: int) -> None:
    choices = option.get("choices") or []
    if choices and option.get("autocomplete"):
        form.add(path, "APPLICATION_COMMAND_AUTOCOMPLETE_WITH_CHOICES", "Autocomplete and choices exclude each other.")
    for key, types in _FITS.items():
        if option.get(key) not in (None, False, []) and kind not in types:
            form.add(f"{path}.{key}", "APPLICATION_COMMAND_OPTIONS_FIELD_INVALID", f"{key} does not fit this type.")
    _check_choices(form, f"{path}.choices", choices, kind)
    if kind == STRING:
        if option.get("min_length") is not None:
            form.integer(f"{path}.min_length", option["min_length"], 0, 6000)
        if option.get("max_length") is not None:
            form.integer(f"{path}.max_length", option["max_length"], max(1, option.get("min_length") or 0), 6000)


def _check_choices(form: Form, path: str, choices: Any, kind: int) -> None:
    seen: set[str] = set()
    for index, choice in enumerate(form.items(path, choices, 0, 25)):
        where = f"{path}.{index}"
        form.known(where, choice, _CHOICE_KEYS)
        form.text(f"{where}.name", choice.get("name"), 1, 100)
        if choice.get("name") in seen:
            form.add(where, "APPLICATION_COMMAND_OPTIONS_CHOICE_NAME_ALREADY_EXISTS", "Choice name exists")
        seen.add(str(choice.get("name")))
        _check_choice_value(form, f"{where}.value", choice.get("value"), kind)


def _check_choice_value(form: Form, path: str, value: Any, kind: int) -> None:
    if kind == STRING:
        form.text(path, value, 1, 100)
    elif isinstance(value, bool) or not isinstance(value, int if kind == INTEGER else (int, float)):
        form.add(path, "NUMBER_TYPE_COERCE", "The choice's value does not fit the option's type.")


class Registry:
    """The registered commands: global ones, and those of single guilds."""

    def __init__(self) -> None:
        self.everywhere: list[dict[str, Any]] = []
        self.in_guild: dict[int, list[dict[str, Any]]] = {}
        self.puts = 0

    @property
    def any(self) -> bool:
        return bool(self.everywhere) or any(self.in_guild.values())

    def find(self, name: str, kind: int, guild_id: int | None) -> dict[str, Any] | None:
        """The command that a person in that guild gets under this name; a guild's own command goes first."""
        own = self.in_guild.get(guild_id, []) if guild_id is not None else []
        for command in [*own, *self.everywhere]:
            if command["type"] == kind and command["name"] == name:
                return command
        return None

    def store(
        self, commands: list[dict[str, Any]], guild_id: int | None, next_id: Any, application_id: int
    ) -> list[dict[str, Any]]:
        """Replaces the commands of a place; a command of the same name and type keeps its id."""
        old = self.everywhere if guild_id is None else self.in_guild.get(guild_id, [])
        ids = {(c["type"], c["name"]): c["id"] for c in old}
        kept: list[dict[str, Any]] = []
        for command in commands:
            kind = command.get("type", CHAT_INPUT)
            body = {"description": "", "options": [], "nsfw": False, "default_member_permissions": None} | command
            body |= {
                "id": ids.get((kind, command["name"])) or str(next_id()),
                "type": kind,
                "application_id": str(application_id),
                "version": str(next_id()),
                "options": body["options"] or [],
            }
            if body["default_member_permissions"] is not None:
                body["default_member_permissions"] = str(body["default_member_permissions"])
            if guild_id is not None:
                body["guild_id"] = str(guild_id)
            kept.append(body)
        if guild_id is None:
            self.everywhere = kept
        else:
            self.in_guild[guild_id] = kept
        self.puts += 1
        return kept
