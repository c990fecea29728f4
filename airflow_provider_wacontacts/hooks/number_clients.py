"""Clients that check numbers, one for each system: see :class:`~.check_numbers.NumberClient`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_wacontacts.clients.green_api_checks import CHECKS_A_SECOND
from airflow_provider_wacontacts.clients.whatsapp_business import REQUESTS_A_SECOND, CheckResponse
from airflow_provider_wacontacts.hooks.metrics import count_statuses, send

if TYPE_CHECKING:
    from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
    from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook

__all__ = ["GreenApiNumbers", "WhatsAppNumbers"]


@dataclass(frozen=True)
class WhatsAppNumbers:
    """Checks numbers at a WhatsApp Business API client."""

    hook: WhatsAppBusinessHook
    batch_size: int = 100
    blocking: str = "no_wait"
    force_check: bool = False
    requests_a_second: float = REQUESTS_A_SECOND

    def check_numbers(self, numbers: Sequence[str]) -> CheckResponse:
        """Send one request."""
        blocking, force_check = self.blocking, self.force_check
        response = self.hook.check_contacts(numbers, blocking=blocking, force_check=force_check, idempotent=False)
        send("whatsapp_business", asked=len(numbers), **count_statuses(response))
        return response


@dataclass(frozen=True)
class GreenApiNumbers:
    """Checks numbers at GREEN-API, one in a request."""

    hook: GreenApiHook
    force_check: bool = False
    batch_size: int = 1
    requests_a_second: float = CHECKS_A_SECOND

    def check_numbers(self, numbers: Sequence[str]) -> CheckResponse:
        """Send one request."""
        (number,) = numbers
        response = self.hook.check_whatsapp(number, force=self.force_check)
        send("green_api_checks", asked=1, **count_statuses(response, "green_api_checks"))
        return response
