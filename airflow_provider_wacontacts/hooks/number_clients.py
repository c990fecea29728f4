"""Clients that check numbers, one for each system: see :class:`~.check_numbers.NumberClient`."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_wacontacts.clients.green_api_checks import CHECKS_A_SECOND
from airflow_provider_wacontacts.clients.whatsapp_business import REQUESTS_A_SECOND
from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse, ContactResult
from airflow_provider_wacontacts.exceptions import ApiError, NetworkError, ServerError, TransientError
from airflow_provider_wacontacts.hooks.metrics import count_statuses, send

if TYPE_CHECKING:
    from airflow_provider_wacontacts.hooks.green_api import GreenApiHook
    from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook

log = logging.getLogger(__name__)

__all__ = ["GreenApiNumberClient", "WhatsAppNumberClient"]


#: The longest time that requests with ``wait`` hold a worker slot.
MAX_WAIT = timedelta(minutes=1)
#: 502 Bad Gateway, 503 Service Unavailable and 504 Gateway Timeout: a reverse proxy waits no longer.
GATEWAY_FAILED = (502, 503, 504)


@dataclass
class WhatsAppNumberClient:
    """
    Checks numbers at a WhatsApp Business API client.

    Requests with ``wait`` wait for a minute in total. Later requests do not wait: the client is slow, and may look a
    number up again for each ``wait``.
    """

    hook: WhatsAppBusinessHook
    batch_size: int = 100
    blocking: str = "no_wait"
    force_check: bool = False
    requests_a_second: float = REQUESTS_A_SECOND
    _began_at: float | None = None
    _timed_out: bool = False

    def check_numbers(self, numbers: Sequence[str]) -> CheckResponse:
        """Send one request; if one with ``wait`` is cut off, another that reads the client's cache, without waiting."""
        response = self._check(numbers)
        send("whatsapp_business", asked=len(numbers), **count_statuses(response))
        return response

    def _check(self, numbers: Sequence[str]) -> CheckResponse:
        check = partial(self.hook.check_contacts, numbers, idempotent=False)
        max_wait = self._max_wait()
        if self.blocking == "no_wait" or max_wait <= timedelta(0):
            return check(force_check=self.force_check)
        try:
            return check(blocking="wait", force_check=self.force_check, max_wait=max_wait)
        except (NetworkError, ServerError) as error:
            if not _is_cut_off(error):
                raise
            self._timed_out, cut_off = True, error
        if self.force_check and not getattr(cut_off, "timed_out", False):
            # The client may never have seen the request, and its cache may be old.
            raise cut_off
        log.info("The client has not responded to a request with wait. The task reads its results without waiting.")
        try:
            # Not forced: it reads the client's cache, and is the same check.
            return check()
        except TransientError as error:
            log.info("%s The triggerer reads the results.", error)
            return CheckResponse({number: ContactResult(number, "processing") for number in numbers})
        except ApiError:
            # The first request may have been processed, so the check counts.
            raise cut_off from None

    def _max_wait(self) -> timedelta:
        """Return how long a request may wait now; zero or negative if it may not wait."""
        if self._timed_out:
            return timedelta(0)
        now = time.monotonic()
        self._began_at = self._began_at or now
        return MAX_WAIT - timedelta(seconds=now - self._began_at)


def _is_cut_off(error: NetworkError | ServerError) -> bool:
    """Return whether the connection or a gateway ended the wait, so that the client may still process the request."""
    return error.may_be_processed and (isinstance(error, NetworkError) or error.status in GATEWAY_FAILED)


@dataclass(frozen=True)
class GreenApiNumberClient:
    """Checks numbers at GREEN-API, one per request."""

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
