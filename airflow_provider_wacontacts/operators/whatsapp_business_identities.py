"""Operators for users of WhatsApp who have potentially changed: look, and acknowledge."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.hooks.failures import fail_without_retry
from airflow_provider_wacontacts.operators.task_context import publish
from airflow_provider_wacontacts.records.arguments import validate_bool, validate_int

if TYPE_CHECKING:
    from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook
    from airflow_provider_wacontacts.pipelines.check_numbers import Surroundings
    from airflow_provider_wacontacts.pipelines.identities import AcknowledgeSummary, LookSummary
    from airflow_provider_wacontacts.store.identities import SenderIdentities, StoredIdentity

__all__ = ["WhatsAppAcknowledgeIdentityOperator", "WhatsAppGetIdentityOperator"]

NO_IDS = (
    "identity_ids is no list of keys from the column identity_id, nor a text of them such as '[1, 2]'; leave it out to"
    " take what is pending"
)
MAX_DIGITS = 19
DIGITS = re.compile("[0-9]+")
LISTED = re.compile(r"""[\[(]?[0-9\s,'"]*[\])]?""")


class _WhatsAppIdentitiesOperator(BaseOperator):
    """What both have in common: which identities, and the API and the store that know of them."""

    template_fields: Sequence[str] = ("whatsapp_business_conn_id", "store_conn_id", "identity_ids")

    def __init__(
        self,
        *,
        whatsapp_business_conn_id: str = "whatsapp_business_default",
        store_conn_id: str = "wacontacts_store",
        identity_ids: Any = ...,
        limit: int = 100,
        **kwargs: Any,
    ) -> None:
        # Each member of the summary is an output of its own: ``look.output["identity_ids"]``.
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.whatsapp_business_conn_id = whatsapp_business_conn_id
        self.store_conn_id = store_conn_id
        self.identity_ids = None if identity_ids is ... else identity_ids
        self.limit = limit
        # Another task's output may turn out to be nothing. That is not to be taken for everything that is pending.
        self._takes_pending = self.identity_ids is None
        self._was_given = identity_ids is not ...
        self._world: Surroundings | None = None
        validate_int("limit", limit, 1)

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Do it for each identity in turn.

        :returns: the summary: counts and ids.
        :raises AirflowFailException: an argument or a connection has to be changed first.
        """
        with fail_without_retry():
            # Airflow makes each of mapped tasks anew, with its own element of what was given.
            if (
                self._takes_pending
                and self._was_given
                and getattr(context.get("ti"), "map_index", None) not in (None, -1)
            ):
                raise ConfigError("identity_ids: an element of what the task is mapped over is None")
            summary = self._run()
        publish(context, self.outlets, summary)
        return summary

    def on_kill(self) -> None:
        """Ask nothing more; what was done is kept."""
        if self._world is not None:
            self._world.stop.set()

    @cached_property
    def hook(self) -> WhatsAppBusinessHook:
        """The hook of ``whatsapp_business_conn_id``."""
        from airflow_provider_wacontacts.clients.requests_driver import Clock
        from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook

        sleeping = Clock(sleep=self._world.sleep) if self._world else None
        return WhatsAppBusinessHook(self.whatsapp_business_conn_id, clock=sleeping)

    def _run(self) -> dict[str, Any]:
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.pipelines.check_numbers import Surroundings
        from airflow_provider_wacontacts.pipelines.identities import chosen
        from airflow_provider_wacontacts.store.identities import SenderIdentities

        world = self._world = Surroundings(lambda done: self.log.info("Done with %s identities so far", done))
        identity_ids = None if self._takes_pending else _ids_of(self.identity_ids)
        self.hook.check()
        store = open_store(self.store_conn_id)
        store.prepare()
        identities = SenderIdentities(store.context, self.hook.sender)
        given = chosen(identities, identity_ids, self.limit)
        if not given:
            self.log.info("No identity is %s; nothing was asked", "pending" if self._takes_pending else "given")
        return self._work(identities, given, world)

    def _work(
        self, identities: SenderIdentities, given: Sequence[StoredIdentity], world: Surroundings
    ) -> dict[str, Any]:
        raise NotImplementedError

    def _tell_unknown(self, summary: LookSummary | AcknowledgeSummary) -> None:
        if summary.unknown:
            self.log.warning(
                "The API does not know the users of %s identities%s",
                summary.unknown,
                "; that is all of them: does the connection lead to the right sender's client?"
                if summary.unknown == summary.given
                else "",
            )


class WhatsAppGetIdentityOperator(_WhatsAppIdentitiesOperator):
    """
    Ask for the latest identity of users who have potentially changed, and keep it in the store.

    Nothing is acknowledged. Numbers and hashes stay in the store, in ``wacontacts_identity``; the summary's
    ``identity_ids`` are the keys of the rows that are the users' latest and are not acknowledged.

    :param whatsapp_business_conn_id: connection of type ``whatsapp_business``.
    :param store_conn_id: any PostgreSQL or SQLite connection.
    :param identity_ids: keys of rows: a list, one alone, a text of them, or another task's output of such; by default,
        what is pending.
    :param limit: at most so many of what is pending, the oldest first.
    """

    def _work(
        self, identities: SenderIdentities, given: Sequence[StoredIdentity], world: Surroundings
    ) -> dict[str, Any]:
        from airflow_provider_wacontacts.pipelines.identities import look

        summary = look(identities, given, api=self.hook, world=world)
        self.log.info(
            "Looked at %s identities: %s unchanged, %s changed again, %s unknown; %s to be acknowledged",
            *(summary.given, summary.unchanged, summary.changed, summary.unknown, len(summary.identity_ids)),
        )
        self._tell_unknown(summary)
        return summary.as_dict()


class WhatsAppAcknowledgeIdentityOperator(_WhatsAppIdentitiesOperator):
    """
    Acknowledge that users have changed, so that messages to them may go on.

    Each by the hash that the store has. Where the API has another by now, nothing is acknowledged: the newer one is
    kept, is pending, and is told of in a warning and in the summary. A retry goes on with the rest.

    :param whatsapp_business_conn_id: connection of type ``whatsapp_business``.
    :param store_conn_id: any PostgreSQL or SQLite connection.
    :param identity_ids: keys of rows in ``wacontacts_identity``: a list, one alone, a text of them, or another task's
        output of such; by default, what is pending.
    :param limit: at most so many of what is pending, the oldest first.
    :param acknowledge_latest: acknowledge what the API has by now, also where that is newer than what was looked at.
    """

    def __init__(self, *, acknowledge_latest: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.acknowledge_latest = acknowledge_latest
        validate_bool("acknowledge_latest", acknowledge_latest)

    def _work(
        self, identities: SenderIdentities, given: Sequence[StoredIdentity], world: Surroundings
    ) -> dict[str, Any]:
        from airflow_provider_wacontacts.pipelines.identities import acknowledge

        summary = acknowledge(identities, given, api=self.hook, world=world, acknowledge_latest=self.acknowledge_latest)
        self.log.info(
            "Of %s identities, %s were acknowledged and %s had been; %s changed again, %s unknown",
            *(summary.given, summary.acknowledged, summary.already_acknowledged, summary.changed, summary.unknown),
        )
        if summary.changed:
            self.log.warning(
                "%s users have changed again since, and were not acknowledged; look at their newer identities",
                summary.changed,
            )
        self._tell_unknown(summary)
        return summary.as_dict()


def _ids_of(given: object) -> list[int]:
    """
    Read row ids: one, a list of them, or a text of either, such as a template makes of a list.

    :raises ConfigError: it is anything else. It is not quoted: it may be a phone number.
    """
    if isinstance(given, str):
        return _ids_in(given)
    if not isinstance(given, Iterable):
        return [_id_of(given)]
    if isinstance(given, (Mapping, bytes)):
        raise ConfigError(NO_IDS)
    return [_id_of(one) for one in given]


def _ids_in(text: str) -> list[int]:
    found = DIGITS.findall(text)
    if not text.strip() or not LISTED.fullmatch(text.strip()) or any(len(digits) > MAX_DIGITS for digits in found):
        raise ConfigError(NO_IDS)
    return [int(digits) for digits in found]


def _id_of(value: object) -> int:
    if isinstance(value, str) and DIGITS.fullmatch(value.strip()) and len(value.strip()) <= MAX_DIGITS:
        return int(value)
    if type(value) is not int:
        raise ConfigError(NO_IDS)
    return value
