"""A category may be called background, and `init` and `build` say how it is spoken."""

from __future__ import annotations

from pathlib import Path

import pytest

from seem_data import build
from seem_data.names import heard_as, spoken_otherwise
from seem_data.problems import Problem
from seem_data.proposal import colour_map
from seem_data.readers import Input
from tests.data.scenes import write_colors, write_scenes


@pytest.mark.parametrize(
    "name", ["background", "Background", " BACKGROUND ", "background-other", "background-stuff"]
)
def test_what_sounds_like_no_object_is_told(name: str) -> None:
    assert heard_as(name) == "background"
    (note,) = spoken_otherwise(["wall", name])
    assert note.severity == "note" and repr(name) in note.message


def test_other_names_are_not_told() -> None:
    assert not list(spoken_otherwise(["wall", "background wall", "backgrounds", "back ground"]))


def test_init_and_build_tell_it(tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "ann", 2)
    colors = write_colors(tmp_path)
    for file in [*scenes.glob("*.json"), colors]:
        file.write_text(file.read_text().replace('"wall"', '"background"'), encoding="utf-8")
    problems: list[Problem] = []
    colour_map(Input(scenes, None), problems=problems)
    assert "background" in [problem.code for problem in problems]
    report = build(colors, scenes, tmp_path / "out", workers=1)
    assert [problem.code for problem in report.problems].count("background") == 1
