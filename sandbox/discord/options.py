"""What Discord's client makes of a typed slash command: options checked, attachments and people resolved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.discord import commands
from sandbox.discord.cdn import Attachment, File
from sandbox.discord.errors import SandboxError
from sandbox.discord.media import clean_name

if TYPE_CHECKING:
    from sandbox.discord.world import Channel, Member

_CHOSEN = frozenset({commands.STRING, commands.INTEGER, commands.NUMBER})


class Resolved:
    """The `resolved` part of an interaction's data."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.parts: dict[str, dict[str, Any]] = {}

    def attachment(self, file: File, *, checked: bool, types: Any = ()) -> str:
        """Uploads a file as an ephemeral attachment and returns its id; the client checks its size and extension."""
        sandbox = self.channel.sandbox
        if (
            checked
            and types
            and file.name.rpartition(".")[2].lower() not in {str(t).lstrip(".").lower() for t in types}
        ):
            raise SandboxError(f"{file.name} is none of {list(types)}")
        if checked and len(file.data) > self.channel.upload_limit:
            raise SandboxError(f"{file.name}: your files are too powerful ({len(file.data)} bytes)")
        name = clean_name(file.name)
        attachment = Attachment(sandbox.ids.next(), sandbox.application_id, name, file.data, ephemeral=True)
        sandbox.cdn.add(attachment)
        self.parts.setdefault("attachments", {})[str(attachment.id)] = sandbox.cdn.to_json(attachment)
        return str(attachment.id)

    def member(self, member: Member) -> str:
        user_id = str(member.user.id)
        permissions = str(int(self.channel.permissions_of(member.user)))
        self.parts.setdefault("users", {})[user_id] = member.user.to_json()
        self.parts.setdefault("members", {})[user_id] = member.partial_json() | {"permissions": permissions}
        return user_id

    def add(self, kind: str, thing: Any, body: dict[str, Any]) -> str:
        self.parts.setdefault(kind, {})[str(thing.id)] = body
        return str(thing.id)

    def snowflake(self, value: Any) -> str:
        """Resolves a member, role or channel that is an option's or a select's value."""
        if hasattr(value, "joined_at"):
            return self.member(value)
        if hasattr(value, "mentionable"):
            return self.add("roles", value, value.to_json())
        if hasattr(value, "upload_limit"):
            return self.add("channels", value, value.partial_json(self.channel.sandbox.bot_user))
        return str(value)


def build(
    command: dict[str, Any],
    path: list[str],
    values: dict[str, Any],
    resolved: Resolved,
    *,
    checked: bool,
    focused: str | None = None,
) -> list[dict[str, Any]]:
    """The `options` of the interaction's data for `path` (subcommand names below the command)."""
    if path:
        option = next((o for o in command["options"] if o["name"] == path[0] and o["type"] in {1, 2}), None)
        if option is None:
            raise SandboxError(f"/{command['name']} has no subcommand {path[0]!r}")
        inner = build(
            option | {"options": option.get("options") or []},
            path[1:],
            values,
            resolved,
            checked=checked,
            focused=focused,
        )
        return [{"type": option["type"], "name": option["name"], "options": inner}]
    specs = {option["name"]: option for option in command["options"]}
    if any(spec["type"] in {1, 2} for spec in specs.values()):
        raise SandboxError(f"{command['name']} needs one of the subcommands {sorted(specs)}")
    unknown = values.keys() - specs.keys()
    if unknown and checked:
        raise SandboxError(f"{command['name']} has no options {sorted(unknown)}")
    if checked and focused is None:
        missing = [name for name, spec in specs.items() if spec.get("required") and values.get(name) is None]
        if missing:
            raise SandboxError(f"{command['name']} needs {missing}")
    given = {name: value for name, value in values.items() if value is not None}
    return [_option(specs.get(n), n, v, resolved, checked=checked, focused=n == focused) for n, v in given.items()]


def _option(
    spec: dict[str, Any] | None, name: str, value: Any, resolved: Resolved, *, checked: bool, focused: bool
) -> dict[str, Any]:
    kind = spec["type"] if spec is not None else commands.STRING
    if isinstance(value, File):
        if checked and kind != commands.ATTACHMENT:
            raise SandboxError(f"{name} takes no file")
        value = resolved.attachment(value, checked=checked, types=(spec or {}).get("file_types"))
    elif kind in {commands.USER_OPTION, commands.ROLE, commands.CHANNEL, commands.MENTIONABLE}:
        value = resolved.snowflake(value)
    elif checked and spec is not None and not focused:
        _check_value(spec, name, value)
    body = {"type": kind, "name": name, "value": value}
    return body | {"focused": True} if focused else body


def _check_value(spec: dict[str, Any], name: str, value: Any) -> None:
    kind = spec["type"]
    types = {
        commands.STRING: str,
        commands.INTEGER: int,
        commands.NUMBER: (int, float),
        commands.BOOLEAN: bool,
    }.get(kind)
    wrong_bool = isinstance(value, bool) and kind != commands.BOOLEAN
    if types is None or not isinstance(value, types) or wrong_bool:
        raise SandboxError(f"{name}: {value!r} does not fit option type {kind}")
    choices = [choice["value"] for choice in spec.get("choices") or ()]
    if choices and value not in choices:
        raise SandboxError(f"{name}: {value!r} is none of {choices}")
    size = len(value) if isinstance(value, str) else value
    low, high = (spec.get(f"{edge}_{'length' if kind == commands.STRING else 'value'}") for edge in ("min", "max"))
    if kind == commands.STRING:
        high = 6000 if high is None else high
        if spec.get("required") and not value:
            raise SandboxError(f"{name} is required")
    if kind in _CHOSEN and ((low is not None and size < low) or (high is not None and size > high)):
        raise SandboxError(f"{name}: {size} is outside {low} to {high}")
