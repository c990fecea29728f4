"""WhatsApp contacts for Apache Airflow: synced on a schedule, with their change history."""

__all__ = ["__version__"]

__version__ = "0.1.0"
