"""What the sandbox would have charged: the catalog's price by second and resolution, and the ledger of all charges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

PRICE_480P = 0.08
"""US dollars a second (catalog, 2026-10)."""

PRICE_720P = 0.14
"""US dollars a second at 720p (catalog, 2026-10); the sandbox takes it for all larger sizes too."""


@dataclass(frozen=True)
class Charge:
    """One charge. `seconds` are those that are billed: the added ones for extend, the source's for edit.

    `certain` is False where the reference says "maybe": the caller cannot know from the answer."""

    call: int
    job: str | None
    metadata: dict[str, Any]
    operation: str
    seconds: float
    resolution: str
    usd: float
    at: float
    reason: str
    certain: bool


def resolution_of(width: int, height: int) -> str:
    """The price class of a clip by its short side."""
    return "480p" if min(width, height) <= 480 else "720p"


def price(seconds: float, resolution: str) -> float:
    """US dollars for one clip."""
    return round(seconds * (PRICE_480P if resolution == "480p" else PRICE_720P), 6)


def job_of(metadata: dict[str, Any]) -> str | None:
    """The job's id: the metadata's `job`, or else its first entry whose key begins so."""
    names = sorted((name for name in metadata if name.lower().startswith("job")), key=len)
    return str(metadata[names[0]]) if names else None


def belongs_to(metadata: dict[str, Any], job_id: object) -> bool:
    """Whether any metadata value is this id."""
    return any(str(value) == str(job_id) for value in metadata.values())


class Ledger(list[Charge]):
    """All charges in order. A list that can correct its own entries."""

    @property
    def total_usd(self) -> float:
        return round(sum(charge.usd for charge in self), 6)

    def for_job(self, job_id: object) -> list[Charge]:
        return [charge for charge in self if belongs_to(charge.metadata, job_id)]

    def replace(self, charge: Charge, *, reason: str, certain: bool) -> Charge:
        corrected = replace(charge, reason=reason, certain=certain)
        self[self.index(charge)] = corrected
        return corrected
