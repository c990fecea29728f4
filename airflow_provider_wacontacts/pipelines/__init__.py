"""The work itself, without Airflow: whatever a job needs of the world is handed to it."""
