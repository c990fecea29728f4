"""The contents and metadata of the wheel."""

import subprocess
import sys
from email.parser import Parser
from importlib.metadata import PathDistribution, version

import pytest

PACKAGE = "airflow_provider_wacontacts"


def files_under(folder, pattern="*"):
    return {str(path.relative_to(folder)) for path in folder.rglob(pattern) if path.is_file()}


@pytest.fixture(scope="module")
def dist_info(wheel):
    (folder,) = wheel.glob("*.dist-info")
    return folder


@pytest.fixture(scope="module")
def metadata(dist_info):
    return Parser().parsestr((dist_info / "METADATA").read_text())


def test_the_wheel_contains_only_the_package_and_its_examples(root, wheel, dist_info):
    package = {f"{PACKAGE}/{name}" for name in files_under(root / PACKAGE, "*.py")}
    examples = {f"{PACKAGE}/example_dags/{name}" for name in files_under(root / "dags", "*.py")}
    about = {f"{dist_info.name}/{n}" for n in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}

    templates = {f"{PACKAGE}/{name}" for name in files_under(root / PACKAGE, "templates/*")}
    assert files_under(wheel) == package | examples | about | templates | {f"{PACKAGE}/py.typed"}


def test_the_examples_are_a_package(wheel):
    assert (wheel / PACKAGE / "example_dags" / "__init__.py").is_file()


def test_the_wheel_adds_no_files_to_airflows_namespace(wheel, dist_info):
    assert {path.name for path in wheel.iterdir()} == {PACKAGE, dist_info.name}


def test_the_wheel_fits_every_platform(dist_info):
    assert "Tag: py3-none-any" in (dist_info / "WHEEL").read_text().splitlines()


def test_the_metadata_has_name_version_and_license(metadata):
    told = {
        name: metadata[name] for name in ("Name", "Version", "License-Expression", "License-File", "Requires-Python")
    }

    assert told == {
        "Name": "airflow-provider-wacontacts",
        "Version": version("airflow-provider-wacontacts"),
        "License-Expression": "Apache-2.0",
        "License-File": "LICENSE",
        "Requires-Python": ">=3.11",
    }


def test_the_metadata_has_the_packages_version(metadata):
    code = f"import {PACKAGE}; print({PACKAGE}.__version__)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()

    assert told == metadata["Version"]


def test_the_classifiers_name_python_versions_and_airflow(metadata):
    assert set(metadata.get_all("Classifier")) >= {
        "Framework :: Apache Airflow",
        "Framework :: Apache Airflow :: Provider",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Typing :: Typed",
    }


def test_the_extras_are_as_documented(metadata):
    assert sorted(metadata.get_all("Provides-Extra")) == [
        "dev",
        "docs",
        "fast",
        "iceberg",
        "parquet",
        "postgres",
        "receiver",
        "sandbox",
        "sqlite",
        "test",
    ]


def test_no_requirement_is_a_url(metadata):
    assert [need for need in metadata.get_all("Requires-Dist") if "@" in need or "://" in need] == []


def test_the_entry_points_resolve(dist_info):
    found = {(point.group, point.name): point.load() for point in PathDistribution(dist_info).entry_points}

    assert {key: (target.__module__, target.__name__) for key, target in found.items()} == {
        ("airflow.plugins", "wacontacts"): (f"{PACKAGE}.plugin.airflow_plugin", "WaContactsPlugin"),
        ("apache_airflow_provider", "provider_info"): (f"{PACKAGE}.get_provider_info", "get_provider_info"),
        ("console_scripts", "wacontacts"): (f"{PACKAGE}.cli", "main"),
    }
