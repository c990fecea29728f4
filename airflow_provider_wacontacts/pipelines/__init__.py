"""The work itself, without Airflow. A job gets all clients, stores and clocks as arguments."""
