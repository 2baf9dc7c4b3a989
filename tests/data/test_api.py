"""The public functions: visible, with signatures, and doing what their examples say."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path

import pytest

import seem_data
from tests.data.scenes import write_colors, write_scenes

FUNCTIONS = ("init", "build", "validate", "stats", "report", "export")


def test_the_examples_of_the_public_functions_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this order: each works on what those before it made."""
    write_colors(tmp_path)
    write_scenes(tmp_path / "annotations", 4)
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner()
    for name in (*FUNCTIONS, "Dataset"):
        (example,) = doctest.DocTestFinder(recurse=False).find(getattr(seem_data, name), name)
        assert example.examples, name
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_have_complete_signatures(name: str) -> None:
    signature = inspect.signature(getattr(seem_data, name))
    kinds = [str(parameter.annotation) for parameter in signature.parameters.values()]
    kinds.append(str(signature.return_annotation))
    assert all(kind and "empty" not in kind and "Any" not in kind for kind in kinds)


def test_public_names_are_visible() -> None:
    assert {*FUNCTIONS, "Dataset", "__version__"} <= set(dir(seem_data))
    assert all(getattr(seem_data, name) is not None for name in seem_data.__all__)


def test_the_options_of_build_are_those_of_a_dataset() -> None:
    from dataclasses import fields

    from seem_data.building.options import BuildOptions, Options
    from seem_data.cli_options import BuildChoices

    assert list(BuildOptions.__annotations__) == [field.name for field in fields(Options)]
    defaults = {field.name: field.default for field in fields(BuildChoices)}
    assert all(defaults[field.name] == field.default for field in fields(Options))
    settings = set(inspect.signature(seem_data.build).parameters) - {"progress", "options"}
    assert set(defaults) == settings | set(BuildOptions.__annotations__)
