"""What a job says of itself when it is done."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["PullSummary"]


@dataclass(frozen=True, slots=True)
class PullSummary:
    """
    One extraction in figures: nothing personal, nothing but what JSON has.

    :param window_start: text of fixed width, UTC, as are all times here; ``None`` for a snapshot.
    :param rows: contacts received, counted again where they came again.
    :param new_versions: states that had not been seen before; in files, where nothing is compared, the rows written.
    :param bytes: of the answers, as received.
    :param lateness_s: seconds between the window's end and the extraction.
    :param lossy: states of this window were overwritten before anybody asked, or may have been.
    :param gap_before: ``start/end`` of a stretch before the window that no extraction covers.
    :param uri: where the contacts are.
    """

    extraction_id: str
    source: str
    account: str
    window_start: str | None
    window_end: str | None
    state: str
    pages: int
    rows: int
    new_versions: int
    rejected: int
    bytes: int
    lateness_s: float | None
    lossy: bool
    gap_before: str | None
    uri: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as the dictionary that XCom and asset events carry."""
        return asdict(self)
