"""Runs DAGs one after another, as ``airflow dags test`` does: ``python run_dags.py DAG_ID ...``."""

import sys

from airflow.cli.cli_parser import get_parser

for command in (["db", "migrate"], *(["dags", "test", dag_id] for dag_id in sys.argv[1:])):
    arguments = get_parser().parse_args(command)
    arguments.func(arguments)
