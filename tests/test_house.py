"""The house: who may import whom (contracts in pyproject.toml), how large a room, a file, a function is."""

from __future__ import annotations

import ast
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


def test_imports_are_absolute() -> None:
    relative = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in files()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative
