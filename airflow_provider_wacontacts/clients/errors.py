"""Errors of responses: messages for statuses, error codes and states, with remedies."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_wacontacts.clients.http import Response
from airflow_provider_wacontacts.exceptions import ApiError, ContractError, RejectedError

__all__ = ["REFUSED", "ErrorSpec", "contract_error", "describe_origin", "spec_by_status"]


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """
    The class and the message of an error.

    :param message: what happened and what to do, without values of the response.
    """

    kind: type[ApiError]
    message: str

    def error(self, operation: str, status: int | None = None, *, code: int | None = None) -> ApiError:
        """
        Return the error.

        :param code: the API's own error code.
        """
        message = f"{self.message} Error code: {code}." if code else self.message
        return self.kind(message, source=operation.partition(".")[0], operation=operation, status=status)


REFUSED = ErrorSpec(
    RejectedError,
    "The server refused the request. Check the connection's host, or ask the server's operator for the reason.",
)
WRONG_PATH = ErrorSpec(RejectedError, "The server has another service at this path. Correct the connection's host.")
REDIRECTED = ErrorSpec(
    RejectedError, "The server sent a redirect, which is not followed. Correct the connection's host."
)


def spec_by_status(response: Response, specs: Mapping[int, ErrorSpec], default: ErrorSpec = REFUSED) -> ErrorSpec:
    """Return the specification for a response's status."""
    if 300 <= response.status < 400:
        return REDIRECTED
    return specs.get(response.status, WRONG_PATH if response.status == 405 else default)


def contract_error(message: str, operation: str, response: Response | None = None) -> ContractError:
    """Return the error for a response that is not as documented."""
    status = response.status if response else None
    return ContractError(message, source=operation.partition(".")[0], operation=operation, status=status)


def describe_origin(error: BaseException) -> str:
    """Return where an error was raised, because its text may quote data."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"in {last.name}, line {last.lineno} of {Path(last.filename).name}"
