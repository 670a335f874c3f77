"""Every error that Cinecord raises on purpose, and the sentence a member may read.

    CinecordError
    ├── ConfigError              the operator's settings are wrong; start-up stops
    ├── Refused                  a request was not accepted: nothing was spent, nothing is kept
    │   ├── InvalidRequest       the model's own limits (names the field)
    │   ├── BadAttachment        an attachment that is not a usable picture or video
    │   ├── NotAllowed           a rule of the server, of the operator, or of Discord's permissions
    │   ├── LineFull             too many requests are waiting
    │   ├── OverBudget           the month's money is spent
    │   └── Gone                 the thing a button or option speaks of is not there any more
    ├── ModelError               the paid call's answer (bot/cloudflare.py has the tree under it)
    ├── StorageError             bytes could not be kept or found
    └── MediaError               a picture or video could not be decoded, in time and memory

`str(error)` is for the log. `error.sentence` is for the member: what happened, whether it cost anything, what to do
next, with no internals. Foreign errors (httpx, SQLAlchemy, Pillow, PyAV …) are mapped to these once, at the edge.
"""

from typing import Any

OPERATOR_TOLD = "Something is wrong on the bot's side; the bot's operator has been told. Nothing was charged."


class CinecordError(Exception):
    """The root. `sentence` is what a member reads; `cause` is what the operator's log says."""

    def __init__(self, sentence: str, *, cause: str | None = None) -> None:
        super().__init__(cause or sentence)
        self.sentence = sentence
        self.cause = cause or sentence

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without calling `__init__` again, whose parameters differ by class (bot/decoders.py needs it)."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[CinecordError], args: tuple[Any, ...], attributes: dict[str, Any]) -> CinecordError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class ConfigError(CinecordError):
    """A setting is missing or wrong; the text names the key, the value's problem, and a fix."""


class Refused(CinecordError):
    """A request was not accepted. Nothing was spent and nothing is kept of it."""


class InvalidRequest(Refused):
    """The model would refuse this request. `field` is the option's name as the member knows it."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence, cause=f"{field}: {sentence}")
        self.field = field


class BadAttachment(Refused):
    """An attachment cannot be fetched, or is not a usable picture or video."""


class NotAllowed(Refused):
    """A rule, or a missing permission, stands against this request."""


class LineFull(Refused):
    """The guild or the member has as many requests waiting as the operator allows."""


class OverBudget(Refused):
    """Accepting the request would pass a month's budget."""


class Gone(Refused):
    """What a button, option or modal speaks of is deleted, used up, or was never here."""


class StorageError(CinecordError):
    """Bytes could not be written, read or removed."""

    def __init__(self, cause: str) -> None:
        super().__init__(OPERATOR_TOLD, cause=cause)


class MediaError(CinecordError):
    """A picture or a video could not be decoded or encoded within its limits of time and memory."""
