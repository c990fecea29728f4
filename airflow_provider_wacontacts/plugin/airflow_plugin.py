"""The plugin that puts the page into Airflow. Every Airflow process loads this module, so it imports little."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_provider_wacontacts.plugin.settings import URL_PREFIX, base_path, has_page

__all__ = ["WaContactsPlugin"]

NAME = "WhatsApp contacts"
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" viewBox="0 0 24 24" fill="none" stroke="{color}"'
    ' stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"><path d="M4 20l1.3-3.9A8 8 0 1 1 8 18.9z"/>'
    '<path d="M8.5 9.5h2v2h-2zM13.5 9.5h2v2h-2zM8.5 13h2M13.5 13h2"/></svg>'
)


class _LazyApplication:
    """The page's application, which is made at its first request: processes other than the API server never need it."""

    def __init__(self) -> None:
        self._application: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._application is None:
            from airflow_provider_wacontacts.plugin.application import create_application

            self._application = create_application()
        await self._application(scope, receive, send)


def _icon(color: str) -> str:
    return f"data:image/svg+xml;base64,{b64encode(ICON.format(color=color).encode()).decode()}"


class WaContactsPlugin(AirflowPlugin):
    """The page "WhatsApp contacts" in the navigation of Airflow 3.1 and newer; nothing in older ones."""

    name = "wacontacts"
    if has_page():
        fastapi_apps = [{"app": _LazyApplication(), "url_prefix": URL_PREFIX, "name": NAME}]
        external_views = [
            {
                "name": NAME,
                "href": f"{base_path()}{URL_PREFIX}/",
                "destination": "nav",
                "category": "browse",
                "icon": _icon("#3f3f46"),
                "icon_dark_mode": _icon("#e4e4e7"),
                "url_route": "wacontacts",
            }
        ]
