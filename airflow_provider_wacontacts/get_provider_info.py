"""The provider's metadata for Airflow. Every Airflow process loads this module, so it imports nothing."""

__all__ = ["get_provider_info"]

DOCUMENTATION = "https://github.com/airflow-provider-wacontacts/airflow-provider-wacontacts/blob/main/docs"
GREEN_API = "GREEN-API"
STORE = "WhatsApp contacts store"
TURN = "Turn.io"
WHATSAPP_BUSINESS = "WhatsApp Business"

ACCOUNT = {
    "label": "Account",
    "description": "Name that contacts are stored under. Default: the connection ID.",
    "schema": {"type": ["string", "null"]},
}
TIMEOUT = {
    "label": "Timeout",
    "description": "Seconds to connect, and to wait for each part of a response. Default: 60.",
    "schema": {"type": ["integer", "null"], "default": 60, "minimum": 1},
}
VERIFY = {
    "label": "Verify TLS",
    "description": "true, false, or the path of a CA bundle. Default: true.",
    "schema": {
        "type": ["string", "null"],
        "default": "true",
        "examples": ["true", "false", "/etc/ssl/certs/ca-certificates.crt"],
    },
}
ALLOW_HTTP = {
    "label": "Allow http://",
    "description": "Allow unencrypted requests to other machines. They expose the token. Default: false.",
    "schema": {"type": ["boolean", "null"], "default": False},
}


def get_provider_info() -> dict[str, object]:
    """Return plain data, in the shape of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-wacontacts",
        "name": "WhatsApp contacts",
        "description": "Sync WhatsApp contacts into your own database or data lake, with their change history.",
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
                "external-doc-url": DOCUMENTATION + "/reference/store.md",
                "tags": ["software"],
            },
        ],
        "operators": [
            {"integration-name": TURN, "python-modules": ["airflow_provider_wacontacts.operators.turn"]},
            {
                "integration-name": GREEN_API,
                "python-modules": ["airflow_provider_wacontacts.operators.green_api"],
            },
            {
                "integration-name": WHATSAPP_BUSINESS,
                "python-modules": ["airflow_provider_wacontacts.operators.whatsapp_business"],
            },
            {
                "integration-name": STORE,
                "python-modules": ["airflow_provider_wacontacts.operators.store"],
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
            {"integration-name": STORE, "python-modules": ["airflow_provider_wacontacts.hooks.store"]},
        ],
        "triggers": [
            {"integration-name": TURN, "python-modules": ["airflow_provider_wacontacts.triggers.wait"]},
            {
                "integration-name": WHATSAPP_BUSINESS,
                "python-modules": ["airflow_provider_wacontacts.triggers.whatsapp_business"],
            },
        ],
        "extra-links": ["airflow_provider_wacontacts.plugin.links.StoreLink"],
        "plugins": [
            {
                "name": "wacontacts",
                "plugin-class": "airflow_provider_wacontacts.plugin.airflow_plugin.WaContactsPlugin",
            }
        ],
        "config": {
            "wacontacts": {
                "description": 'The page "WhatsApp contacts" in Airflow\'s UI, from Airflow 3.1 on.',
                "options": {
                    "store_conn_ids": {
                        "description": "Connections of the stores that the page shows, separated by commas. The first"
                        " one is shown first.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "wacontacts_store,contacts_of_sales",
                        "default": "wacontacts_store",
                    },
                    "show_people": {
                        "description": "Whether users who may edit the store's connection may search for a person on"
                        " the page. Each search is written to Airflow's audit log.",
                        "version_added": "0.1.0",
                        "type": "boolean",
                        "example": None,
                        "default": "False",
                    },
                },
            },
        },
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
                        "password": "from Turn.io: Settings, API & Webhooks",
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
                        "login": "e.g. 7103000000",
                        "password": "from the GREEN-API console",
                    },
                },
                "conn-fields": {
                    "account": ACCOUNT,
                    "daily_checks": {
                        "label": "Daily checks",
                        "description": "Maximum numbers checked per UTC day, across all tasks. Default: 1000.",
                        "schema": {"type": ["integer", "null"], "default": 1000, "minimum": 1},
                    },
                    "monthly_checks": {
                        "label": "Monthly checks",
                        "description": "Maximum numbers checked per month, across all tasks. Set it to the quota of"
                        " your plan. Default: 30000.",
                        "schema": {"type": ["integer", "null"], "default": 30000, "minimum": 1},
                    },
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
                        "host": "e.g. https://wa.example.org:9090",
                        "schema": "https",
                        "login": "empty with a token or a key",
                        "password": "the user's password, a token or a key",
                    },
                },
                "conn-fields": {
                    "auth": {
                        "label": "Authentication",
                        "description": "login: exchange user and password for a token. bearer: the password is a"
                        " token. d360: the password is a 360dialog API key. Default: login.",
                        "schema": {
                            "type": ["string", "null"],
                            "default": "login",
                            "enum": ["login", "bearer", "d360", None],
                        },
                    },
                    "sender": {
                        "label": "Sender",
                        "description": "Registered number with its plus sign. Results are stored under it, and its"
                        " country is the default region of numbers. Default: the connection ID.",
                        "schema": {"type": ["string", "null"], "examples": ["+12015550100"]},
                    },
                    "daily_checks": {
                        "label": "Daily checks",
                        "description": "Maximum numbers checked per UTC day, across all tasks. Set it below the"
                        " number of messages this sender sends per day. Default: 1000.",
                        "schema": {"type": ["integer", "null"], "default": 1000, "minimum": 1},
                    },
                    "wait_timeout": {
                        "label": "Wait time-out",
                        "description": "Seconds that a check with blocking=wait may wait for its results."
                        " Default: 600.",
                        "schema": {"type": ["integer", "null"], "default": 600, "minimum": 1},
                    },
                    "webhook_secret": {
                        "label": "Webhook secret",
                        "description": "Secret that the client signs webhook deliveries with, at least 16 bytes. Only"
                        " `wacontacts receiver` needs it. Default: none.",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "webhook_path": {
                        "label": "Webhook path",
                        "description": "For a client that signs nothing: random last part of the webhook's URL, at"
                        " least 32 letters and digits. Default: none.",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "webhook_header": {
                        "label": "Webhook header",
                        "description": "Header with the signature of a delivery. Default: X-Turn-Hook-Signature.",
                        "schema": {"type": ["string", "null"], "examples": ["X-Hub-Signature-256"]},
                    },
                    "webhook_algorithm": {
                        "label": "Webhook algorithm",
                        "description": "Hash function of the signature's HMAC. Default: sha256.",
                        "schema": {
                            "type": ["string", "null"],
                            "default": "sha256",
                            "enum": ["sha256", "sha512", "sha1", None],
                        },
                    },
                    "timeout": TIMEOUT,
                    "verify": VERIFY,
                    "allow_http": {
                        "label": "Allow http://",
                        "description": "Allow unencrypted requests to other machines. They expose password and"
                        " token. Default: false.",
                        "schema": {"type": ["boolean", "null"], "default": False},
                    },
                },
            },
            {
                "connection-type": "wacontacts_store",
                "hook-class-name": "airflow_provider_wacontacts.hooks.store.StoreHook",
                "hook-name": STORE,
                "ui-field-behaviour": {
                    "hidden-fields": [],
                    "relabeling": {"host": "Host or SQLite file", "schema": "Database"},
                    "placeholders": {
                        "host": "db.example.org, or /srv/airflow/contacts.db",
                        "port": "5432",
                        "schema": "PostgreSQL only",
                    },
                },
                "conn-fields": {
                    "table_schema": {
                        "label": "Table schema",
                        "description": "PostgreSQL schema of the tables, created if it is missing. Default: the first"
                        " schema of the search path.",
                        "schema": {"type": ["string", "null"], "examples": ["contacts"]},
                    },
                    "auto_upgrade": {
                        "label": "Automatic upgrade",
                        "description": "Let tasks create and upgrade the tables. Default: true.",
                        "schema": {"type": ["boolean", "null"], "default": True},
                    },
                    "file_mode": {
                        "label": "File mode",
                        "description": "Permissions of a new SQLite file, octal. Default: 0600, its owner only.",
                        "schema": {"type": ["string", "null"], "examples": ["0600", "0640"]},
                    },
                    "pseudonym_secret": {
                        "label": "Pseudonym secret",
                        "description": "Secret of pseudonyms and of the suppression list, at least 16 bytes. Never"
                        " change it. Default: none.",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                },
            },
        ],
    }
