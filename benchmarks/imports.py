"""What it costs to import the operators, where Airflow and the HTTP provider's hook are there already."""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
import tempfile
from statistics import median
from typing import Any

from benchmarks.server import ROOT
from benchmarks.tables import show

__all__ = ["run"]

PROGRAM = """
import airflow.sdk, airflow.providers.http.hooks.http
import json, sys, time
there, cpu, wall = set(sys.modules), time.process_time(), time.perf_counter()
import airflow_provider_wacontacts.operators.turn
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
new = sorted(set(sys.modules) - there)
print(json.dumps({"cpu_ms": cpu * 1000, "wall_ms": wall * 1000, "modules": new}))
"""


def run(runs: int) -> dict[str, Any]:
    """Import in fresh interpreters, byte-compiled, print the table, and return the figures."""
    compileall.compile_dir(ROOT / "airflow_provider_wacontacts", quiet=2)
    with tempfile.TemporaryDirectory(prefix="wacontacts-bench-home-") as home:
        _import(home)
        taken = [_import(home) for _ in range(runs)]
    cpu, wall = (median(took[name] for took in taken) for name in ("cpu_ms", "wall_ms"))
    modules = taken[0]["modules"]
    own = sum(name.startswith("airflow_provider_wacontacts") for name in modules)
    show(
        "Import of airflow_provider_wacontacts.operators.turn, on top of airflow.sdk and the HTTP provider's hook",
        ("", "runs", "CPU ms", "wall ms", "our modules", "others"),
        [("fresh interpreters", runs, cpu, wall, own, len(modules) - own)],
    )
    return {"runs": runs, "cpu_ms": cpu, "wall_ms": wall, "modules": modules}


def _import(home: str) -> dict[str, Any]:
    environment = os.environ | {"AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    took: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return took
