"""The house: who may import whom (contracts in pyproject.toml), how large a room, a file, a function is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
PACKAGES = ("seem_data", "seem_train")


def files() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def test_the_contracts_of_imports_are_kept(capsys) -> None:
    broken = lint_imports(config_filename=str(ROOT / "pyproject.toml"), is_debug_mode=False, no_cache=True)
    assert broken == 0, capsys.readouterr().out


def test_no_file_is_longer_than_400_lines() -> None:
    long = {str(f.relative_to(ROOT)): n for f in files() if (n := len(f.read_text().splitlines())) > 400}
    assert not long


def test_no_function_is_longer_than_80_lines() -> None:
    long = {}
    for file in files():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                lines = node.end_lineno - node.lineno + 1
                if lines > 80:
                    long[f"{file.relative_to(ROOT)}:{node.name}"] = lines
    assert not long


def test_no_room_but_that_of_the_readers_holds_more_than_16_modules() -> None:
    rooms = {file.parent for file in files()}
    full = {
        str(room.relative_to(ROOT)): count
        for room in rooms
        if room.name != "readers"
        and (count := len([f for f in room.glob("*.py") if f.stem != "__init__"])) > 16
    }
    assert not full


def test_the_tables_of_contributing_name_every_room_and_none_that_is_not_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tables = [part.split("\n\n")[0] for part in re.split(r"\| room[^|]*\| idea \|\n", text)[1:]]
    assert len(tables) == len(PACKAGES)
    for package, table in zip(PACKAGES, tables, strict=True):
        first = "".join(row.split("|")[1] for row in table.splitlines() if row.startswith("|"))
        named = {name.rstrip("/") for name in re.findall(r"`([^`]+)`", first)}
        there = {path.stem for path in (ROOT / package).iterdir() if path.is_dir() or path.suffix == ".py"}
        there = {name for name in there if not name.startswith("__")} - {"version"}
        assert named == there, package


def test_everything_is_printed_by_what_lets_nothing_steer_the_terminal() -> None:
    """But for the first words of `seem-train`, which may lack rich."""
    allowed = {"seem_data/common/terminal.py", "seem_data/common/console.py", "seem_train/__main__.py"}
    for file in files():
        calls = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))
        names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        assert str(file.relative_to(ROOT)) in allowed or not names & {"print", "Console"}, file


def test_imports_are_absolute() -> None:
    relative = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in files()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative


def test_any_stands_only_where_anything_is_meant() -> None:
    """JSON rows have types where they cross a function's border."""
    names = [
        node
        for file in files()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "Any"
    ]
    assert len(names) <= 100


def test_a_public_class_name_stands_in_one_file() -> None:
    places: dict[str, set[str]] = {}
    for file in files():
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, set()).add(str(file.relative_to(ROOT)))
    assert not {name: sorted(where) for name, where in places.items() if len(where) > 1}
