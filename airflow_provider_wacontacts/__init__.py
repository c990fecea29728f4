"""WhatsApp contacts for Apache Airflow: pulled on a schedule, every state that was seen kept."""

__all__ = ["__version__"]

__version__ = "0.1.0"
