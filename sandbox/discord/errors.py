"""Errors of the stand-in: refusals in Discord's own shape, and what the people who drive the sandbox get."""

from typing import Any


class SandboxError(Exception):
    """The Discord client of a person would not have allowed this, or what was waited for did not happen."""


class SandboxTimeout(SandboxError, TimeoutError):
    """What was waited for did not happen in time."""


class ApiError(Exception):
    """A refusal of the REST API: HTTP status, Discord's JSON error code, and its sentence.

    `breach` says that the request broke a rule which a correct bot never breaks; such requests are listed in
    `DiscordSandbox.violations`. A missing permission or a message that somebody deleted is no breach.
    """

    def __init__(
        self, status: int, code: int, message: str, *, errors: dict[str, Any] | None = None, breach: bool | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors
        self.breach = status in {400, 413} if breach is None else breach

    def to_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"message": self.message, "code": self.code}
        if self.errors:
            body["errors"] = self.errors
        return body


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set of field names."""
    return frozenset(text.split())


class Form:
    """Collects the faults of one request body, so that one answer names them all, as Discord's does."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, str, str]] = []
        self.notes: list[str] = []  # fields that Discord does not know and ignores

    def known(self, path: str, value: dict[str, Any], keys: frozenset[str]) -> None:
        """Notes the fields of `value` that the documentation does not have."""
        self.notes += [f"unknown field {path}.{key}".replace(" .", " ") for key in value if key not in keys]

    def add(self, path: str, code: str, message: str) -> None:
        self.faults.append((path, code, message))

    def check(self) -> None:
        """Raises 400 with code 50035 if a fault was found."""
        if not self.faults:
            return
        tree: dict[str, Any] = {}
        for path, code, message in self.faults:
            node = tree
            for part in path.split(".") if path else []:
                node = node.setdefault(part, {})
            node.setdefault("_errors", []).append({"code": code, "message": message})
        raise ApiError(400, 50035, "Invalid Form Body", errors=tree)

    # The four checks that nearly every field needs.
    def text(self, path: str, value: object, low: int, high: int) -> bool:
        """True if `value` is a string of `low` to `high` characters."""
        if not isinstance(value, str):
            self.add(path, "BASE_TYPE_BAD_TYPE", "Must be a string.")
            return False
        if not low <= len(value) <= high:
            self.add(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {low} and {high} in length.")
            return False
        return True

    def integer(self, path: str, value: object, low: int, high: int) -> bool:
        """True if `value` is an integer from `low` to `high`."""
        if not isinstance(value, int) or isinstance(value, bool):
            self.add(path, "NUMBER_TYPE_COERCE", "Must be an integer.")
            return False
        if not low <= value <= high:
            self.add(path, "NUMBER_TYPE_RANGE", f"Must be between {low} and {high}.")
            return False
        return True

    def items(self, path: str, value: object, low: int, high: int) -> list[Any]:
        """The list, or an empty one when it is no list; its length is checked."""
        if not isinstance(value, list):
            self.add(path, "BASE_TYPE_BAD_TYPE", "Must be a list.")
            return []
        if not low <= len(value) <= high:
            self.add(path, "BASE_TYPE_BAD_LENGTH", f"Must be between {low} and {high} in length.")
        return value


def unauthorized() -> ApiError:
    return ApiError(401, 0, "401: Unauthorized", breach=True)


def unknown_channel() -> ApiError:
    return ApiError(404, 10003, "Unknown Channel")


def unknown_guild() -> ApiError:
    return ApiError(404, 10004, "Unknown Guild")


def unknown_member() -> ApiError:
    return ApiError(404, 10007, "Unknown Member")


def unknown_message() -> ApiError:
    return ApiError(404, 10008, "Unknown Message")


def unknown_user() -> ApiError:
    return ApiError(404, 10013, "Unknown User")


def unknown_webhook() -> ApiError:
    return ApiError(404, 10015, "Unknown Webhook")


def unknown_interaction() -> ApiError:
    return ApiError(404, 10062, "Unknown interaction", breach=True)


def missing_access() -> ApiError:
    return ApiError(403, 50001, "Missing Access")


def missing_permissions() -> ApiError:
    return ApiError(403, 50013, "Missing Permissions")
