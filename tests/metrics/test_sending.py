"""Sending metrics: names, kinds and tags, and that errors never affect a task."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_wacontacts.hooks import metrics
from tests.statsd import StatsdServer, configure_stats

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text()
ROW = re.compile(r"^\| `wacontacts\.([a-z_.]+)` \| (counter|timer|gauge)(, ms)? \|", re.MULTILINE)
LETTERS = {"counter": "c", "timer": "ms", "gauge": "g"}
MAJOR, MINOR = map(int, version("apache-airflow").split(".")[:2])


def one(name: str) -> str:
    """Send one figure of a metric; give what its name ends with."""
    source, _, metric = name.partition(".")
    figure = timedelta(milliseconds=3) if metrics.KINDS[name] == "timer" else 3
    metrics.send(source, "a_connection", **{metric: figure})
    return ".a_connection" if metrics.KINDS[name] == "gauge" else ""


def test_the_page_lists_exactly_the_metrics_with_their_kinds() -> None:
    rows = ROW.findall(PAGE)

    assert {name: kind for name, kind, _ in rows} == metrics.KINDS
    assert [name for name, kind, unit in rows if (kind == "timer") != (unit == ", ms")] == []
    assert len(rows) == len(metrics.KINDS)


@pytest.mark.parametrize("name", metrics.KINDS)
def test_each_documented_metric_arrives_as_its_kind(statsd: StatsdServer, name: str) -> None:
    end = one(name)

    (datagram,) = statsd.datagrams()
    assert re.fullmatch(rf"airflow\.wacontacts\.{name}{end}:3(\.0+)?\|{LETTERS[metrics.KINDS[name]]}", datagram)


@pytest.fixture
def tagged(monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsdServer]:
    """A server that reads InfluxDB's tags, and a process that runs a task."""
    ti = SimpleNamespace(dag_id="contacts", task_id="pull")
    with StatsdServer() as server:
        for name, value in {**server.settings, "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True"}.items():
            monkeypatch.setenv(name, value)
        again = configure_stats(monkeypatch)
        stats = metrics._airflow()[0]
        monkeypatch.setattr(metrics, "_airflow", lambda: (stats, lambda: {"ti": ti}))
        yield server
        monkeypatch.undo()
        again()


def test_tags_are_source_and_task_and_for_gauges_the_connection(tagged: StatsdServer) -> None:
    metrics.send("turn", rows=2)
    metrics.send("whatsapp_business", "checks/of.+1 (two)", budget_left=7)

    own = "dag_id=contacts,task_id=pull"
    part = "checks_of__1__two_"
    assert tagged.datagrams() == [
        f"airflow.wacontacts.turn.rows,source=turn,{own}:2|c",
        f"airflow.wacontacts.whatsapp_business.budget_left.{part},source=whatsapp_business,{own},conn_id={part}:7|g",
    ]


def test_unknown_values_are_not_sent_and_zero_is(statsd: StatsdServer) -> None:
    metrics.send("turn", rows=0, new_versions=None)

    assert statsd.told() == {"turn.rows": 0}


@pytest.mark.parametrize("figures", [{"unheard_of": 1}, {"lateness": 1}], ids=["name", "kind"])
def test_a_metric_that_cannot_be_sent_raises_nothing(statsd: StatsdServer, figures: dict[str, Any]) -> None:
    metrics.send("turn", **figures)
    metrics.send("turn", rows=1)

    assert statsd.told()["turn.rows"] == 1


def test_an_error_of_the_client_is_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def incr(*given: object, **more: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(metrics, "_airflow", lambda: (SimpleNamespace(incr=incr), dict))

    metrics.send("turn", rows=1)


@pytest.mark.skipif((MAJOR, MINOR) < (3, 2), reason="before, Airflow is told of a collector in another way")
def test_metrics_arrive_at_an_opentelemetry_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *given: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AIRFLOW__METRICS__OTEL_ON", "True")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        code = (
            "import airflow.sdk; from datetime import timedelta;"
            "from airflow_provider_wacontacts.hooks.metrics import send;"
            "send('turn', rows=1, lateness=timedelta(1)); send('whatsapp_business', 'a', budget_left=1)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
        server.shutdown()

    names = {name.decode() for body in bodies for name in re.findall(rb"airflow\.wacontacts[a-z_.]+", body)}
    assert names == {f"airflow.wacontacts.{name}" for name in ("turn.rows", "turn.lateness")} | {
        "airflow.wacontacts.whatsapp_business.budget_left.a"
    }
