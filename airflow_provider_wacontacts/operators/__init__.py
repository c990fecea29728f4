"""The operators: each takes Airflow's context, runs a pipeline, and returns its summary."""
