"""A real Airflow beside a stand-in of Turn.io, for the demo and for tests of whole runs."""
