"""The command line: exit codes, what goes to which stream, JSON for programs, no traceback for people."""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import seem_data
from seem_data.cli import app
from seem_data.common import terminal
from seem_data.layout import png
from seem_data.terminal import SHOWN
from tests.data.scenes import box, shapes_of, write_annotation, write_colors, write_scenes


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    return write_colors(tmp_path)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "ann", 5)


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def build(colors: Path, polys: Path, out: Path, *options: object) -> Result:
    return run("build", "--colors", colors, "--polys", polys, "--out", out, "--workers", 1, *options)


def test_a_good_build_is_0_and_says_what_to_type_next(colors: Path, scenes: Path, tmp_path: Path) -> None:
    result = build(colors, scenes, tmp_path / "out")
    assert result.exit_code == 0
    assert "5 images built" in result.stdout and f"seem-data report {tmp_path / 'out'}" in result.stdout
    for heading in ("split", "images", "segments", "sentences"):
        assert heading in result.stdout
    assert "Building 5 of 5" in result.stderr
    assert "\x1b" not in result.output, "no colours where no terminal is"


def test_a_build_that_leaves_something_out_is_1(colors: Path, scenes: Path, tmp_path: Path) -> None:
    write_annotation(scenes / "000.json", "000.jpg", [*shapes_of(0), box("cups", 1, 1, 9, 9)])
    result = build(colors, scenes, tmp_path / "out")
    assert result.exit_code == 1
    assert "error: unknown-label" in result.stderr and "Did you mean 'cup'?" in result.stderr


def test_bad_input_is_2_and_lists_everything(colors: Path, scenes: Path, tmp_path: Path) -> None:
    colors.write_text('{"cup": {"color": "#000", "isthing": true}, "pot": {"colour": "#fff"}}')
    result = build(colors, scenes, tmp_path / "out")
    assert result.exit_code == 2
    assert "black" in result.stderr and "colour" in result.stderr and result.stdout == ""


def test_what_to_type_next_can_be_typed(colors: Path, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "it's mine; $(touch hacked)"
    result = build(colors, scenes, out)
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("Next: ")]
    command = line.removeprefix("Next: ").partition("    (")[0]
    assert shlex.split(command)[1:] == ["report", str(out)]
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert (out / "report.html").is_file()
    assert not Path("hacked").exists()


def test_a_program_that_the_shell_does_not_find_is_told_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "my venv" / "bin"
    programs.mkdir(parents=True)
    program = programs / "seem-data"
    program.touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(programs / "python"))
    monkeypatch.setenv("PATH", os.devnull)
    assert terminal.typed("seem-data") == shlex.quote(str(program))
    assert terminal.typed("seem-train") == "seem-train", "which is not installed"
    monkeypatch.chdir(tmp_path)
    assert terminal.typed("seem-data") == "'my venv/bin/seem-data'"
    monkeypatch.setenv("PATH", str(programs))
    assert terminal.typed("seem-data") == "seem-data"


def test_bad_use_is_2(tmp_path: Path) -> None:
    assert run("build").exit_code == 2
    assert run("biuld").exit_code == 2
    assert run("validate", tmp_path / "nowhere").exit_code == 2
    assert run("export", tmp_path, "--to", "coco", "--out", tmp_path / "x").exit_code == 2


def test_bad_options_are_2_and_told_together(colors: Path, scenes: Path, tmp_path: Path) -> None:
    bad = ("--split", "train=2,val=0.5", "--min-area", -1, "--overlap", "upp", "--workers", 0)
    result = build(colors, scenes, tmp_path / "out", *bad)
    assert result.exit_code == 2 and not (tmp_path / "out").exists()
    for option in ("--split", "--min-area", "--overlap", "--workers"):
        assert option in result.stderr


def test_problems_are_shown_in_groups_twenty_at_most(colors: Path, scenes: Path, tmp_path: Path) -> None:
    many = [box(f"label{index}", 1, 1, 9, 9) for index in range(50)]
    write_annotation(scenes / "000.json", "000.jpg", many)
    (scenes / "001.json").write_text("{")
    result = build(colors, scenes, tmp_path / "out")
    shown = [line for line in result.stderr.splitlines() if line.startswith("  ") and "…" not in line]
    assert len(shown) == SHOWN
    assert "more like this" in result.stderr and "bad-json" in result.stderr
    assert f"are in {tmp_path / 'out' / 'problems.json'}" in result.stderr
    assert len(json.loads((tmp_path / "out" / "problems.json").read_text())) > 50


