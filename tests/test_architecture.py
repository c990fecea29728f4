"""The rooms of the package, and their allowed imports."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "airflow_provider_wacontacts"
MODULES = sorted((ROOT / PACKAGE).rglob("*.py"))
PROGRAMS = sorted(path for room in ("benchmarks", "dags", "demo", "tests") for path in (ROOT / room).rglob("*.py"))

# What a room may import of the others. Its own modules and the package's version it may always import.
VALUES = {"exceptions", "identifiers", "records"}
CORE = VALUES | {"clients", "store", "files", "pipelines"}
ROOMS = {
    "exceptions": set(),
    "get_provider_info": set(),
    "identifiers": {"exceptions"},
    "records": {"exceptions", "identifiers"},
    "clients": VALUES,
    "store": VALUES,
    "files": VALUES,
    "pipelines": VALUES | {"clients", "store", "files"},
    "hooks": VALUES | {"clients", "store", "files", "get_provider_info"},
    "assets": VALUES,
    "callbacks": CORE,
    "receiver": CORE | {"hooks"},
    "triggers": CORE | {"hooks"},
    "sensors": CORE | {"hooks", "operators", "triggers", "assets", "plugin"},
    "operators": CORE | {"hooks", "triggers", "assets", "plugin"},
    "plugin": CORE | {"hooks"},
    "sandbox": set(),
    "cli": CORE | {"hooks", "receiver", "sandbox"},
}
KNOWING_AIRFLOW = {"hooks", "operators", "sensors", "triggers", "plugin", "receiver", "assets", "cli"}
KNOWING_NOTHING = {"exceptions", "get_provider_info", "sandbox"}

# All that identifiers, records and clients' requests need computes, and touches nothing.
PURE = {
    *(
        "__future__",
        "base64",
        "bisect",
        "collections",
        "contextlib",
        "copy",
        "codecs",
        "dataclasses",
        "datetime",
        "decimal",
        "email",
        "enum",
    ),
    *("fractions", "functools", "hashlib", "heapq", "hmac", "itertools", "json", "math", "operator", "re", "string"),
    *("types", "typing", "unicodedata", "urllib.parse", "uuid", "zoneinfo", "msgspec", "phonenumbers", PACKAGE),
}


def offences(rule: Callable[[Path], object], paths: Iterable[Path]) -> dict[str, object]:
    """Return what a rule finds, by file; nothing where it is kept."""
    found = {str(path.relative_to(ROOT)): rule(path) for path in paths}
    return {path: offence for path, offence in found.items() if offence}


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@cache
def imports_of(path: Path, *, types: bool = True) -> set[str]:
    """
    Every name that a file imports, at its top or in a function.

    :param types: also for a type checker only.
    """
    tree, found = tree_of(path), set()
    if not types:
        tree = WithoutTypeChecking().visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


class WithoutTypeChecking(ast.NodeTransformer):
    """Drops what only a type checker reads."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse
        return self.generic_visit(node)


def in_rooms(*rooms: str) -> list[Path]:
    return [path for path in MODULES if room_of(name_of(path)) in rooms]


def test_every_room_has_a_rule():
    assert {room_of(name_of(path)) for path in MODULES} - {""} <= ROOMS.keys()


def test_imports_go_one_way():
    def forbidden(path):
        own = room_of(name_of(path))
        others = {room_of(name) for name in imports_of(path) if name.split(".")[0] == PACKAGE}
        version = {"__version__"} if own not in KNOWING_NOTHING else set()
        return others - {own} - version - ROOMS[own]

    assert offences(forbidden, (path for path in MODULES if path != ROOT / PACKAGE / "__init__.py")) == {}


def module_graph() -> dict[str, set[str]]:
    """Which module imports which, at its top or in a function."""
    known = {name_of(path) for path in MODULES}

    def module_of(name: str) -> str:
        return name if name in known else name.rpartition(".")[0]

    return {
        name_of(path): {module_of(name) for name in imports_of(path, types=False)} & known - {PACKAGE}
        for path in MODULES
    }


def test_there_are_no_circular_imports():
    circle: list[str] = []
    try:
        TopologicalSorter(module_graph()).prepare()
    except CycleError as error:
        circle = error.args[1]

    assert circle == []


def test_the_package_itself_imports_nothing():
    assert imports_of(ROOT / PACKAGE / "__init__.py") == set()


def test_only_rooms_of_tasks_import_airflow():
    def of_airflow(path):
        return {name for name in imports_of(path) if name.split(".")[0] == "airflow"}

    assert offences(of_airflow, in_rooms(*(ROOMS.keys() - KNOWING_AIRFLOW))) == {}


