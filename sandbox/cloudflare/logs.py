"""The gateway's logs: an entry for each call that ended, and the list endpoint's paging, order, search and filters.

Cloudflare's API reference, 2026-10: `filters` is an array of {key, operator, value[]} in one JSON-encoded query
parameter; `per_page` is at most 50; `metadata.key` and `metadata.value` are checked each for itself, not as a pair.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

_SHOWN = ("created_at", "provider", "model", "model_type", "success", "cached", "cost", "tokens_in", "tokens_out")
_TYPES = ("request_content_type", "response_content_type", "request_type")
ORDER_BY = frozenset((*_SHOWN, "duration", "feedback"))
FILTER_KEYS = ORDER_BY | {
    *_TYPES,
    *("id", "tokens", "event_id", "metadata.key", "metadata.value", "authentication", "wholesale"),
    *("compatibilityMode", "dlp_action", "status_code"),
}
OPERATORS = frozenset({"eq", "neq", "contains", "lt", "gt"})
MAX_PER_PAGE = 50

_BRACKET = re.compile(r"filters\[(\d+)\]\[(key|operator|value)\](?:\[\d*\])?")


class BadQueryError(Exception):
    """A query parameter that the endpoint refuses; the text names it."""


@dataclass
class Entry:
    """One log entry. `visible_at` is later than `at` where the sandbox plays Cloudflare's lag. Seconds since 1970."""

    fields: Json
    metadata: Json
    at: float
    visible_at: float

    def matches_text(self, text: str) -> bool:
        return text.lower() in json.dumps(self.fields).lower()


@dataclass
class Filter:
    key: str
    operator: str
    value: list[Any] = field(default_factory=list)

    def accepts(self, entry: Entry) -> bool:
        if self.key == "metadata.key":
            return any(self._compare(name) for name in entry.metadata)
        if self.key == "metadata.value":
            return any(self._compare(value) for value in entry.metadata.values())
        return self._compare(entry.fields.get(self.key))

    def _compare(self, actual: Any) -> bool:
        if self.operator == "neq":
            return all(_text(actual) != _text(wanted) for wanted in self.value)
        return any(self._holds(actual, wanted) for wanted in self.value)

    def _holds(self, actual: Any, wanted: Any) -> bool:
        if self.operator == "eq":
            return _text(actual) == _text(wanted)
        if self.operator == "contains":
            return _text(wanted) in _text(actual)
        left, right = _ordered(actual), _ordered(wanted)
        if left is None or right is None:
            return False
        return left < right if self.operator == "lt" else left > right


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def list_page(entries: list[Entry], query: Mapping[str, str], now: float, *, brackets: bool) -> tuple[list[Json], Json]:
    """The entries a query asks for, and {page, per_page, total}. Raises BadQueryError.

    `brackets`: also honour `filters[0][key]=…`. The real endpoint was seen to ignore that form without a word."""
    page, per_page = _integer(query, "page", 1, None), _integer(query, "per_page", 20, MAX_PER_PAGE)
    order = _choice(query, "order_by", "created_at", ORDER_BY)
    direction = _choice(query, "direction", query.get("order_by_direction", "desc").lower(), {"asc", "desc"})
    filters, text = _filters(query, brackets=brackets), query.get("search", "")
    found = [e for e in entries if e.visible_at <= now and e.matches_text(text) and all(f.accepts(e) for f in filters)]
    found.sort(key=lambda e: (_sortable(e.fields.get(order)), e.at), reverse=direction == "desc")
    start = (page - 1) * per_page
    info = {"page": page, "per_page": per_page, "total": len(found)}
    return [entry.fields for entry in found[start : start + per_page]], info


def _filters(query: Mapping[str, str], *, brackets: bool) -> list[Filter]:
    items: list[Any] = []
    if "filters" in query:
        try:
            items = json.loads(query["filters"])
        except ValueError as error:
            raise BadQueryError("filters: it is not JSON") from error
        if not isinstance(items, list):
            raise BadQueryError("filters: Expected array")
    if brackets:
        items += _bracket_items(query)
    return [_filter(number, item) for number, item in enumerate(items)]


def _bracket_items(query: Mapping[str, str]) -> list[Json]:
    items: dict[str, Json] = {}
    for name, value in query.items():
        if found := _BRACKET.fullmatch(name):
            item = items.setdefault(found[1], {"value": []})
            if found[2] == "value":
                item["value"].append(value)
            else:
                item[found[2]] = value
    return [items[number] for number in sorted(items, key=int)]


def _filter(number: int, item: Any) -> Filter:
    if not isinstance(item, dict) or set(item) != {"key", "operator", "value"}:
        raise BadQueryError(f"filters.{number}: key, operator and value are needed")
    if item["key"] not in FILTER_KEYS:
        raise BadQueryError(f"filters.{number}.key: {item['key']!r} is not one of the keys")
    if item["operator"] not in OPERATORS:
        raise BadQueryError(f"filters.{number}.operator: {item['operator']!r} is not one of the operators")
    if not isinstance(item["value"], list):
        raise BadQueryError(f"filters.{number}.value: Expected array")
    return Filter(item["key"], item["operator"], item["value"])


def _integer(query: Mapping[str, str], name: str, default: int, most: int | None) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) < 1 or (most is not None and int(text) > most):
        raise BadQueryError(f"{name}: a whole number from 1{f' to {most}' if most else ''} is needed")
    return int(text)


def _choice(query: Mapping[str, str], name: str, default: str, allowed: frozenset[str] | set[str]) -> str:
    value = query.get(name, default)
    value = value.lower() if name == "direction" else value
    if value not in allowed:
        raise BadQueryError(f"{name}: {value!r} is not one of {', '.join(sorted(allowed))}")
    return value


def _text(value: Any) -> str:
    """Booleans and numbers compare by their JSON text, because a query may carry them as strings."""
    return value if isinstance(value, str) else json.dumps(value)


def _ordered(value: Any) -> float | None:
    if isinstance(value, (int, float)):
        return float(value)
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return _number(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _sortable(value: Any) -> tuple[int, float, str]:
    number = _ordered(value)
    return (0, number, "") if number is not None else (1, 0.0, _text(value))
