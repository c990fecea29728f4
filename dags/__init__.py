"""DAGs to start from. Each is importable as it stands; copy one into a DAG folder and name your own connections."""
