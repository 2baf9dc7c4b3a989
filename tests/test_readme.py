"""What the README quotes is there: texts of errors in the code, files that it shows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def quoted() -> list[str]:
    table = README.split("## When something goes wrong")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


@pytest.fixture(scope="module")
def said() -> str:
    """All that is written in strings of the packages; a hole stands where a value goes in."""
    texts = []
    for file in [*(ROOT / "seem_data").rglob("*.py"), *(ROOT / "seem_train").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
                texts.append("".join(str(part) for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


@pytest.mark.parametrize("text", quoted())
def test_an_error_that_the_readme_explains_is_one_that_is_told(text: str, said: str) -> None:
    assert text.replace("categories.json", "{}") in said or text in said


def test_pictures_of_the_readme_are_there() -> None:
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert shown
    assert all((ROOT / file).is_file() for file in shown)


def test_links_of_the_readme_lead_somewhere_and_none_is_left_on_a_package_registrys_page() -> None:
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    relative = r"\]\((?!https?:|#)([^)]+)\)"
    assert all((ROOT / file).exists() for file in re.findall(relative, README))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    page = README
    for change in project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        page = re.sub(change["pattern"], change["replacement"], page)
    assert not re.findall(relative, page)
    assert "seem-tiny`, which comes with the package and" in page, "the words stay"
    assert page.count("](https://") == README.count("](https://")
