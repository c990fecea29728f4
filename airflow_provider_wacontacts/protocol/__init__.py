"""What the three systems say. Pure: no I/O, no clock, no Airflow, no logging."""
