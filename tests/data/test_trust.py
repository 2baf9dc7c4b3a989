"""Of datasets and inputs of others nothing outside is touched, nothing hangs, nothing steers a terminal."""

from __future__ import annotations

import ast
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.table import Table
from typer.testing import CliRunner

import seem_data
from seem_data import files
from seem_data.building.journal import Journal
from seem_data.building.report import BuildReport
from seem_data.checking.repair import repair
from seem_data.checking.validate import validate
from seem_data.cli import app
from seem_data.common.terminal import plain
from seem_data.problems import DataError, Problem
from seem_data.terminal import show, show_problems
from tests.data.scenes import tree, write_annotation, write_colors, write_image, write_scenes


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    return write_colors(tmp_path)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "ann", 4)


@pytest.fixture
def out(colors: Path, scenes: Path, tmp_path: Path) -> Path:
    build(colors, scenes, tmp_path / "out")
    return tmp_path / "out"


def build(colors: Path, polys: Path, out: Path, **options: Any) -> BuildReport:
    return seem_data.build(colors, polys, out, **{"workers": 1, **options})


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def change(path: Path, edit: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


# Names lead nowhere else


@pytest.mark.parametrize(
    "name", ["../../../victim.jpg", "/etc/passwd", "..", "", "a/b.jpg", "C:x.jpg", "x" * 300]
)
def test_a_name_that_leads_outside_is_refused_by_every_command(out: Path, name: str, tmp_path: Path) -> None:
    change(out / "train" / "panoptic.json", lambda file: file["images"][0].update(file_name=name))
    for command in (["stats"], ["export", "--to", "coco", "--out", tmp_path / "x"]):
        code, said = run(*command[:1], out, *command[1:])
        assert code == 2 and "not a name within its folder" in said
    assert "unsafe-name" in {problem.code for problem in validate(out, workers=1)}


@pytest.mark.parametrize("field", ["file_name", "panoptic_name", "key"])
def test_a_journal_that_names_files_outside_is_not_believed(
    colors: Path, scenes: Path, out: Path, tmp_path: Path, field: str
) -> None:
    victim = tmp_path / "victim.images"
    victim.write_text("mine")
    names = {
        "file_name": "../../../victim.images",
        "panoptic_name": "../../../victim.images",
        "key": "../../../victim",
    }
    journal = out / ".build" / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    lines[0][field] = names[field]
    lines[0]["name"] = "long-gone.jpg"
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    build(colors, scenes, out)
    assert victim.read_text() == "mine"
    assert validate(out, workers=1) == []


@pytest.mark.parametrize("name", [".build", ".build/journal.jsonl"])
def test_a_journal_that_is_a_link_is_not_followed(
    colors: Path, scenes: Path, out: Path, tmp_path: Path, name: str
) -> None:
    (out / name).rename(tmp_path / "mine")
    before = (tmp_path / "mine").stat().st_size
    (out / name).symlink_to(tmp_path / "mine")
    with pytest.raises(DataError, match="is a link"):
        build(colors, scenes, out)
    assert (tmp_path / "mine").stat().st_size == before


def test_a_split_behind_a_link_is_neither_built_nor_repaired(
    colors: Path, scenes: Path, out: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (out / "train" / "images").rename(elsewhere)
    (elsewhere / "mine.jpg").write_text("mine")
    (out / "train" / "images").symlink_to(elsewhere)
    before = tree(elsewhere)
    with pytest.raises(DataError, match="is a link to another folder"):
        build(colors, scenes, out)
    repaired, left = repair(out, workers=1)
    assert not repaired and {"stray-file", "linked-folder"} <= {problem.code for problem in left}
    assert tree(elsewhere) == before


# What is too large, too deep or no file


@pytest.mark.parametrize("value", [1e8, 1e12, -1e9, 1e300])
def test_coordinates_far_outside_are_told(out: Path, value: float) -> None:
    def far(file: Any) -> None:
        file["annotations"][0]["segmentation"][0][2] = value

    change(out / "train" / "grounding.json", far)
    assert "bad-polygon" in {problem.code for problem in validate(out, workers=1)}


@pytest.mark.parametrize("command", ["stats", "validate", "report", "export"])
@pytest.mark.parametrize("file", ["train/panoptic.json", "categories.json", "train/grounding.json"])
def test_deep_nesting_is_told(out: Path, tmp_path: Path, command: str, file: str) -> None:
    (out / file).write_text('{"annotations":' + "[" * 100_000 + "]" * 100_000 + "}")
    more = ("--to", "coco", "--out", tmp_path / "x") if command == "export" else ()
    code, said = run(command, out, *more)
    assert code in (1, 2) and Path(file).name in said


@pytest.mark.parametrize("command", ["stats", "report", "validate"])
def test_a_category_that_is_not_listed_is_told(out: Path, command: str) -> None:
    change(out / "categories.json", lambda rows: rows.pop(0))
    code, said = run(command, out)
    assert code in (1, 2) and "categories.json does not list" in said


@pytest.mark.parametrize("name", ["000.jpg", "000.json"])
def test_a_named_pipe_is_told_and_the_others_are_built(
    colors: Path, scenes: Path, tmp_path: Path, name: str
) -> None:
    (scenes / name).unlink()
    os.mkfifo(scenes / name)
    report = build(colors, scenes, tmp_path / "out")
    assert report.built == 3


def test_the_bound_on_pixels_holds_and_can_be_raised(colors: Path, scenes: Path, tmp_path: Path) -> None:
    big = io.BytesIO()
    Image.new("L", (200, 100)).save(big, "PNG")
    (scenes / "big.png").write_bytes(big.getvalue())
    write_annotation(scenes / "big.json", "big.png", [])
    change(scenes / "big.json", lambda file: file.update(imageWidth=200, imageHeight=100))
    report = build(colors, scenes, tmp_path / "out", max_megapixels=0.01)
    (problem,) = [problem for problem in report.problems if problem.code == "image-too-large"]
    assert "--max-megapixels" in problem.remedy and report.built == 4
    assert build(colors, scenes, tmp_path / "out", max_megapixels=1).built == 5
    assert {"bad-photo", "bad-panoptic"} == {
        p.code for p in validate(tmp_path / "out", workers=1, max_megapixels=0.01)
    }
    with pytest.raises(DataError, match="--max-megapixels"):
        build(colors, scenes, tmp_path / "out", max_megapixels=1000)


@pytest.mark.parametrize("place", ["file/out", "x" * 300, "x" * 300 + "/out"])
def test_a_place_that_cannot_be_is_told_before_the_work(
    colors: Path, scenes: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("")
    code, said = run("build", "--colors", colors, "--polys", scenes, "--out", tmp_path / place)
    assert code == 2 and "bad-output" in said
    for command in ("validate", "stats", "report"):
        assert run(command, tmp_path / place)[0] == 2


# Terminal

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


def test_escapes_in_names_never_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = Table(title=ESCAPES)
    table.add_column(ESCAPES)
    table.add_row(f"[/b]{ESCAPES}")
    show(table)
    show_problems([Problem("x", ESCAPES, ESCAPES, f"a\nerror: {ESCAPES}.json")])
    said = "".join(capsys.readouterr())
    assert not set(said) & set(ESCAPES[0] + "\x07\x9b\u202e") and "[/b]" in said and "\\u001b" in said
    assert plain(ESCAPES) == "\\u001b]0;owned\\u0007\\u001b[2J\\u009b31m\\u202e"


def test_no_command_prints_escapes(tmp_path: Path) -> None:
    name = "cup\x1b[31m\x9b1m"
    colors = write_colors(tmp_path, {name: {"color": "#dc143c", "isthing": True}})
    write_image(tmp_path / "ann" / "a\x1b[2Jb.jpg")
    shape = {"label": name, "points": [[1, 1], [20, 1], [20, 20], [1, 20]], "shape_type": "polygon"}
    strange = {**shape, "label": "pot\x1b[5m"}
    write_annotation(tmp_path / "ann" / "a\x1b[2Jb.json", "a\x1b[2Jb.jpg", [shape, strange])
    out = tmp_path / "o\x1b[1mut"
    said = run("build", "--colors", colors, "--polys", tmp_path / "ann", "--out", out, "--split", "train=1")[
        1
    ]
    said += run("init", tmp_path / "ann")[1] + run("stats", out)[1] + run("stats", out, "--json")[1]
    said += run("validate", out)[1] + run("report", out)[1] + run("build", "--colors", out)[1]
    assert "cup" in said and not set(said) & {"\x1b", "\x9b"}


def test_everything_is_printed_by_the_terminal_module() -> None:
    root = Path(seem_data.__file__).parent
    for path in root.rglob("*.py"):
        calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
        names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        assert "print" not in names or path.name == "terminal.py", path


# Photos and what was built of them


def test_an_edit_in_place_changes_neither_dataset_nor_input(scenes: Path, out: Path) -> None:
    before = tree(out)
    photo = scenes / "001.jpg"
    with photo.open("r+b") as file:
        file.write(b"edited")
    assert tree(out) == before


def test_links_of_an_earlier_version_become_copies(colors: Path, scenes: Path, tmp_path: Path) -> None:
    build(colors, scenes, tmp_path / "out", link=True)
    before = tree(tmp_path / "out")
    assert build(colors, scenes, tmp_path / "out", link=True).kept == 4
    assert build(colors, scenes, tmp_path / "out").built == 4
    assert tree(tmp_path / "out") == before
    assert not any(path.samefile(scenes / path.name) for path in (tmp_path / "out").glob("*/images/*"))


def test_a_photo_shares_its_blocks_where_the_file_system_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def share(target: int, request: int, source: int) -> int:
        assert request == 0x40049409
        return os.write(target, os.pread(source, 100, 0))

    (tmp_path / "photo").write_bytes(b"pixels")
    monkeypatch.setattr(fcntl, "ioctl", share)
    files.copy(tmp_path / "photo", tmp_path / "placed", b"pixels")
    assert (tmp_path / "placed").read_bytes() == b"pixels"
    files.copy(tmp_path / "photo", tmp_path / "placed", b"what was read before")
    assert (tmp_path / "placed").read_bytes() == b"what was read before", "the photo has changed since"


def test_a_photo_replaced_with_equal_size_and_time_is_noticed_on_request(
    colors: Path, scenes: Path, out: Path
) -> None:
    photo = scenes / "001.jpg"
    status = photo.stat()
    photo.write_bytes(photo.read_bytes()[:-2][:-1] + b"\x00" + b"\xff\xd9")
    os.utime(photo, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert photo.stat().st_size == status.st_size
    assert build(colors, scenes, out).kept == 4
    report = build(colors, scenes, out, verify=True)
    assert (report.built, report.kept) == (1, 3)
    assert next(out.glob("*/images/001.jpg")).read_bytes() == photo.read_bytes()
    assert validate(out, workers=1) == []


@pytest.mark.parametrize("folder", ["panoptic", "semantic", "images"])
def test_flipped_bits_are_found_and_mended(colors: Path, scenes: Path, out: Path, folder: str) -> None:
    before = tree(out)
    victim = next(out.glob(f"train/{folder}/*"))
    data = bytearray(victim.read_bytes())
    for place in range(len(data) // 2, len(data), max(1, len(data) // 8)):
        data[place] ^= 1
        victim.write_bytes(data)
        assert validate(out, workers=1), place
        assert build(colors, scenes, out, verify=folder == "images").built == 1
        assert tree(out) == before
        data[place] ^= 1


def test_problems_name_an_input_where_it_lies_now(colors: Path, scenes: Path, tmp_path: Path) -> None:
    strange = {"label": "cups", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}
    write_annotation(scenes / "000.json", "000.jpg", [strange])
    build(colors, scenes, tmp_path / "out")
    moved = tmp_path / "moved"
    scenes.rename(moved)
    report = build(colors, moved, tmp_path / "out")
    assert report.kept == 4
    told = [problem.file for problem in report.problems if problem.code == "unknown-label"]
    assert told == [str(moved / "000.json")]
    assert str(scenes) not in (tmp_path / "out" / "problems.json").read_text()


def test_a_disk_that_is_full_when_the_journal_is_closed_is_told(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    journal = Journal(tmp_path / "out")
    journal._file.close()
    journal._file = Path("/dev/full").open("r+b", buffering=100)  # noqa: SIM115
    journal._file.write(b"x")
    with pytest.raises(files.OutputError, match="No space left"):
        journal.close()
    assert journal._lock.closed
    Journal(tmp_path / "out").close()


def test_half_a_build_of_the_version_before_goes_on(colors: Path, scenes: Path, out: Path) -> None:
    """Lines as they were before they told places, in the order they had then."""
    journal = out / ".build" / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        assert line.pop("places")
        line["sha256"] = line.pop("sha256")
    journal.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    (out / "dataset.json").unlink()
    before = tree(out)
    report = build(colors, scenes, out)
    assert (report.built, report.kept) == (0, 4)
    assert {name: data for name, data in tree(out).items() if name != "dataset.json"} == before


# Network


def test_nothing_here_opens_a_network_connection() -> None:
    """The code names no module that can, but for a Ray cluster at an address that the user gives."""
    able = {"socket", "ssl", "urllib.request", "http.client", "ftplib", "requests", "httpx", "asyncio"}
    root = Path(seem_data.__file__).parent
    found = {}
    for path in root.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
        names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        if used := names & able:
            found[path.relative_to(root).as_posix()] = used
    assert found == {"engines/ray.py": {"socket"}}


def test_no_command_connects_anywhere(colors: Path, scenes: Path, tmp_path: Path) -> None:
    calls: list[object] = []

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
            calls.append((event, arguments))

    watching = True
    sys.addaudithook(watch)  # cannot be taken back: it falls silent below
    try:
        build(colors, scenes, tmp_path / "out")
        for command in ("validate", "stats", "report"):
            assert run(command, tmp_path / "out")[0] == 0
        assert run("export", tmp_path / "out", "--to", "coco", "--out", tmp_path / "x")[0] == 0
        assert run("init", scenes)[0] == 0
    finally:
        watching = False
    assert not calls
