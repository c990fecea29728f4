"""Operators: Airflow's context, a job, a summary."""
