"""A stopped build goes on, one after changes does only those; the bytes are always a fresh build's."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import seem_data
from seem_data.building.report import BuildReport
from seem_data.checking.validate import validate
from seem_data.problems import DataError
from tests.data.scenes import box, shapes_of, tree, write_annotation, write_colors, write_image, write_scenes

RECORDED = Path(__file__).parents[1] / "recorded"


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    return write_colors(tmp_path)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "ann", 8)


def build(colors: Path, polys: Path, out: Path, **options: Any) -> BuildReport:
    return seem_data.build(colors, polys, out, **{"workers": 1, **options})


def counts(report: BuildReport) -> tuple[int, int, int]:
    return report.built, report.kept, report.failed


def assert_fresh(colors: Path, polys: Path, out: Path, **options: Any) -> None:
    """`out` is what a build from nothing makes."""
    fresh = out.with_name(f"{out.name}-fresh")
    build(colors, polys, fresh, **options)
    assert tree(out) == tree(fresh)
    assert validate(out, workers=1) == []


def test_nothing_changed_nothing_is_built(colors: Path, scenes: Path, tmp_path: Path) -> None:
    build(colors, scenes, tmp_path / "out")
    before = tree(tmp_path / "out")
    assert counts(build(colors, scenes, tmp_path / "out")) == (0, 8, 0)
    assert tree(tmp_path / "out") == before
    leftovers = {path.name for path in (tmp_path / "out" / ".build").iterdir()}
    assert leftovers == {"journal.jsonl", "lock"}


def test_only_what_changed_is_built(colors: Path, scenes: Path, tmp_path: Path) -> None:
    build(colors, scenes, tmp_path / "out")
    write_annotation(scenes / "002.json", "002.jpg", [*shapes_of(2), box("plate", 1, 30, 9, 40)])
    write_image(scenes / "004.jpg", seed=77, quality=90)
    assert counts(build(colors, scenes, tmp_path / "out")) == (2, 6, 0)
    assert_fresh(colors, scenes, tmp_path / "out")


def test_a_photo_that_was_only_touched_is_not_built_again(colors: Path, scenes: Path, tmp_path: Path) -> None:
    build(colors, scenes, tmp_path / "out")
    os.utime(scenes / "003.jpg", (1, 1))
    (scenes / "005.json").touch()
    assert counts(build(colors, scenes, tmp_path / "out")) == (0, 8, 0)


def test_new_images_join_and_removed_ones_disappear(colors: Path, scenes: Path, tmp_path: Path) -> None:
    build(colors, scenes, tmp_path / "out")
    for suffix in (".json", ".jpg"):
        (scenes / f"001{suffix}").unlink()
    write_scenes(scenes, 1, prefix="new")
    assert counts(build(colors, scenes, tmp_path / "out")) == (1, 7, 0)
    assert not list((tmp_path / "out").glob("*/*/001.*"))
    assert_fresh(colors, scenes, tmp_path / "out")


def test_an_image_that_became_bad_disappears(colors: Path, scenes: Path, tmp_path: Path) -> None:
    build(colors, scenes, tmp_path / "out")
    good = (scenes / "001.json").read_bytes()
    (scenes / "001.json").write_text("{")
    assert build(colors, scenes, tmp_path / "out").has_errors
    assert not list((tmp_path / "out").glob("*/*/001.*"))
    (scenes / "001.json").write_bytes(good)
    build(colors, scenes, tmp_path / "out")
    assert_fresh(colors, scenes, tmp_path / "out")


def test_another_split_moves_files_and_builds_none(colors: Path, scenes: Path, tmp_path: Path) -> None:
    build(colors, scenes, tmp_path / "out", split="train=4,val=4")
    report = build(colors, scenes, tmp_path / "out", split="train=2,test=6", seed=0)
    assert counts(report) == (0, 8, 0)
    assert not (tmp_path / "out" / "val").exists()
    assert_fresh(colors, scenes, tmp_path / "out", split="train=2,test=6")


def test_options_that_matter_build_everything_again(colors: Path, scenes: Path, tmp_path: Path) -> None:
    build(colors, scenes, tmp_path / "out")
    assert counts(build(colors, scenes, tmp_path / "out", min_area=30)) == (8, 0, 0)
    colors.write_text(colors.read_text().replace("#dc143c", "#dc1440"))
    assert counts(build(colors, scenes, tmp_path / "out", min_area=30)) == (8, 0, 0)
    assert_fresh(colors, scenes, tmp_path / "out", min_area=30)


def test_files_lost_from_the_dataset_are_made_again(colors: Path, scenes: Path, tmp_path: Path) -> None:
    build(colors, scenes, tmp_path / "out")
    next((tmp_path / "out/train/panoptic").iterdir()).unlink()
    semantic = next((tmp_path / "out/val/semantic").iterdir())
    semantic.write_bytes(semantic.read_bytes()[:20])
    assert counts(build(colors, scenes, tmp_path / "out")) == (2, 6, 0)
    assert_fresh(colors, scenes, tmp_path / "out")


def test_a_torn_or_foreign_journal_costs_only_work(colors: Path, scenes: Path, tmp_path: Path) -> None:
    build(colors, scenes, tmp_path / "out")
    journal = tmp_path / "out" / ".build" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + b'{"name": 3}\n' + b"".join(lines[2:-1]) + lines[-1][:50])
    assert counts(build(colors, scenes, tmp_path / "out")) == (2, 6, 0)
    assert_fresh(colors, scenes, tmp_path / "out")


def test_two_builds_of_one_dataset_do_not_mix(colors: Path, scenes: Path, tmp_path: Path) -> None:
    from seem_data.building.journal import Journal

    with closing(Journal(tmp_path / "out")), pytest.raises(DataError, match="another build"):
        build(colors, scenes, tmp_path / "out")
    assert not build(colors, scenes, tmp_path / "out").has_errors


_COMMAND = "from seem_data.__main__ import main; main()"


def _start(colors: Path, polys: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    options = ["--colors", colors, "--polys", polys, "--out", out, "--workers", workers, "--json"]
    command = [sys.executable, "-c", _COMMAND, "build", *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_random_moments_it_goes_on(colors: Path, tmp_path: Path, workers: int) -> None:
    polys = write_scenes(tmp_path / "ann", 400)
    begin = time.monotonic()
    process = _start(colors, polys, tmp_path / "fresh", workers)
    assert process.wait(300) == 0
    whole = time.monotonic() - begin
    draw = random.Random(workers)
    kills = 0
    for _ in range(10):
        process = _start(colors, polys, tmp_path / "out", workers)
        try:
            process.wait(draw.uniform(0.05, 0.8) * whole)
        except subprocess.TimeoutExpired:
            kills += 1
            how = draw.choice([signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
            os.killpg(process.pid, how) if how == signal.SIGINT else process.send_signal(how)
            process.wait(60)
        else:
            shutil.rmtree(tmp_path / "out")  # it was done before: kill another one
    assert kills >= 5
    assert _start(colors, polys, tmp_path / "out", workers).wait(300) == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")
    assert not list((tmp_path / "out").rglob("*.part"))


def test_killed_while_files_are_put_in_place_it_goes_on(
    colors: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every moment of the last step, one after another, after a first build with other splits."""
    from seem_data.building import assemble

    build(colors, scenes, tmp_path / "out", split="train=1,val=1", seed=5)
    write_annotation(scenes / "002.json", "002.jpg", [box("cup", 1, 30, 9, 40)])
    place = assemble._place
    moments = 0
    for moment in range(100):
        done = 0

        def dying(*arguments: Any) -> None:
            nonlocal done
            if done == moment:  # noqa: B023
                raise SystemExit
            done += 1
            place(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(assemble, "_place", dying)
            try:
                build(colors, scenes, tmp_path / "out", split="train=1,test=1", seed=moment)
            except SystemExit:
                moments += 1
                continue
        break
    assert moments == 8
    build(colors, scenes, tmp_path / "out", split="train=1,test=1")
    assert_fresh(colors, scenes, tmp_path / "out", split="train=1,test=1")


def test_an_input_changed_back_and_forth_between_kills_gives_the_right_files(
    colors: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seem_data.building import assemble

    build(colors, scenes, tmp_path / "out", split="train=1,val=1")
    first = (scenes / "002.json").read_bytes()
    remove = assemble._remove_files
    for step, content in enumerate([json.dumps({**json.loads(first), "shapes": []}).encode(), first, first]):
        (scenes / "002.json").write_bytes(content)
        with monkeypatch.context() as patch:
            if step < 2:
                patch.setattr(assemble, "_remove_files", _die)
                with pytest.raises(SystemExit):
                    build(colors, scenes, tmp_path / "out", split="train=1,val=1", seed=step)
            else:
                patch.setattr(assemble, "_remove_files", remove)
                build(colors, scenes, tmp_path / "out", split="train=1,val=1", seed=step)
    assert_fresh(colors, scenes, tmp_path / "out", split="train=1,val=1", seed=2)


def _die(*_: Any) -> None:
    raise SystemExit


def test_a_build_that_an_earlier_version_was_stopped_in_goes_on(tmp_path: Path) -> None:
    """Recorded by the version before the house was built (61cf733), stopped after three of six images."""
    half = Path(shutil.copytree(RECORDED / "half_built", tmp_path / "half"))
    (half / "out" / ".build" / "lock").touch()
    assert counts(build(half / "cats.json", half / "ann", half / "out")) == (3, 3, 0)
    build(half / "cats.json", half / "ann", half / "fresh")
    told = "problems.json"  # of kept images in the words of then
    kept, fresh = ({k: v for k, v in tree(half / name).items() if k != told} for name in ("out", "fresh"))
    assert kept == fresh
