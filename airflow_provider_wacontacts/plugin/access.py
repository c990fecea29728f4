"""Permissions to see a store: Airflow's own users, as its auth manager permits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_wacontacts.plugin.settings import people_are_shown, store_conn_ids

__all__ = ["Refusal", "Viewer", "authorize", "require_people"]


class Refusal(Exception):  # noqa: N818 - it is a page
    """
    A page instead of the requested one.

    :param status: HTTP status.
    :param title: a few words.
    :param message: what happened, and what to do.
    :param viewer: the user, for the page's navigation; ``None`` if they may see no store.
    """

    def __init__(self, status: int, title: str, message: str, viewer: Viewer | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.title = title
        self.message = message
        self.viewer = viewer


@dataclass(frozen=True, slots=True)
class Viewer:
    """
    A user who may see the counts of a store.

    :param team: of the store's connection; ``None`` where it belongs to none, or there are no teams.
    :param stores: the connections of all stores whose counts they may see.
    :param may_edit: whether they may edit the store's connection, and so see its persons and its errors.
    """

    user: Any = field(repr=False)
    store_conn_id: str
    team: str | None
    stores: Sequence[str]
    may_edit: bool

    @property
    def sees_people(self) -> bool:
        """Whether they may look for a person."""
        return self.may_edit and people_are_shown()


def authorize(user: Any, store_conn_id: str | None) -> Viewer:
    """
    Determine which stores a user may see, and choose one.

    :param user: of Airflow's auth manager.
    :param store_conn_id: the requested store; ``None`` for the first one.
    :raises Refusal: they may see none, or not this one, or the page does not show it.
    """
    known = store_conn_ids()
    if store_conn_id is not None and store_conn_id not in known:
        raise Refusal(
            404,
            "Unknown store",
            "The page does not show this store. An administrator can add it to [wacontacts] store_conn_ids.",
        )
    teams = {conn_id: _team_of(conn_id) for conn_id in known}
    stores = [conn_id for conn_id, team in teams.items() if _may_read(user, team)]
    chosen = store_conn_id or next(iter(stores), None)
    if chosen is None or chosen not in stores:
        raise Refusal(
            403,
            "Not allowed",
            "You may not see this store. Counts need the permission to read DAGs, of the team that the store's"
            " connection belongs to. Ask an administrator of Airflow for it.",
        )
    team = teams[chosen]
    return Viewer(user, chosen, team, stores, may_edit=_may_edit(user, chosen, team))


def require_people(viewer: Viewer) -> None:
    """
    Make sure that a user may look for a person.

    :raises Refusal: persons are not shown, or not to this user.
    """
    if not people_are_shown():
        raise Refusal(
            404, "Persons are not shown", "An administrator can switch this on: [wacontacts] show_people = True."
        )
    if not viewer.may_edit:
        raise Refusal(
            403,
            "Not allowed",
            "Persons are for users who may edit the store's connection. Ask an administrator of Airflow for it.",
        )


def _may_read(user: Any, team: str | None) -> bool:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails

    details = DagDetails(team_name=team) if team else None
    return bool(get_auth_manager().is_authorized_dag(method="GET", user=user, details=details))


def _may_edit(user: Any, conn_id: str, team: str | None) -> bool:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails

    details = ConnectionDetails(conn_id=conn_id, team_name=team)
    return bool(get_auth_manager().is_authorized_connection(method="PUT", user=user, details=details))


def _team_of(conn_id: str) -> str | None:
    if not conf.getboolean("core", "multi_team", fallback=False):
        return None
    from airflow.models.connection import Connection

    team: str | None = Connection.get_team_name(conn_id)
    return team
