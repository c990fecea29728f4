"""What Airflow asks of a provider when it starts. Every process of Airflow runs this, so it imports nothing."""

__all__ = ["get_provider_info"]

GREEN_API = "GREEN-API"
STORE = "Store of WhatsApp contacts"
TURN = "Turn.io"
WHATSAPP_BUSINESS = "WhatsApp Business"

ACCOUNT = {
    "label": "Account",
    "description": "The name that contacts are filed under; the connection's id by default.",
    "schema": {"type": ["string", "null"]},
}
TIMEOUT = {
    "label": "Timeout",
    "description": "Seconds to connect, and to wait for each part of an answer.",
    "schema": {"type": ["integer", "null"], "default": 60, "minimum": 1},
}
VERIFY = {
    "label": "Verify TLS",
    "description": "true, false, or a file of the certificate authorities to trust.",
    "schema": {"type": ["string", "null"], "default": "true"},
}
ALLOW_HTTP = {
    "label": "Allow http://",
    "description": "Send the token unencrypted, to another machine than this one.",
    "schema": {"type": ["boolean", "null"], "default": False},
}


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
            {
                "integration-name": GREEN_API,
                "external-doc-url": "https://green-api.com/en/docs/api/service/GetContacts/",
                "tags": ["service"],
            },
            {
                "integration-name": WHATSAPP_BUSINESS,
                "external-doc-url": "https://developers.facebook.com/docs/whatsapp/api/contacts",
                "tags": ["service"],
            },
            {
                "integration-name": STORE,
                "external-doc-url": "https://www.postgresql.org/docs/",
                "tags": ["software"],
            },
        ],
        "operators": [
            {"integration-name": TURN, "python-modules": ["airflow_provider_wacontacts.operators.turn"]},
            {"integration-name": GREEN_API, "python-modules": ["airflow_provider_wacontacts.operators.green_api"]},
            {
                "integration-name": WHATSAPP_BUSINESS,
                "python-modules": [
                    "airflow_provider_wacontacts.operators.whatsapp_business",
                    "airflow_provider_wacontacts.operators.whatsapp_business_identities",
                ],
            },
            {
                "integration-name": STORE,
                "python-modules": [
                    "airflow_provider_wacontacts.operators.store",
                    "airflow_provider_wacontacts.operators.contact_files",
                ],
            },
        ],
        "sensors": [
            {
                "integration-name": WHATSAPP_BUSINESS,
                "python-modules": ["airflow_provider_wacontacts.sensors.whatsapp_business"],
            },
        ],
        "hooks": [
            {"integration-name": TURN, "python-modules": ["airflow_provider_wacontacts.hooks.turn"]},
            {"integration-name": GREEN_API, "python-modules": ["airflow_provider_wacontacts.hooks.green_api"]},
            {
                "integration-name": WHATSAPP_BUSINESS,
                "python-modules": ["airflow_provider_wacontacts.hooks.whatsapp_business"],
            },
        ],
        "triggers": [
            {"integration-name": TURN, "python-modules": ["airflow_provider_wacontacts.triggers.wait"]},
            {
                "integration-name": WHATSAPP_BUSINESS,
                "python-modules": ["airflow_provider_wacontacts.triggers.whatsapp_business"],
            },
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
                    "account": ACCOUNT,
                    "timeout": TIMEOUT,
                    "verify": VERIFY,
                    "allow_http": ALLOW_HTTP,
                },
            },
            {
                "connection-type": "green_api",
                "hook-class-name": "airflow_provider_wacontacts.hooks.green_api.GreenApiHook",
                "hook-name": GREEN_API,
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {
                        "host": "apiUrl",
                        "login": "idInstance",
                        "password": "apiTokenInstance",
                        "schema": "Scheme",
                    },
                    "placeholders": {
                        "host": "https://7103.api.greenapi.com",
                        "schema": "https",
                        "login": "digits, as the console shows them",
                        "password": "as the console shows it",
                    },
                },
                "conn-fields": {
                    "account": ACCOUNT,
                    "timeout": TIMEOUT,
                    "verify": VERIFY,
                    "allow_http": ALLOW_HTTP,
                },
            },
            {
                "connection-type": "whatsapp_business",
                "hook-class-name": "airflow_provider_wacontacts.hooks.whatsapp_business.WhatsAppBusinessHook",
                "hook-name": WHATSAPP_BUSINESS,
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {"login": "User", "password": "Password, token or key", "schema": "Scheme"},
                    "placeholders": {
                        "host": "the client's, or the gateway's",
                        "schema": "https",
                        "login": "empty for a token or a key",
                        "password": "of the user; or a token, or a key",
                    },
                },
                "conn-fields": {
                    "auth": {
                        "label": "Authentication",
                        "description": "login: user and password are exchanged for a token. bearer: the password is"
                        " a token. d360: it is 360dialog's key.",
                        "schema": {"type": ["string", "null"], "default": "login"},
                    },
                    "sender": {
                        "label": "Sender",
                        "description": "The registered number, with its plus sign: the country of"
                        " numbers without one, and what results are filed under. The connection's id by default.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "daily_checks": {
                        "label": "Daily checks",
                        "description": "How many numbers may be asked about in a UTC day, by all tasks together:"
                        " fewer than the messages that are sent.",
                        "schema": {"type": ["integer", "null"], "default": 1000, "minimum": 1},
                    },
                    "timeout": TIMEOUT,
                    "verify": VERIFY,
                    "allow_http": {
                        "label": "Allow http://",
                        "description": "Send password and token unencrypted, to another machine than this one.",
                        "schema": {"type": ["boolean", "null"], "default": False},
                    },
                },
            },
        ],
    }
