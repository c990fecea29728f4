"""The tests on every Airflow that is supported, and on the oldest of everything."""
