"""What came of a try, for its caller."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

__all__ = ["ExtractionResult"]


class ExtractionResult(NamedTuple):
    """
    What one try brought; all times aware, UTC.

    :param window_start: ``None``, like ``window_end``, for what has no window.
    :param extracted_at: when the system answered first.
    :param resumes: how many tries came before this one, 0 and up.
    :param rows: contacts received, repeated ones included, rejected ones not.
    :param new_versions: states that the store had not held.
    :param bytes: received, bodies only.
    :param lateness_s: seconds from the window's end to ``extracted_at``; negative where it had not ended.
    :param lossy: some stretch of the window was never pulled in time, so states in it may have been overwritten unseen.
    :param gap_before: the stretch before the window that nothing covers, start and end; ``None`` where there is none.
    :param gone: of a snapshot, contacts that were missing from it and became ``gone``, versions among the new ones;
        ``None``, like ``back`` and ``reason``, for what has a window.
    :param back: of a snapshot, contacts that had been ``gone`` and were in it.
    :param reason: a word why a snapshot is not complete: ``empty``, ``cut``, ``unsynchronised``,
        ``nameless``, ``shrunken``; or why it was refused: ``older``. ``None`` where it is complete.
    """

    extraction_id: str
    source: str
    account: str
    window_start: datetime | None
    window_end: datetime | None
    extracted_at: datetime
    finished_at: datetime
    state: str
    resumes: int
    pages: int
    rows: int
    new_versions: int
    rejected: int
    bytes: int
    lateness_s: float | None
    lossy: bool | None
    gap_before: tuple[datetime, datetime] | None
    uri: str | None
    gone: int | None = None
    back: int | None = None
    reason: str | None = None
