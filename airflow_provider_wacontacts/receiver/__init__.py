"""
The receiver: an ASGI application that takes the webhook deliveries of WhatsApp Business API clients.

It needs the extra ``receiver``. ``wacontacts receiver`` runs it.
"""

from __future__ import annotations

from airflow_provider_wacontacts.receiver.application import create_app

__all__ = ["create_app"]