def test_values_import_only_pure_modules():
    def impure(path):
        return {name for name in imports_of(path) if not PURE & {name.split(".")[0], ".".join(name.split(".")[:2])}}

    assert offences(impure, in_rooms("identifiers", "records")) == {}


def test_values_use_no_clock_and_no_files():
    def impure(path):
        called = {
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Call)
        }
        return called & {"now", "utcnow", "today", "uuid1", "uuid4", "open", "print", "input"}

    assert offences(impure, in_rooms("identifiers", "records")) == {}


def test_modules_that_every_process_loads_import_nothing_heavy():
    def heavy(path):
        return {name.split(".")[0] for name in imports_of(path)} - {"__future__", "datetime"}

    assert offences(heavy, in_rooms("exceptions", "get_provider_info")) == {}


def test_no_module_or_class_has_a_vague_name():
    def empty_words(path):
        words = {word for part in path.relative_to(ROOT).with_suffix("").parts for word in part.split("_")}
        classes = (node.name for node in ast.walk(tree_of(path)) if isinstance(node, ast.ClassDef))
        words |= {word.lower() for name in classes for word in re.findall("[A-Z][a-z]+", name)}
        return words & {"util", "utils", "helper", "helpers", "common", "base", "misc"}

    assert offences(empty_words, [*MODULES, *PROGRAMS]) == {}


def test_no_file_has_more_than_400_lines():
    assert offences(lambda path: len(path.read_text().splitlines()) > 400, [*MODULES, *PROGRAMS]) == {}


def is_public(path: Path) -> bool:
    return not any(part.startswith("_") and part != "__init__" for part in name_of(path).split("."))


def public_names_of(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                return ast.literal_eval(value)
    return None


def test_every_public_module_has_a_valid_all():
    def missing(path):
        tree = tree_of(path)
        if all(isinstance(node, ast.Expr) for node in tree.body):
            return []
        names = public_names_of(tree)
        if names is None:
            return ["__all__"]
        module = importlib.import_module(name_of(path))
        return [name for name in names if not hasattr(module, name)]

    assert offences(missing, filter(is_public, MODULES)) == {}


def test_every_public_name_has_a_docstring():
    def undocumented(path):
        tree = tree_of(path)
        public = public_names_of(tree) or []
        return [
            node.name
            for node in tree.body
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name in public
            and not ast.get_docstring(node)
        ]

    assert offences(undocumented, filter(is_public, MODULES)) == {}


@pytest.mark.parametrize("path", in_rooms("triggers"), ids=name_of)
def test_a_trigger_imports_nothing_heavy(path):
    code = f"import sys, {name_of(path)}; print('loaded', *sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.splitlines()[-1].split())

    assert name_of(path) in loaded
    assert loaded & {"pandas", "phonenumbers", "pyarrow", f"{PACKAGE}.store"} == set()


class DigitsTakenFromText(ast.NodeVisitor):
    """Finds code that reduces text to digits, or to what is before an ``@``, as readers of identifiers do."""

    def __init__(self):
        self.lines: list[int] = []

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        is_cut = name in {"partition", "rpartition", "split", "removesuffix"} and any("@" in text for text in texts)
        is_reduced = name in {"sub", "subn", "findall", "finditer"} and any(
            re.search(r"\\D|\[\^\\d|\[\^0-9|^\\d\+?$|^\[0-9\]\+?$", text) for text in texts
        )
        if is_cut or is_reduced:
            self.lines.append(node.lineno)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        tested = [n for test in node.ifs for n in ast.walk(test) if isinstance(n, ast.Attribute)]
        if any(n.attr in {"isdigit", "isdecimal", "isnumeric"} for n in tested):
            self.lines.append(node.target.lineno)
        self.generic_visit(node)


DIGIT_READERS = {
    # The URL of a file, which may have a login; the parts of a version.
    f"{PACKAGE}.files.layout",
    f"{PACKAGE}.store.schema",
    # The domain stays behind a pseudonym.
    f"{PACKAGE}.records.pseudonyms",
}


def test_only_identifiers_extracts_digits_from_text():
    def lines(path):
        finder = DigitsTakenFromText()
        finder.visit(tree_of(path))
        return [] if name_of(path) in DIGIT_READERS else finder.lines

    rooms = ROOMS.keys() - {"identifiers", "sandbox"}
    assert offences(lines, in_rooms(*rooms)) == {}
