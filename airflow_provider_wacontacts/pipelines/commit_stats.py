"""What has come to rest, in figures, told to whoever counts along."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Self, TypeAlias

if TYPE_CHECKING:
    from airflow_provider_wacontacts.files import Manifest
    from airflow_provider_wacontacts.store import ExtractionResult

__all__ = ["CommitStats", "Counts", "uncounted"]


class CommitStats(NamedTuple):
    """
    What was committed at once. It is told when it is, whatever becomes of the task.

    :param new_versions: ``None`` in files, where nothing is compared.
    :param gone: ``None`` where nobody can be, as in a window or in files; so is ``back``.
    """

    pages: int
    rows: int
    rejected: int
    new_versions: int | None = None
    gone: int | None = None
    back: int | None = None

    @classmethod
    def in_store(cls, finished: ExtractionResult) -> Self:
        """Return what a finished extraction brought into a store."""
        return cls(
            finished.pages, finished.rows, finished.rejected, finished.new_versions, finished.gone, finished.back
        )

    @classmethod
    def in_files(cls, manifest: Manifest) -> Self:
        """Return what a finished extraction brought into files."""
        return cls(manifest.pages, manifest.rows, manifest.rejected)


#: Is told what was committed.
Counts: TypeAlias = Callable[[CommitStats], None]


def uncounted(landed: CommitStats) -> None:
    """Count nothing."""
