"""DAGs to start from. Each is importable without changes; copy one into a DAG folder and name your own connections."""
