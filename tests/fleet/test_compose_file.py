"""The contents of docker-compose.yaml, before services are started."""

import re
from pathlib import Path

import pytest
import yaml

from tests.fleet.composition import UnknownError, read_services, variables_of
from tests.fleet.deployment import ROOT

COMPOSE, EXAMPLE = ROOT / "docker-compose.yaml", ROOT / ".env.example"
SERVICES = {
    *("postgres", "redis", "sandbox", "receiver", "airflow-init", "airflow-apiserver", "airflow-scheduler"),
    *("airflow-dag-processor", "airflow-worker", "airflow-triggerer"),
}
#: Whoever runs DAGs, reads them or answers for them.
COMPONENTS = {name for name in SERVICES if name.startswith("airflow-")} - {"airflow-init"}


@pytest.fixture
def services(variables):
    return read_services(COMPOSE, variables)


def small(tmp_path, service):
    path = tmp_path / "docker-compose.yaml"
    path.write_text(yaml.safe_dump({"services": {"one": {"image": "x", **service}}}))
    return path


def test_the_file_has_the_expected_services(services):
    assert services.keys() == SERVICES


def test_two_workers_are_started_by_default(services):
    assert {name: service.replicas for name, service in services.items() if service.replicas > 1} == {
        "airflow-worker": 2
    }


def test_every_service_of_airflow_runs_the_image_with_the_package(services):
    built = yaml.safe_load(COMPOSE.read_text())["services"]
    assert {built[name].get("build") for name in [*COMPONENTS, "airflow-init", "receiver", "sandbox"]} == {"."}


def test_every_component_has_the_same_settings(services):
    settings = [services[name].environment for name in COMPONENTS]
    shared = {key: value for key, value in settings[0].items() if key.startswith("AIRFLOW__")}
    assert all(shared.items() <= each.items() for each in settings)
    keys = ("AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__API_AUTH__JWT_ISSUER", "AIRFLOW__CORE__FERNET_KEY")
    assert all(shared.get(key) for key in keys)


def test_every_component_has_the_folders_of_dags_plugins_and_config(services):
    for folder in ("dags", "plugins", "config"):
        assert {services[name].volumes[f"/opt/airflow/{folder}"] for name in COMPONENTS} == {f"./{folder}"}
        assert (ROOT / folder).is_dir()


def test_no_service_runs_as_root(services):
    assert {service.user for service in services.values()} == {"50000:0", "postgres", "redis"}


def test_every_running_service_has_a_health_check(services):
    assert [name for name, service in services.items() if not service.check] == ["airflow-init"]


def test_only_the_api_server_publishes_a_port_and_only_on_loopback(services):
    file = yaml.safe_load(COMPOSE.read_text())["services"]
    assert {name: file[name]["ports"] for name in file if "ports" in file[name]} == {
        "airflow-apiserver": ["127.0.0.1:${API_PORT:-8080}:8080"]
    }


def test_the_example_has_exactly_the_variables_of_the_file_except_the_image():
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", COMPOSE.read_text()))
    assert used - {"AIRFLOW_IMAGE"} == variables_of(EXAMPLE).keys()


def test_the_defaults_of_file_and_example_are_equal():
    defaults = dict(re.findall(r"(?<!\$)\$\{(\w+):-([^}]*)\}", COMPOSE.read_text()))
    example = variables_of(EXAMPLE)
    assert {name: value for name, value in defaults.items() if name != "AIRFLOW_IMAGE"} == {
        name: value for name, value in example.items() if value
    }


def test_every_secret_is_required_and_in_neither_file():
    secrets = [name for name, value in variables_of(EXAMPLE).items() if not value]
    needed = set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()))
    assert set(secrets) == needed


def test_the_script_generates_a_secret_for_each_empty_variable(variables):
    empty = [name for name, value in variables_of(EXAMPLE).items() if not value]
    made = [variables[name] for name in empty]
    assert all(re.fullmatch(r"[0-9a-f]{48}|[\w-]{43}=", secret) for secret in made)
    assert len(set(made)) == len(empty)


def test_a_missing_required_variable_is_an_error(variables):
    with pytest.raises(KeyError, match="JWT_SECRET is missing"):
        read_services(COMPOSE, variables | {"JWT_SECRET": ""})


@pytest.mark.parametrize(
    ("text", "value"),
    [("${A}", "1"), ("${B:-2}", "2"), ("${A:-2}", "1"), ("$${A}", "${A}"), ("x${A}y$$z", "x1y$z"), ("${B}", "")],
)
def test_variables_are_interpolated_like_compose_does(tmp_path, text, value):
    path = small(tmp_path, {"environment": {"VALUE": text}})
    assert read_services(path, {"A": "1"})["one"].environment == {"VALUE": value}


def test_unknown_settings_are_refused(tmp_path):
    with pytest.raises(UnknownError, match="privileged"):
        read_services(small(tmp_path, {"privileged": True}), {})
    with pytest.raises(UnknownError, match="lone"):
        read_services(small(tmp_path, {"environment": {"VALUE": "$A"}}), {})


def test_the_image_has_the_tested_airflow_version():
    (pinned,) = re.findall(r"^apache-airflow==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    dockerfile = Path(ROOT / "Dockerfile").read_text()
    assert re.findall(r"^ARG AIRFLOW_VERSION=(\S+)$", dockerfile, re.MULTILINE) == [pinned]
    assert f"airflow-wacontacts:{pinned}" in COMPOSE.read_text()
