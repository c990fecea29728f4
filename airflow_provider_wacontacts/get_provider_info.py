"""What Airflow asks of a provider when it starts. Every process of Airflow runs this, so it imports nothing."""

__all__ = ["get_provider_info"]

TURN = "Turn.io"


def get_provider_info() -> dict[str, object]:
    """Return plain data, in the shape of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-wacontacts",
        "name": "WhatsApp contacts",
        "description": "WhatsApp contacts in your own database or lake, on a schedule, with their whole history.",
        "integrations": [
            {
                "integration-name": TURN,
                "external-doc-url": "https://whatsapp.turn.io/docs/api/data_export_api",
                "tags": ["service"],
            },
        ],
        "operators": [
            {"integration-name": TURN, "python-modules": ["airflow_provider_wacontacts.operators.turn"]},
        ],
        "hooks": [
            {"integration-name": TURN, "python-modules": ["airflow_provider_wacontacts.hooks.turn"]},
        ],
        "triggers": [
            {"integration-name": TURN, "python-modules": ["airflow_provider_wacontacts.triggers.wait"]},
        ],
        "connection-types": [
            {
                "connection-type": "turn",
                "hook-class-name": "airflow_provider_wacontacts.hooks.turn.TurnHook",
                "hook-name": TURN,
                "ui-field-behaviour": {
                    "hidden-fields": ["login"],
                    "relabeling": {"password": "API token", "schema": "Scheme"},
                    "placeholders": {
                        "host": "whatsapp.turn.io",
                        "schema": "https",
                        "password": "made in Turn.io under Settings, API & Webhooks",
                    },
                },
                "conn-fields": {
                    "account": {
                        "label": "Account",
                        "description": "The name that contacts are filed under; the connection's id by default.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "timeout": {
                        "label": "Timeout",
                        "description": "Seconds to connect, and to wait for each part of an answer.",
                        "schema": {"type": ["integer", "null"], "default": 60, "minimum": 1},
                    },
                    "verify": {
                        "label": "Verify TLS",
                        "description": "true, false, or a file of the certificate authorities to trust.",
                        "schema": {"type": ["string", "null"], "default": "true"},
                    },
                    "allow_http": {
                        "label": "Allow http://",
                        "description": "Send the token unencrypted, to another machine than this one.",
                        "schema": {"type": ["boolean", "null"], "default": False},
                    },
                },
            },
        ],
    }
