"""Rules for the whole tree: sizes, docstrings, a light import, units, help, and what must never be in it."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

import pytest
import typer.main

import mapprobe
from mapprobe.cli.main import app
from mapprobe.recording.tables import census, schema
from support.toolchains import ROOT

SRC = ROOT / "src"
MODULES = sorted(SRC.rglob("*.py"))
TABLES = [value for module in (schema, census) for value in vars(module).values() if isinstance(value, schema.Table)]
COMMANDS = typer.main.get_command(app).commands

LONGEST_FILE = 400
LONGEST_FUNCTION = 50
MOST_PARAMETERS = 6
PACKAGES = sorted(path.parent.name for path in (SRC / "mapprobe").glob("*/__init__.py"))
HEAVY = {"bcc", "mapprobe._core", "numpy", "pandas", "pyarrow"}
PROMISED = ["MapprobeError", "Recording", "census", "doctor", "errors", "inspect", "open", "record"]
RETURN_PROBE = re.compile(rb"uretprobe|PROBE_RETURN|kretprobe")
SOMEONES_FOLDER = re.compile(rb"/(root|home)/")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def trees() -> dict[str, ast.Module]:
    return {str(path.relative_to(SRC)): ast.parse(path.read_text()) for path in MODULES}


def public(node: ast.AST, name: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield what a module or class offers by a name of its own, classes with their methods."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef) and not child.name.startswith("_"):
            yield f"{name}:{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{name}:{child.name}")


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_is_longer_than_a_sitting():
    lengths = {str(path.relative_to(SRC)): len(path.read_text().splitlines()) for path in MODULES}

    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_no_function_is_longer_than_a_screen():
    lengths = {
        f"{name}:{node.name}": node.end_lineno - node.lineno + 1
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, Function)
    }

    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}


def test_what_travels_together_is_one_parameter():
    functions = [
        (name, node)
        for name, tree in trees().items()
        if not name.startswith("mapprobe/cli/")  # options of a command
        for node in ast.walk(tree)
        if isinstance(node, Function)
    ]
    taken = {
        f"{name}:{node.name}": [a.arg for a in (*node.args.args, *node.args.kwonlyargs) if a.arg not in ("self", "cls")]
        for name, node in functions
    }

    assert {name: found for name, found in taken.items() if len(found) > MOST_PARAMETERS} == {}


@pytest.mark.parametrize("package", [*PACKAGES, "core"])
def test_tests_mirror_the_tree(package):
    """A file of tests bears the name of a module of its package; one of several files adds a subject."""
    folder, suffixes = (SRC / "core", ("*.c", "*.h")) if package == "core" else (SRC / "mapprobe" / package, ("*.py",))
    lost = []
    for path in (ROOT / "tests" / package).rglob("test_*.py"):
        home = folder / path.parent.relative_to(ROOT / "tests" / package)
        modules = {found.stem for suffix in suffixes for found in home.glob(suffix)}
        if not any(path.stem == f"test_{name}" or path.stem.startswith(f"test_{name}_") for name in modules):
            lost.append(str(path.relative_to(ROOT)))

    assert lost == []


def test_every_module_says_what_it_is_for():
    assert [name for name, tree in trees().items() if not ast.get_docstring(tree)] == []


def test_everything_public_says_what_it_is_for():
    offered = [found for name, tree in trees().items() for found in public(tree, name)]

    assert [name for name, node in offered if not ast.get_docstring(node)] == []


def test_import_is_light():
    program = "import sys, mapprobe; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert set() == HEAVY & set(done.stdout.split())


def test_the_package_offers_what_is_promised():
    assert sorted(PROMISED) == sorted(mapprobe.__all__)


@pytest.mark.parametrize("name", mapprobe.__all__)
def test_an_offered_name_is_there(name):
    assert hasattr(mapprobe, name)


def test_a_name_that_is_not_offered_is_not_there():
    assert not hasattr(mapprobe, "numpy")


def test_nothing_attaches_to_the_return_of_a_function():
    sources = [*MODULES, *(path for path in (ROOT / "probes").rglob("*") if path.is_file())]

    assert [str(path.relative_to(ROOT)) for path in sources if RETURN_PROBE.search(path.read_bytes())] == []


def test_no_tracked_file_knows_a_folder_of_ours():
    assert [name for name in tracked() if SOMEONES_FOLDER.search((ROOT / name).read_bytes())] == []


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_column_says_what_it_means(table):
    assert [column.name for column in table.columns if not column.doc] == []


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_column_named_for_its_unit_has_it(table):
    units = {column.name: column.unit for column in table.columns if column.name.endswith(("_ns", "_bytes"))}

    assert {name: name.rpartition("_")[2] for name in units} == units


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does(name):
    assert COMMANDS[name].help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_of_a_command_says_what_it_does(name):
    assert [parameter.name for parameter in COMMANDS[name].params if not parameter.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_in_the_readme(name):
    assert f"`mapprobe {name} " in (ROOT / "README.md").read_text()
