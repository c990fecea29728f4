"""A connection of type ``green_api``: its instance, and the budget of its checks."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import Connection, mask_secret

from airflow_provider_wacontacts.clients.green_api import Instance
from airflow_provider_wacontacts.hooks.connections import Endpoint, invalid_field, read_count, read_token
from airflow_provider_wacontacts.store.checks.model import SenderBudget

__all__ = ["parse_instance", "read_budget"]

DEFAULT_DAILY_CHECKS = 1_000
DEFAULT_MONTHLY_CHECKS = 30_000


def parse_instance(connection: Connection, endpoint: Endpoint) -> Instance:
    """
    Read the instance of a connection, and have Airflow mask its token, both plain and URL-quoted.

    :raises ConfigError: a field is missing or invalid.
    """
    if "/wainstance" in endpoint.base_url.lower():
        raise invalid_field(
            connection, "host", "contains more than the apiUrl. Set the idInstance as login, and the token as password."
        )
    id_instance = str(connection.login or "").strip()
    if not id_instance:
        raise invalid_field(connection, "login", "is empty. Set it to the idInstance.")
    if not (id_instance.isascii() and id_instance.isdecimal()):
        raise invalid_field(connection, "login", "is not an idInstance, which has only digits.")
    instance = Instance(id_instance, read_token(connection))
    for secret in instance.secrets:
        mask_secret(secret)
    return instance


def read_budget(connection: Connection, instance: Instance) -> SenderBudget:
    """
    Read how many numbers an instance may check, per day and per month.

    :raises ConfigError: an extra is not a whole number, 1 and up.
    """
    return SenderBudget(
        f"green_api:{instance.id_instance}",
        read_count(connection, "daily_checks", DEFAULT_DAILY_CHECKS),
        read_count(connection, "monthly_checks", DEFAULT_MONTHLY_CHECKS),
    )
