"""What Airflow's UI shows of a store: the page "WhatsApp contacts", and links from tasks to it."""
