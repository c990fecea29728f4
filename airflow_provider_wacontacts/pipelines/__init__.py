"""The work itself, without Airflow. A pipeline gets all clients, stores and clocks as arguments."""
