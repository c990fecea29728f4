"""A real Airflow beside a mock server of Turn.io, for the demo and for tests of whole runs."""
