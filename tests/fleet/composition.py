"""Reads docker-compose.yaml like Docker Compose, as far as the file needs. Other settings are refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["Service", "UnknownError", "dockerfile_copies", "read_services", "variables_of"]

#: What is understood of a service. `build`, `image` and `restart` tell Docker what this machine has of its own.
KNOWN = {
    *("build", "command", "depends_on", "deploy", "environment", "expose", "healthcheck", "image", "ports"),
    *("restart", "stop_grace_period", "user", "volumes"),
}
VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}|(?P<other>))")
COPY = re.compile(r"^COPY (?!--)(\S+) (/\S+)$", re.MULTILINE)


class UnknownError(ValueError):
    """The file has something that nobody here knows how to do."""


@dataclass(frozen=True)
class Service:
    """
    One service, with its variables put in.

    :ivar command: words, empty where the image's own is meant.
    :ivar ports: those in the container that others reach.
    :ivar published: the machine's port by the container's.
    :ivar volumes: what is mounted, by where it is mounted.
    :ivar check: the words of its health check, empty without one.
    :ivar after: conditions by the name of the service that it waits for.
    """

    name: str
    image: str
    command: tuple[str, ...]
    environment: dict[str, str]
    ports: tuple[int, ...]
    published: dict[int, int]
    volumes: dict[str, str]
    check: tuple[str, ...]
    after: dict[str, str]
    user: str
    replicas: int


def variables_of(path: Path) -> dict[str, str]:
    """Read a file of ``NAME=value`` lines."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def read_services(path: Path, variables: dict[str, str]) -> dict[str, Service]:
    """
    Read all services of a file.

    :raises UnknownError: a service has a member, or a text a variable, that is not understood here.
    :raises KeyError: a variable that has to be set is not.
    """
    file = _filled(yaml.safe_load(path.read_text()), variables)
    return {name: _service(name, members) for name, members in file["services"].items()}


def dockerfile_copies(path: Path) -> dict[str, str]:
    """Tell what a Dockerfile copies from here to an absolute path, by that path."""
    return {target: source for source, target in COPY.findall(path.read_text())}


def _service(name: str, members: dict[str, Any]) -> Service:
    if unknown := members.keys() - KNOWN:
        raise UnknownError(f"{name}: {', '.join(sorted(unknown))}")
    volumes = [volume.split(":") for volume in members.get("volumes", [])]
    published = [port.rsplit(":", 2) for port in members.get("ports", [])]
    return Service(
        name=name,
        image=members["image"],
        command=tuple(members.get("command", ())),
        environment={key: str(value) for key, value in members.get("environment", {}).items()},
        ports=tuple(map(int, [*members.get("expose", []), *(inside for _, _, inside in published)])),
        published={int(inside): int(outside) for _, outside, inside in published},
        volumes={target: source for source, target, *_ in volumes},
        check=_check(members.get("healthcheck")),
        after={other: wait["condition"] for other, wait in members.get("depends_on", {}).items()},
        user=members.get("user", ""),
        replicas=int(members.get("deploy", {}).get("replicas", 1)),
    )


def _check(healthcheck: dict[str, Any] | None) -> tuple[str, ...]:
    if healthcheck is None:
        return ()
    how, *words = healthcheck["test"]
    return {"CMD": tuple(words), "CMD-SHELL": ("sh", "-c", *words)}[how]


def _filled(value: Any, variables: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(member, variables) for key, member in value.items()}
    if isinstance(value, list):
        return [_filled(member, variables) for member in value]
    return VARIABLE.sub(lambda found: _value(found, variables), value) if isinstance(value, str) else value


def _value(found: re.Match[str], variables: dict[str, str]) -> str:
    if found["escaped"]:
        return "$"
    if found["name"] is None:
        raise UnknownError(f"a lone $ in {found.string!r}")
    given = variables.get(found["name"], "")
    if given or found["kind"] is None:
        return given
    if found["kind"] == "?":
        raise KeyError(f"{found['name']} {found['rest']}")
    return str(found["rest"])
