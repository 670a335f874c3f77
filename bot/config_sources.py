"""Where settings come from, and how what is wrong with them is said: file, environment, secrets in files.

Priority: environment, then TOML, then the files that `*_file` keys name. A secret given twice is a problem, not a
priority. Every problem names its dotted key, what is wrong, and a fix; values of secrets are never shown.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, TomlConfigSettingsSource

from bot.errors import ConfigError

ENV_PREFIX = "CINECORD_"
SECRETS = (
    ("discord", "token"),
    ("cloudflare", "api_token"),
    ("storage", "s3", "access_key_id"),
    ("storage", "s3", "secret_access_key"),
)
_NOT_SHOWN = {*SECRETS, ("cloudflare", "account_id")}  # an account id that is wrong may be the token, pasted there
_SECRET_FILE_LIMIT = 64 * 1024

_Loaded = TypeVar("_Loaded", bound=BaseSettings)
_Key = tuple[str, ...]


class ConfigSources:
    """One reading of all sources; `load` gives the settings or raises ConfigError with every problem."""

    def __init__(self, path: Path | None, environ: Mapping[str, str]) -> None:
        self._path = path
        self._environ = {key: (name, text) for name, key, text in _variables(environ)}
        self._problems: list[str] = []

    def load(self, kind: type[_Loaded]) -> _Loaded:
        if self._path is not None:
            _check_toml(self._path)
        outer = self

        class Sourced(kind):
            @classmethod
            def settings_customise_sources(cls, settings_cls: type[BaseSettings], *_: Any, **__: Any) -> Any:
                environment = _Environment(settings_cls, outer.environment())
                file = TomlConfigSettingsSource(settings_cls, toml_file=outer._path or Path("/dev/null"))
                return environment, file, _SecretFiles(settings_cls, outer._problems)

        try:
            loaded = Sourced.model_validate({})
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
            self._problems += [self._describe(kind, cast("dict[str, Any]", detail)) for detail in details]
        else:
            if not self._problems:
                return cast("_Loaded", loaded)
        raise ConfigError(self._text())  # outside of `except`: a chained cause could show what was typed

    def environment(self) -> dict[str, Any]:
        """The variables as nested sections. Values stay text: the model's fields read them."""
        nested: dict[str, Any] = {}
        for key, (_, text) in sorted(self._environ.items()):
            section = nested
            for part in key[:-1]:
                inner = section.get(part)
                section[part] = inner if isinstance(inner, dict) else {}
                section = section[part]
            section[key[-1]] = text
        return nested

    def _text(self) -> str:
        where = f"{self._path} and the environment" if self._path else "the environment (no config.toml was found)"
        return f"The settings in {where} are wrong:\n" + "\n".join(f"  {line}" for line in self._problems)

    def _describe(self, kind: type[BaseModel], detail: dict[str, Any]) -> str:
        key = tuple(str(part) for part in detail["loc"] if part != "[key]")
        if detail["type"] == "extra_forbidden":
            return f"{self._name(key)}: unknown key. {_suggestion(kind, key)}"
        if detail["type"] == "missing":
            return f"{_dotted(key)}: missing. {_how_to_set(kind, key)}"
        if detail["type"] in {"model_type", "model_attributes_type"}:
            return f"{self._name(key)}: must be a section. Write [{_dotted(key)}] and its keys below it."
        problem = detail["msg"].removeprefix("Value error, ").replace("Input should", "must").replace("String", "text")
        fix = _how_to_set(kind, key) if problem == "is empty" else _default_of(kind, key)
        return f"{self._name(key)}: {_shown(key, detail.get('input'))}{problem}. {fix}".rstrip()

    def _name(self, key: _Key) -> str:
        named = [name for known, (name, _) in self._environ.items() if known[: len(key)] == key]
        return f"{_dotted(key)} (from {', '.join(named)})" if named else _dotted(key)


