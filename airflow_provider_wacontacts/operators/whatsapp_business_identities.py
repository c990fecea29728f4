"""Operators for WhatsApp users who may have changed: fetch their identities, and acknowledge them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow.providers.common.compat.sdk import BaseOperator, XComArg

from airflow_provider_wacontacts.exceptions import ConfigError
from airflow_provider_wacontacts.operators.arguments import ValidatedArguments, fail_without_retry, validate_query
from airflow_provider_wacontacts.operators.task_context import publish
from airflow_provider_wacontacts.plugin.links import StoreLink
from airflow_provider_wacontacts.records.arguments import validate_bool, validate_int

if TYPE_CHECKING:
    from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook
    from airflow_provider_wacontacts.pipelines.identities import AcknowledgeSummary, FetchSummary, IdentityRun
    from airflow_provider_wacontacts.pipelines.stop import StopSignal
    from airflow_provider_wacontacts.store.identities import SenderIdentities, StoredIdentity

__all__ = ["WhatsAppAcknowledgeIdentityOperator", "WhatsAppGetIdentityOperator"]

IdentityIds: TypeAlias = int | str | Iterable[int | str] | XComArg

PENDING = "pending"
NO_IDS = (
    "identity_ids must be keys from the column identity_id: a list, one key, or a string such as '[1, 2]'. Leave it out"
    " to take the pending identities."
)
ID = re.compile(r"""(['"]?)([0-9]{1,19})\1""")


class _IdentitiesOperator(ValidatedArguments, BaseOperator):
    """Chooses identities, hands them to a pipeline, and publishes its summary. Subclasses set the attributes."""

    operator_extra_links = (StoreLink(),)
    template_fields: Sequence[str] = (
        "whatsapp_business_conn_id",
        "store_conn_id",
        "identity_ids",
        "contacts_conn_id",
        "contacts_sql",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers = {"contacts_sql": "sql"}  # noqa: RUF012 - as Airflow has it
    validators = {"limit": partial(validate_int, minimum=1), "acknowledge_latest": validate_bool}  # noqa: RUF012

    whatsapp_business_conn_id: str
    store_conn_id: str
    identity_ids: IdentityIds
    contacts_sql: str | None
    contacts_conn_id: str | None
    limit: int
    _stop: StopSignal | None = None

    def __init__(self, **kwargs: Any) -> None:
        # Without a signature of its own, a class gets BaseOperator's, whose defaults a mapped task would take.
        super().__init__(**kwargs)

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """
        Process each identity in turn.

        :returns: the summary: counts and IDs.
        :raises AirflowFailException: an argument or a connection is wrong, or the server refuses.
        """
        with fail_without_retry():
            summary = self._run()
        publish(context, self.outlets, summary)
        return summary

    def on_kill(self) -> None:
        """Stop sending requests; results received so far are kept."""
        if self._stop is not None:
            self._stop.set()

    @cached_property
    def hook(self) -> WhatsAppBusinessHook:
        """The hook of ``whatsapp_business_conn_id``."""
        from airflow_provider_wacontacts.clients.retry import Clock
        from airflow_provider_wacontacts.hooks.whatsapp_business import WhatsAppBusinessHook

        clock = Clock(sleep=self._stop.sleep) if self._stop else None
        return WhatsAppBusinessHook(self.whatsapp_business_conn_id, clock=clock)

    def _run(self) -> dict[str, Any]:
        from airflow_provider_wacontacts.hooks.store import open_store
        from airflow_provider_wacontacts.pipelines.identities import IdentityRun, choose_identities
        from airflow_provider_wacontacts.pipelines.stop import StopSignal
        from airflow_provider_wacontacts.store.identities import SenderIdentities

        self.validate_rendered()
        stop = self._stop = StopSignal()
        identity_ids = None if self.identity_ids == PENDING else parse_ids(self.identity_ids)
        self.hook.validate_connection()
        store = open_store(self.store_conn_id)
        store.prepare()
        identities = SenderIdentities(store.context, self.hook.sender)
        if self.contacts_sql is None:
            chosen = choose_identities(identities, identity_ids, self.limit)
        else:
            chosen = self._users(identities)
        if not chosen:
            self.log.info("No identities are %s. No request is sent.", "pending" if identity_ids is None else "given")
        run = IdentityRun(
            identities=identities,
            api=self.hook,
            on_progress=lambda processed: self.log.info("%s identities processed so far", processed),
            stop=stop,
        )
        return self._process(run, chosen)

    def _users(self, identities: SenderIdentities) -> list[StoredIdentity]:
        """Return the identities of the users that ``contacts_sql`` names."""
        from airflow_provider_wacontacts.hooks.queries import read_rows
        from airflow_provider_wacontacts.pipelines.identities import choose_users

        rows = read_rows(str(self.contacts_conn_id), str(self.contacts_sql), columns=["number", "wa_id"])
        chosen, unnamed = choose_users(identities, rows, self.hook.region)
        if unnamed:
            self.log.warning(
                "%s rows name no user: their wa_id or number is invalid, or no check has found a WhatsApp ID of the"
                " number. Check these numbers first.",
                unnamed,
            )
        return chosen

    def _validate_source(self) -> None:
        if self.contacts_sql is not None and self.identity_ids != PENDING:
            raise ConfigError("Set either identity_ids, or contacts_sql with contacts_conn_id.")
        validate_query(self, "contacts")

    def _process(self, run: IdentityRun, chosen: Sequence[StoredIdentity]) -> dict[str, Any]:
        raise NotImplementedError

    def _warn_of_unknown(self, summary: FetchSummary | AcknowledgeSummary) -> None:
        if summary.unknown:
            self.log.warning(
                "The API does not know the users of %s of %s identities.%s",
                *(summary.unknown, summary.given),
                " Check that the connection points to this sender's client."
                if summary.unknown == summary.given
                else "",
            )


class WhatsAppGetIdentityOperator(_IdentitiesOperator):
    """
    Fetch the latest identity of users who may have changed, and store it.

    Nothing is acknowledged. Numbers and hashes stay in the store, in ``wacontacts_identity``. The summary's
    ``identity_ids`` are the keys of the users' latest identities that are not acknowledged.

    :param whatsapp_business_conn_id: Connection of type ``whatsapp_business``.
    :param store_conn_id: Connection of the store, PostgreSQL or SQLite.
    :param identity_ids: Keys from the column ``identity_id``: a list, one key, a JSON string of them, or an XComArg
        that returns them. Default: the pending identities, oldest first.
    :param contacts_sql: Instead of ``identity_ids``, a SELECT of the users, with a column ``wa_id``, or ``number``
        (numbers that were checked). Default: not used.
    :param contacts_conn_id: SQL connection that runs ``contacts_sql``. Required with ``contacts_sql``.
    :param limit: Maximum number of pending identities, 1 and up. It limits neither ``identity_ids``
        nor ``contacts_sql``. Default: 100.
    """

    def __init__(
        self,
        *,
        whatsapp_business_conn_id: str = "whatsapp_business_default",
        store_conn_id: str = "wacontacts_store",
        identity_ids: IdentityIds = PENDING,
        contacts_sql: str | None = None,
        contacts_conn_id: str | None = None,
        limit: int = 100,
        **kwargs: Any,
    ) -> None:
        # Each field of the summary is an XCom of its own: ``look.output["identity_ids"]``.
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.whatsapp_business_conn_id = whatsapp_business_conn_id
        self.store_conn_id = store_conn_id
        self.identity_ids = identity_ids
        self.contacts_sql = contacts_sql
        self.contacts_conn_id = contacts_conn_id
        self.limit = limit
        self.validate_arguments(vars(self))
        self._validate_source()

    def _process(self, run: IdentityRun, chosen: Sequence[StoredIdentity]) -> dict[str, Any]:
        summary = run.fetch(chosen)
        self.log.info(
            "%s identities fetched: %s unchanged, %s changed again, %s unknown; %s to acknowledge",
            *(summary.given, summary.unchanged, summary.changed, summary.unknown, len(summary.identity_ids)),
        )
        self._warn_of_unknown(summary)
        return summary.as_dict()


class WhatsAppAcknowledgeIdentityOperator(_IdentitiesOperator):
    """
    Acknowledge that users have changed, so that messages to them are sent again.

    Each identity is acknowledged by the hash in the store. If the API has a newer identity, the operator stores it,
    warns, lists it in the summary, and acknowledges nothing for that user. A retry processes the rest.

    :param whatsapp_business_conn_id: Connection of type ``whatsapp_business``.
    :param store_conn_id: Connection of the store, PostgreSQL or SQLite.
    :param identity_ids: Keys from the column ``identity_id``: a list, one key, a JSON string of them, or an XComArg
        that returns them. Default: the pending identities, oldest first.
    :param contacts_sql: Instead of ``identity_ids``, a SELECT of the users, with a column ``wa_id``, or ``number``
        (numbers that were checked). Default: not used.
    :param contacts_conn_id: SQL connection that runs ``contacts_sql``. Required with ``contacts_sql``.
    :param limit: Maximum number of pending identities, 1 and up. It limits neither ``identity_ids``
        nor ``contacts_sql``. Default: 100.
    :param acknowledge_latest: Acknowledge the API's latest identity, even if it is newer than the stored one. Default:
        ``False``.
    """

    def __init__(
        self,
        *,
        whatsapp_business_conn_id: str = "whatsapp_business_default",
        store_conn_id: str = "wacontacts_store",
        identity_ids: IdentityIds = PENDING,
        contacts_sql: str | None = None,
        contacts_conn_id: str | None = None,
        limit: int = 100,
        acknowledge_latest: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"multiple_outputs": True, **kwargs})
        self.whatsapp_business_conn_id = whatsapp_business_conn_id
        self.store_conn_id = store_conn_id
        self.identity_ids = identity_ids
        self.contacts_sql = contacts_sql
        self.contacts_conn_id = contacts_conn_id
        self.limit = limit
        self.acknowledge_latest = acknowledge_latest
        self.validate_arguments(vars(self))
        self._validate_source()

    def _process(self, run: IdentityRun, chosen: Sequence[StoredIdentity]) -> dict[str, Any]:
        summary = run.acknowledge(chosen, acknowledge_latest=self.acknowledge_latest)
        self.log.info(
            "%s identities given: %s acknowledged, %s already acknowledged, %s changed again, %s unknown",
            *(summary.given, summary.acknowledged, summary.already_acknowledged, summary.changed, summary.unknown),
        )
        if summary.changed:
            self.log.warning(
                "%s users have changed again and were not acknowledged. Fetch their newer identities.", summary.changed
            )
        self._warn_of_unknown(summary)
        return summary.as_dict()


def parse_ids(given: object) -> list[int]:
    """
    Read row IDs: one, a list of them, or a string of either, as a template renders a list.

    :raises ConfigError: it is something else. The message does not quote it: it may be a phone number.
    """
    if isinstance(given, str):
        given = _split(given)
    elif not isinstance(given, Iterable):
        given = [given]
    elif isinstance(given, (Mapping, bytes)):
        raise ConfigError(NO_IDS)
    return [_parse_id(value) for value in given]


def _split(text: str) -> list[str]:
    text = text.strip()
    is_list = text[:1] + text[-1:] in ("[]", "()")
    if is_list:
        text = text[1:-1].strip()
    return [] if is_list and not text else text.removesuffix(",").split(",")


def _parse_id(value: object) -> int:
    if isinstance(value, str) and (match := ID.fullmatch(value.strip())):
        return int(match[2])
    if type(value) is not int:
        raise ConfigError(NO_IDS)
    return value
