"""Merge the checks of several tasks of an event loop into one request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from typing import Self, TypeAlias

from airflow_provider_wacontacts.clients.whatsapp_business_responses import CheckResponse
from airflow_provider_wacontacts.exceptions import ContractError, RejectedError

__all__ = ["MergedChecks"]

CheckNumbers: TypeAlias = Callable[[Sequence[str]], Awaitable[CheckResponse]]

#: Time that a request collects numbers, for each waiting task: two thousand tasks fill requests of 100 numbers.
SECONDS_A_TASK = 0.0025
MAX_SECONDS = 5.0
#: Errors that a single number may cause.
OF_A_NUMBER = (RejectedError, ContractError)


class MergedChecks:
    """
    Collects the numbers of tasks, and sends them together.

    :param check: sends a request with distinct numbers.
    """

    def __init__(self, check: CheckNumbers) -> None:
        self._check = check
        self._tasks = 0
        self._open: _MergedRequest | None = None

    @contextmanager
    def shared(self) -> Iterator[Self]:
        """Count a waiting task during the block."""
        self._tasks += 1
        try:
            yield self
        finally:
            self._tasks -= 1

    async def send(self, numbers: Sequence[str], max_numbers: int) -> CheckResponse:
        """
        Check numbers in a request that is shared with other tasks.

        If the request is rejected, each task's numbers are sent in a separate request.

        :param numbers: distinct.
        :param max_numbers: maximum numbers in a request.
        :returns: the response, with the results of these numbers.
        :raises WaContactsError: there was no response.
        """
        request = self._open
        if request is None or not request.has_room(len(numbers), max_numbers):
            if request is not None:
                request.close()
            request = self._open = _MergedRequest()
            request.sending = asyncio.create_task(self._send(request))
        return await request.add(numbers, max_numbers)

    async def _send(self, request: _MergedRequest) -> None:
        await request.collect(min(self._tasks * SECONDS_A_TASK, MAX_SECONDS))
        if self._open is request:
            self._open = None
        parts = request.awaited
        error = await self._deliver(parts)
        if error is not None and len(parts) == 1:
            parts[0].fail(error)
        elif error is not None:
            for part in parts:
                if (error := await self._deliver([part])) is not None:
                    part.fail(error)

    async def _deliver(self, parts: Sequence[_Part]) -> Exception | None:
        """
        Send a request, and pass on its results or its error.

        :returns: an error that a single number may have caused; it is not passed on.
        """
        numbers = list(dict.fromkeys(chain.from_iterable(part.numbers for part in parts)))
        try:
            response = await self._check(numbers)
        except OF_A_NUMBER as error:
            return error
        except asyncio.CancelledError:
            for part in parts:
                part.response.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - the tasks that wait raise it
            for part in parts:
                part.fail(error)
        else:
            for part in parts:
                part.deliver(response)
        return None


class _Part:
    """The numbers of one task, and the response that it waits for."""

    def __init__(self, numbers: Sequence[str]) -> None:
        self.numbers = numbers
        self.response: asyncio.Future[CheckResponse] = asyncio.get_running_loop().create_future()

    def deliver(self, response: CheckResponse) -> None:
        """Pass on the results of these numbers."""
        missing = set(response.missing)
        missing_here = [number for number in self.numbers if number in missing]
        results = {number: response.results[number] for number in self.numbers if number in response.results}
        error = response.error if missing_here else None
        if not self.response.done():
            self.response.set_result(replace(response, results=results, missing=missing_here, error=error))

    def fail(self, error: Exception) -> None:
        """Pass on an error."""
        if not self.response.done():
            self.response.set_exception(error)


class _MergedRequest:
    """
    A request while numbers are added to it.

    :ivar sending: the task that sends it. It is cancelled when no other task awaits the response.
    """

    sending: asyncio.Task[None]

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._size = 0
        self._max_numbers: int | None = None
        self._closed = asyncio.Event()

    @property
    def awaited(self) -> list[_Part]:
        """The parts whose tasks still wait."""
        return [part for part in self._parts if not part.response.done()]

    def has_room(self, size: int, max_numbers: int) -> bool:
        """Return whether this many numbers may be added."""
        return not self._closed.is_set() and self._size + size <= min(max_numbers, self._max_numbers or max_numbers)

    async def add(self, numbers: Sequence[str], max_numbers: int) -> CheckResponse:
        """Add numbers, and wait for their results."""
        part = _Part(numbers)
        self._parts.append(part)
        self._size += len(numbers)
        self._max_numbers = min(max_numbers, self._max_numbers or max_numbers)
        if self._size >= self._max_numbers:
            self.close()
        try:
            return await part.response
        except asyncio.CancelledError:
            if not self.awaited:
                self.sending.cancel()
            raise

    def close(self) -> None:
        """Accept no more numbers, and send the request."""
        self._closed.set()

    async def collect(self, seconds: float) -> None:
        """Wait until the request is closed, or close it after a time limit."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), seconds)
        self.close()
