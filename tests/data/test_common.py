"""What both packages do in one way: colours, YAML, text for a terminal. (Files: test_files.py.)"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.table import Table

from seem_data.common.bounded_yaml import YamlError, load_yaml
from seem_data.common.colors import distinct_colors
from seem_data.common.console import PlainConsole
from seem_data.common.terminal import tell

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


@pytest.mark.parametrize("count", [1, 2, 30, 200, 1000])
def test_colours_differ_from_each_other_and_from_black(count: int) -> None:
    colors = distinct_colors(count)
    assert len(set(colors)) == count and (0, 0, 0) not in colors
    assert colors == distinct_colors(count + 5)[:count], "one more leaves the others' alone"


def test_the_first_colours_are_easy_to_tell_apart() -> None:
    colors = np.array([distinct_colors(20)], np.float32) / 255
    lab = cv2.cvtColor(colors, cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[~np.eye(20, dtype=bool)]
    assert apart.min() > 30  # a just noticeable difference is about 2.3


def test_colours_in_use_are_left_alone() -> None:
    first = distinct_colors(3)
    assert not set(first) & set(distinct_colors(10, taken=first))


def test_yaml_that_would_not_end_is_refused_in_a_line_that_says_where() -> None:
    repeats = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    repeats += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    with pytest.raises(YamlError, match="aliases repeat"):
        load_yaml("\n".join(repeats))
    with pytest.raises(YamlError, match="nested more than 30 deep"):
        load_yaml("[" * 10_000)
    with pytest.raises(YamlError, match="month must be in"):
        load_yaml("2020-13-45")
    with pytest.raises(YamlError, match="expected ',' or ']'") as error:
        load_yaml("a: 1\nb: [1\nc: 2")
    assert error.value.line == 3 and "\n" not in str(error.value)
    assert load_yaml("a: &a [1]\nb: *a") == {"a": [1], "b": [1]}


def test_what_steers_is_made_visible(capsys: pytest.CaptureFixture[str]) -> None:
    tell(f"a{ESCAPES}")
    table = Table(title=ESCAPES)
    table.add_column(f"[/b]{ESCAPES}")
    PlainConsole().print(table)
    said = capsys.readouterr().out
    assert not set(said) & set(ESCAPES[:1] + "\x07\x9b\u202e") and "\\u001b" in said and "[/b]" in said


def test_each_module_is_light_to_import() -> None:
    """Most of all for the command line: what is slow is loaded by who needs it."""
    folder = Path(sys.modules["seem_data.common"].__path__[0])
    names = sorted(path.stem for path in folder.glob("*.py") if path.stem not in ("__init__", "console"))
    script = "; ".join(f"import seem_data.common.{name}" for name in names)
    script += "; import sys; print(sorted({'cv2', 'yaml', 'rich', 'PIL', 'torch'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert names == ["bounded_yaml", "colors", "files", "terminal", "wording"] and done.stdout.strip() == "[]"
