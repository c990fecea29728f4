"""The page's FastAPI application: each route identifies the user and their stores, reads, and returns HTML."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from airflow_provider_wacontacts.exceptions import ConfigError, LandingError, WaContactsError
from airflow_provider_wacontacts.hooks.store import create_store, read_store_connection
from airflow_provider_wacontacts.hooks.store_connection import StoreConnection, parse_store_connection
from airflow_provider_wacontacts.identifiers.identifier import Identifier, Kind
from airflow_provider_wacontacts.plugin.access import Refusal, Viewer, authorize, require_people
from airflow_provider_wacontacts.plugin.parameters import Parameters
from airflow_provider_wacontacts.plugin.people import KINDS, MAX_BODY, find_person, read_form, write_audit_log
from airflow_provider_wacontacts.plugin.reading import TIME_LIMIT, BusyError, ConcurrencyLimit, Readers
from airflow_provider_wacontacts.plugin.rendering import render
from airflow_provider_wacontacts.plugin.settings import base_path, store_conn_ids
from airflow_provider_wacontacts.plugin.views import VIEWS, NotFoundError, View
from airflow_provider_wacontacts.store.person_view import FoundPerson

if TYPE_CHECKING:
    from fastapi import FastAPI

    from airflow_provider_wacontacts.store import Store

__all__ = ["create_application"]

#: Users that are authorized at once. Others wait for milliseconds.
MAX_CONCURRENT_AUTHORIZATIONS = 4


class PageRoutes:
    """What the routes of the application share."""

    def __init__(self) -> None:
        from anyio import CapacityLimiter

        self.readers = Readers()
        self._authorizing = CapacityLimiter(MAX_CONCURRENT_AUTHORIZATIONS)

    async def viewer(self, request: Request, user: Any) -> Viewer:
        """
        Return the user, and the store that they look at.

        :raises Refusal: they may not.
        """
        from anyio.to_thread import run_sync

        return await run_sync(authorize, user, request.query_params.get("store"), limiter=self._authorizing)

    async def show(self, view: View, request: Request, viewer: Viewer) -> Response:
        """Return a view. Users of the same view share a cached copy."""
        parameters = Parameters(request.path_params, request.query_params, datetime.now(UTC).date())
        key = (viewer.store_conn_id, str(request.url.path), str(sorted(request.query_params.items())))

        def work() -> tuple[str, list[str]]:
            values = with_store(viewer, lambda store: view.read(store, parameters))
            return render(view.template, viewer.store_conn_id, **values), parameters.notes

        try:
            content, notes = await self.readers.shared(key, work)
        except NotFoundError as missing:
            raise Refusal(
                404,
                f"Unknown {missing}",
                f"The store has no {missing} of this ID. It may have been deleted, or it is in another store.",
                viewer,
            ) from None
        except (BusyError, ConfigError, LandingError) as error:
            raise _refusal_of(error, viewer) from None
        return respond(viewer, title=view.title, tab=view.tab, content=content, notes=notes)

    async def show_people(self, request: Request, viewer: Viewer) -> Response:
        """
        Return the form for a person, or the person. Input and results are never cached.

        :raises Refusal: the user may not see persons, or no user may.
        """
        require_people(viewer)
        values: dict[str, Any] = {"kinds": KINDS, "chosen": Kind.NUMBER, "problem": None, "person": None}
        if request.method == "POST":
            identifier = read_form(await _read_body(request))
            if isinstance(identifier, Identifier):
                person, now = await self._find(identifier, viewer)
                values |= {"person": person, "as_of": now, "chosen": identifier.kind}
            else:
                values["problem"] = identifier
        content = render("people.html", viewer.store_conn_id, **values)
        return respond(viewer, title="Find a person", tab="people", content=content)

    async def _find(self, identifier: Identifier, viewer: Viewer) -> tuple[FoundPerson, datetime]:
        def work() -> tuple[FoundPerson, datetime]:
            person, now = with_store(viewer, lambda store: find_person(store, identifier))
            write_audit_log(viewer, identifier.kind, person.row_ids)
            return person, now

        try:
            return await self.readers.run(work)
        except (BusyError, ConfigError, LandingError) as error:
            raise _refusal_of(error, viewer) from None


async def _read_body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise Refusal(413, "Too long", "That is longer than any identifier.")
    return body


def with_store(viewer: Viewer, work: Callable[[Store], Any]) -> Any:
    """Open a store for as long as some work takes, so that a changed connection takes effect at once."""
    connection = _connection(viewer)
    try:
        return work(create_store(connection, max_wait=TIME_LIMIT))
    finally:
        connection.engine.dispose()


def _connection(viewer: Viewer) -> StoreConnection:
    if viewer.team is None:
        return read_store_connection(viewer.store_conn_id)
    # A task reads the connections of its own team, and Airflow's hooks none of a team elsewhere.
    from airflow.models.connection import Connection

    found = Connection.get_connection_from_secrets(viewer.store_conn_id, team_name=viewer.team)
    return parse_store_connection(found)


def respond(
    viewer: Viewer | None, *, title: str, content: str, tab: str = "", notes: list[str] | None = None, status: int = 200
) -> Response:
    """
    Return a whole HTML document.

    :param viewer: the user; ``None`` if unknown: then only the content is shown.
    :param content: HTML.
    """
    nonce = secrets.token_urlsafe(16)
    store_conn_id = viewer.store_conn_id if viewer else store_conn_ids()[0]
    html = render(
        "page.html", store_conn_id, viewer=viewer, title=title, tab=tab, content=content, notes=notes or [], nonce=nonce
    )
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src data:; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'self'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    if status == 503:
        headers["Retry-After"] = "3"
    return HTMLResponse(html, status, headers)


def create_application() -> FastAPI:
    """Return the application, which belongs to one event loop."""
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import Depends, FastAPI

    routes = PageRoutes()
    application = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    application.add_middleware(ConcurrencyLimit)

    def endpoint(view: View) -> Callable[..., Awaitable[Response]]:
        async def show(request: Request, user: Any = Depends(get_user)) -> Response:  # noqa: B008 - FastAPI's way
            return await routes.show(view, request, await routes.viewer(request, user))

        return show

    for view in VIEWS:
        application.add_api_route(view.path, endpoint(view), methods=["GET"], response_model=None)

    async def people(request: Request, user: Any = Depends(get_user)) -> Response:  # noqa: B008 - FastAPI's way
        return await routes.show_people(request, await routes.viewer(request, user))

    application.add_api_route("/people", people, methods=["GET", "POST"], response_model=None)

    async def unknown(request: Request, user: Any = Depends(get_user)) -> Response:  # noqa: B008 - FastAPI's way
        await routes.viewer(request, user)
        raise Refusal(404, "Unknown page", "There is no such page here.")

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    application.add_api_route("/{path:path}", unknown, methods=methods, response_model=None)
    application.add_exception_handler(HTTPException, _refuse_http)
    application.add_exception_handler(Refusal, _refuse)
    application.add_exception_handler(Exception, _fail)
    return application


def _refusal_of(error: Exception, viewer: Viewer) -> Refusal:
    if isinstance(error, BusyError):
        return Refusal(
            503, "Busy", "Several users are looking at the store just now. Reload this page in a few seconds.", viewer
        )
    title = "The store cannot be read"
    if viewer.may_edit or not isinstance(error, WaContactsError):
        return Refusal(503, title, str(error), viewer)
    return Refusal(
        503, title, "Users who may edit the store's connection see the cause on this page. Ask one of them.", viewer
    )


async def _refuse_http(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    if status == 401:
        content = render("refusal.html", store_conn_ids()[0], message="", login=_login_url(request))
        return respond(None, title="Not logged in", content=content, status=401)
    return await _refuse(request, Refusal(status, "Not allowed", str(getattr(error, "detail", ""))))


async def _refuse(request: Request, error: Exception) -> Response:  # noqa: ARG001 - as Starlette has it
    title, status = getattr(error, "title", "Error"), getattr(error, "status", 500)
    content = render("refusal.html", store_conn_ids()[0], message=str(error), login=None)
    return respond(getattr(error, "viewer", None), title=title, content=content, status=status)


async def _fail(request: Request, error: Exception) -> Response:  # noqa: ARG001 - it may hold a value
    message = "The page has an error. The API server's log has its cause."
    return await _refuse(request, Refusal(500, "Error", message))


def _login_url(request: Request) -> str:
    from airflow.api_fastapi.app import get_auth_manager

    url: str = get_auth_manager().get_url_login(next_url=f"{base_path()}{request.url.path.removeprefix(base_path())}")
    return url