class _Environment(PydanticBaseSettingsSource):
    def __init__(self, settings_cls: type[BaseSettings], nested: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._nested = nested

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self._nested.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._nested


class _SecretFiles(PydanticBaseSettingsSource):
    """Fills a secret from its `*_file` key. It comes last, so that it sees what the other sources gave."""

    def __init__(self, settings_cls: type[BaseSettings], problems: list[str]) -> None:
        super().__init__(settings_cls)
        self._problems = problems

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for *sections, name in SECRETS:
            given: Any = self.current_state
            target = found
            for section in sections:
                given = cast("dict[str, Any]", given).get(section) if isinstance(given, dict) else None
                target = target.setdefault(section, {})
            file = cast("dict[str, Any]", given).get(f"{name}_file") if isinstance(given, dict) else None
            if isinstance(file, str) and file:
                target[name] = self._read((*sections, name), file, cast("dict[str, Any]", given).get(name))
        return found

    def _read(self, key: _Key, file: str, given: object) -> str:
        problem = None
        text = ""
        if given:
            problem = f"given together with {_dotted(key)}. Keep one of the two."
        else:
            try:
                with Path(file).open(encoding="utf-8") as opened:
                    text = opened.read(_SECRET_FILE_LIMIT).rstrip("\r\n")
            except OSError as error:
                problem = f"'{file}' cannot be read ({error.strerror}). Check the path and who may read it."
            except ValueError:
                problem = f"'{file}' is not a text file. Write the secret alone into it."
            else:
                problem = None if text else f"'{file}' is empty. Write the secret into it."
        if problem is not None:
            self._problems.append(f"{_dotted(key)}_file: {problem}")
        return text or "unreadable"  # keeps a second complaint, about a missing secret, away


def _variables(environ: Mapping[str, str]) -> Iterator[tuple[str, _Key, str]]:
    """Variables in the form CINECORD_SECTION__KEY that are not empty; others are not ours to judge."""
    for name, text in environ.items():
        if name.upper().startswith(ENV_PREFIX) and "__" in name and text:
            yield name, tuple(name[len(ENV_PREFIX) :].lower().split("__")), text


def _check_toml(path: Path) -> None:
    try:
        tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = f"cannot be read ({error.strerror}). Copy config.example.toml there, or name another file."
    except UnicodeDecodeError:
        problem = "is not UTF-8 text. Save it as UTF-8."
    except tomllib.TOMLDecodeError as error:
        problem = f"is not TOML: {error}. Text needs quotes; sections are written [section]."
    else:
        return
    raise ConfigError(f"The settings file {path} {problem}") from None


def _model_at(kind: type[BaseModel], key: _Key) -> type[BaseModel] | None:
    for part in key:
        field = kind.model_fields.get(part)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return None
        kind = field.annotation
    return kind


def _suggestion(kind: type[BaseModel], key: _Key) -> str:
    section = _model_at(kind, key[:-1])
    known = list(section.model_fields) if section is not None else []
    close = difflib.get_close_matches(key[-1], known, n=1)
    if close:
        return f"Did you mean {_dotted((*key[:-1], close[0]))}?"
    return f"Known here: {', '.join(known)}."


def _how_to_set(kind: type[BaseModel], key: _Key) -> str:
    section = _model_at(kind, key)
    if section is not None:
        needed = [_dotted((*key, name)) for name, field in section.model_fields.items() if field.is_required()]
        return f"Set {', '.join(needed)} in the settings file or the environment."
    variable = ENV_PREFIX + "__".join(key).upper()
    file = f", or {key[-1]}_file to read it from a file" if key in SECRETS else ""
    return f"Set {key[-1]} in [{_dotted(key[:-1])}], or {variable} in the environment{file}."


def _default_of(kind: type[BaseModel], key: _Key) -> str:
    section = _model_at(kind, key[:-1])
    field = section.model_fields.get(key[-1]) if section is not None else None
    if field is None or field.is_required() or isinstance(field.default, BaseModel):
        return ""
    default: object = field.get_default(call_default_factory=True, validated_data={})
    return "" if default is None or default == "" else f"The default is {_plain(default)}."


def _plain(value: object) -> str:
    if isinstance(value, tuple | dict):
        return ", ".join(f"{part}" for part in cast("tuple[object, ...]", value))
    return f"{value}"


def _shown(key: _Key, value: object) -> str:
    """The value, for the problem's text, unless it is or may hold a secret."""
    if key in _NOT_SHOWN or not isinstance(value, str | int | float) or "@" in str(value):
        return ""
    return f"{value!r:.80} "


def _dotted(key: _Key) -> str:
    return ".".join(key)