def test_json_is_all_there_is_on_standard_output(colors: Path, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = json.loads(build(colors, scenes, out, "--json").stdout)
    assert report["built"] == 5
    assert [problem["severity"] for problem in report["problems"]] == ["warning"], "a cup is hidden"
    assert json.loads(run("validate", out, "--json").stdout) == {"repaired": [], "problems": []}
    assert json.loads(run("stats", out, "--json").stdout)["splits"]["train"]["images"] == 4
    assert json.loads(run("report", out, "--json").stdout)["report"] == str(out / "report.html")
    assert "labelme" in [row["name"] for row in json.loads(run("formats", "--json").stdout)]
    exported = run("export", out, "--to", "detectron2", "--out", tmp_path / "d2", "--json")
    assert json.loads(exported.stdout)["out"] == str(tmp_path / "d2")
    failed = run("stats", tmp_path / "nowhere", "--json")
    assert failed.exit_code == 2
    assert json.loads(failed.stdout)["problems"][0]["code"] == "no-dataset"


def test_init_prints_a_colour_map_that_builds(scenes: Path, tmp_path: Path) -> None:
    result = run("init", scenes)
    assert result.exit_code == 0
    (tmp_path / "new.json").write_text(result.stdout)
    names = [category["name"] for category in json.loads(result.stdout)]
    assert names == ["cup", "plate", "table", "wall"]
    assert build(tmp_path / "new.json", scenes, tmp_path / "out").exit_code == 0


def test_validate_tells_and_fixes(colors: Path, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(colors, scenes, out)
    assert run("validate", out).exit_code == 0
    for path in out.glob("*/semantic/*.png"):
        path.unlink()
    found = run("validate", out)
    assert found.exit_code == 1 and "missing-semantic" in found.stderr
    fixed = run("validate", out, "--fix")
    assert fixed.exit_code == 0 and "is valid" in fixed.stdout and "repaired" in fixed.stdout


@pytest.mark.parametrize("command", ["stats", "report", "formats"])
def test_results_are_plain_lines_where_no_terminal_is(
    command: str, colors: Path, scenes: Path, tmp_path: Path
) -> None:
    build(colors, scenes, tmp_path / "out")
    result = run(command, *([] if command == "formats" else [tmp_path / "out"]))
    assert result.exit_code == 0 and result.stdout.strip()
    assert not set(result.stdout) & set("┃│━─\x1b")


def test_the_version_is_told() -> None:
    assert run("--version").stdout.strip() == f"seem-tools {seem_data.__version__}"


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    script = (
        "import sys; from seem_data.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'cv2', 'numpy', 'PIL', 'shapely', 'pycocotools', 'msgspec'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for command in ("build", "init", "validate", "stats", "report", "export", "formats"):
        assert f" {command} " in done.stdout


@pytest.mark.bench
def test_help_takes_less_than_half_a_second() -> None:
    def seconds() -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "seem_data", "--help"], check=True, capture_output=True)
        return time.perf_counter() - begin

    best = min(seconds() for _ in range(5))
    print(f"\nseem-data --help: {best:.2f} s")
    assert best < 0.5


@pytest.mark.parametrize(
    ("module", "content", "remedy"),
    [
        ("cv2", "raise ImportError('libGL.so.1: cannot open shared object file')", "opencv-python-headless"),
        ("panopticapi", "", "pip install --no-deps panopticapi-lite"),
    ],
)
def test_a_library_that_cannot_be_loaded_is_told_once_with_the_remedy(
    colors: Path, scenes: Path, tmp_path: Path, module: str, content: str, remedy: str
) -> None:
    for number in range(2):  # bitmaps take OpenCV to read
        painted = {**box("cup", 0, 0, 7, 5), "shape_type": "mask", "points": [[0, 0], [7, 5]]}
        painted["mask"] = base64.b64encode(png.encode(np.full((6, 8), 255, np.uint8))).decode()
        write_annotation(scenes / f"{number:03}.json", f"{number:03}.jpg", [painted])
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / f"{module}.py").write_text(content)
    command = [sys.executable, "-m", "seem_data", "build", "--colors", colors, "--polys", scenes]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "path")}
    result = subprocess.run(
        [*map(str, command), "--out", str(tmp_path / "out")], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert result.stderr.count(remedy) == 1 and not (tmp_path / "out" / "dataset.json").exists()
