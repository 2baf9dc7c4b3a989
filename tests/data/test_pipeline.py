"""Builds: what comes out, what is told, and what is refused before anything is written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

import seem_data
from seem_data.building.report import BuildReport
from seem_data.checking.validate import validate
from seem_data.layout import Dataset
from seem_data.problems import DataError, Problem
from seem_data.proposal import colour_map
from seem_data.readers import Input
from tests.data.scenes import (
    CATEGORIES,
    HEIGHT,
    WIDTH,
    box,
    shapes_of,
    tree,
    write_annotation,
    write_colors,
    write_image,
    write_scenes,
)


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    return write_colors(tmp_path)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "ann", 6)


def build(colors: Path, polys: Path, out: Path, **options: Any) -> BuildReport:
    return seem_data.build(colors, polys, out, **{"workers": 1, **options})


def codes(problems: list[Problem]) -> set[str]:
    return {problem.code for problem in problems}


# What comes out


def test_a_folder_of_labelme_files_becomes_a_valid_dataset(
    colors: Path, scenes: Path, tmp_path: Path
) -> None:
    report = build(colors, scenes, tmp_path / "out", split="train=4,val=2")
    assert {name: counts.images for name, counts in report.splits.items()} == {"train": 4, "val": 2}
    assert (report.built, report.kept, report.failed) == (6, 0, 0)
    assert validate(tmp_path / "out", workers=1) == []
    split = Dataset(tmp_path / "out").split("train")
    assert len(split) == 4
    for image in split.images:
        ids = split.id_map(image)
        assert ids.shape == (HEIGHT, WIDTH)
        for segment in image.segments:
            assert int((ids == segment.id).sum()) == segment.area
    raw = [sentence.raw for row in split.grounding() for sentence in row.sentences]
    assert "the big plate" in raw
    coco = COCO(str(tmp_path / "out" / "train" / "instances.json"))
    things = sum(CATEGORIES[coco.cats[a["category_id"]]["name"]]["isthing"] for a in coco.anns.values())
    assert things == len(coco.anns) == report.splits["train"].instances


def test_dataset_json_tells_options_and_counts_and_no_paths(
    colors: Path, scenes: Path, tmp_path: Path
) -> None:
    report = build(colors, scenes, tmp_path / "out", seed=3)
    text = (tmp_path / "out" / "dataset.json").read_text()
    info = json.loads(text)
    assert info["options"]["seed"] == 3 and info["options"]["format"] == "labelme"
    assert info["splits"]["train"]["images"] == report.splits["train"].images
    for name in ("train", "val"):
        assert info["splits"][name]["fingerprint"] == Dataset(tmp_path / "out").split(name).fingerprint()
    assert str(tmp_path) not in text


def test_the_same_input_gives_the_same_bytes_anywhere(colors: Path, scenes: Path, tmp_path: Path) -> None:
    build(colors, scenes, tmp_path / "here")
    build(colors, scenes, tmp_path / "there" / "deeper", workers=2, engine="pool")
    assert tree(tmp_path / "here") == tree(tmp_path / "there" / "deeper")


@pytest.mark.parametrize("link", [False, True])
def test_photos_are_copies_and_links_only_where_asked_for(
    colors: Path, scenes: Path, tmp_path: Path, link: bool
) -> None:
    build(colors, scenes, tmp_path / "out", link=link)
    placed = {path.name: path for path in (tmp_path / "out").glob("*/images/*")}
    assert placed and all(path.samefile(scenes / name) == link for name, path in placed.items())
    assert all(path.read_bytes() == (scenes / name).read_bytes() for name, path in placed.items())
    assert len(placed) == 6


def test_names_stay_apart(colors: Path, tmp_path: Path) -> None:
    polys = tmp_path / "ann"
    for number, name in enumerate(
        ("a.b.jpg", "kitchen/001.jpg", "garden/001.jpg", "c d.jpg", "é.png", "猫.webp")
    ):
        write_image(polys / name, seed=number)
        annotation = (polys / name).with_suffix(".json")
        write_annotation(annotation, Path(name).name, shapes_of(number))
    write_image(polys / "kitchen_001.png", seed=99)
    write_annotation(polys / "kitchen_001.json", "kitchen_001.png", shapes_of(1))
    report = build(colors, polys, tmp_path / "out", split="all=1")
    assert not report.has_errors
    images = sorted(path.name for path in (tmp_path / "out/all/images").iterdir())
    assert images == sorted(
        ("a.b.jpg", "kitchen_001.png", "garden_001.jpg", "c d.jpg", "é.png", "猫.webp", "kitchen_001-2.jpg")
    )
    pngs = {path.name for path in (tmp_path / "out/all/panoptic").iterdir()}
    assert pngs == {name.rsplit(".", 1)[0] + ".png" for name in images}
    assert validate(tmp_path / "out", workers=1) == []


def test_a_photo_with_an_exif_orientation_is_baked_upright(colors: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: 64×48 as stored is 48×64 upright
    write_image(tmp_path / "ann" / "a.jpg", exif=exif, quality=95)
    path = write_annotation(tmp_path / "ann" / "a.json", "a.jpg", [box("cup", 0, 0, HEIGHT, 32)])
    content = json.loads(path.read_text()) | {"imageWidth": HEIGHT, "imageHeight": WIDTH}
    path.write_text(json.dumps(content))
    build(colors, tmp_path / "ann", tmp_path / "out", split="all=1")
    with Image.open(tmp_path / "out/all/images/a.jpg") as photo:
        assert photo.size == (HEIGHT, WIDTH)
        assert photo.getexif().get(0x0112, 1) == 1
    assert Dataset(tmp_path / "out").split("all").images[0].segments[0].bbox == (0, 0, HEIGHT, 32)
    assert validate(tmp_path / "out", workers=1) == []


def test_an_embedded_photo_is_taken_out(colors: Path, scenes: Path, tmp_path: Path) -> None:
    import base64

    annotation = json.loads((scenes / "000.json").read_text())
    annotation["imageData"] = base64.b64encode((scenes / "000.jpg").read_bytes()).decode()
    photo = (scenes / "000.jpg").read_bytes()
    (scenes / "000.jpg").unlink()
    (scenes / "000.json").write_text(json.dumps(annotation))
    build(colors, scenes, tmp_path / "out", split="all=1")
    assert (tmp_path / "out/all/images/000.jpg").read_bytes() == photo


def test_polygons_are_drawn_over_painted_masks(colors: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "ann" / "a.png")
    write_annotation(tmp_path / "ann" / "a.json", "a.png", [box("cup", 10, 10, 20, 20)])
    painted = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    painted[:, :] = (0xA0, 0xA0, 0xA0)
    painted[30:] = (0x8C, 0x64, 0x28)
    (tmp_path / "masks").mkdir()
    Image.fromarray(painted).save(tmp_path / "masks" / "a.png")
    report = build(colors, tmp_path / "ann", tmp_path / "out", masks=tmp_path / "masks", split="all=1")
    assert report.problems == []
    areas = {s.category_id: s.area for s in Dataset(tmp_path / "out").split("all").images[0].segments}
    assert areas == {1: 100, 3: 18 * WIDTH, 4: 30 * WIDTH - 100}


@pytest.mark.parametrize("option", ["polys", "masks"])
@pytest.mark.parametrize("part", ["", "train"])
def test_a_dataset_is_input_again_with_the_annotator_s_sentences(
    colors: Path, scenes: Path, tmp_path: Path, option: str, part: str
) -> None:
    build(colors, scenes, tmp_path / "first")
    other = {
        name: {**values, "color": [50 + 9 * i, 0, 0]} for i, (name, values) in enumerate(CATEGORIES.items())
    }
    recoloured = write_colors(tmp_path / "other", other)
    source: dict[str, Any] = {option: tmp_path / "first" / part}
    report = seem_data.build(recoloured, out=tmp_path / "second", workers=1, split="train=1,val=1", **source)
    first, second = Dataset(tmp_path / "first"), Dataset(tmp_path / "second")
    assert not report.has_errors and not validate(second.root)
    assert {len(second.split(name)) for name in ("train", "val")} == ({2, 3} if part else {3})

    def segments(dataset: Dataset, names: list[str]) -> dict[str, tuple[Any, ...]]:
        found = {}
        for split in map(dataset.split, names):
            words = {(row.image_id, row.segment_id): row.sentences for row in split.grounding()}
            for image in split.images:
                photo = split.image_path(image).read_bytes()
                said = [(s.category_id, s.area, s.bbox, words.get((image.id, s.id))) for s in image.segments]
                found[image.file_name] = photo, split.semantic_path(image).read_bytes(), said
        return found

    assert segments(second, second.split_names) == segments(first, [part] if part else first.split_names)


def test_a_dataset_keeps_its_splits_and_gives_its_colour_map(colors: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path / "ann", 4)
    build(colors, tmp_path / "ann", tmp_path / "first", split="day=1,night=1")
    again = build(tmp_path / "first" / "categories.json", tmp_path / "first", tmp_path / "second")
    assert {name: counts.images for name, counts in again.splits.items()} == {"day": 2, "night": 2}
    categories = colour_map(Input(tmp_path / "first"))
    assert categories.as_coco() == Dataset(tmp_path / "first").categories.as_coco()


def test_sentences_from_a_file_reach_their_objects(colors: Path, scenes: Path, tmp_path: Path) -> None:
    sentences = tmp_path / "sentences.json"
    sentences.write_text(
        json.dumps({"001": {"cup#2": "my cup", "plate": ["the plate"]}, "002.jpg": {"spoon": ["?"]}, "x": {}})
    )
    report = build(colors, scenes, tmp_path / "out", sentences=sentences, generated=False)
    assert codes(report.problems) >= {"sentences-without-image", "sentence-without-object"}
    dataset = Dataset(tmp_path / "out")
    rows = [row for name in dataset.split_names for row in dataset.split(name).grounding()]
    said = {sentence.raw: row.category_id for row in rows for sentence in row.sentences}
    assert said == {"my cup": 1, "the plate": 2, "the big plate": 2}


def test_groups_of_names_stay_in_one_split(colors: Path, tmp_path: Path) -> None:
    polys = tmp_path / "ann"
    for video in range(5):
        write_scenes(polys, 4, prefix=f"video{video}_")
    build(colors, polys, tmp_path / "out", group_by=r"^video\d")
    names = {
        split: {p.name[:6] for p in (tmp_path / "out" / split / "images").iterdir()}
        for split in ("train", "val")
    }
    assert len(names["train"]) == 4 and len(names["val"]) == 1
    assert not names["train"] & names["val"]


def test_images_that_no_list_names_are_not_built(colors: Path, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("000\n001\n")
    (tmp_path / "val.txt").write_text("002\n")
    plan = f"train={tmp_path / 'train.txt'},val={tmp_path / 'val.txt'}"
    report = build(colors, scenes, tmp_path / "out", split=plan)
    assert report.built == 3
    assert "in-no-split" in codes(report.problems)


# What is told


def test_a_bad_image_is_left_out_and_told_and_the_rest_is_built(
    colors: Path, scenes: Path, tmp_path: Path
) -> None:
    (scenes / "000.json").write_text("{")
    (scenes / "001.jpg").write_bytes((scenes / "001.jpg").read_bytes()[:400])
    (scenes / "002.jpg").unlink()
    report = build(colors, scenes, tmp_path / "out")
    assert report.has_errors
    assert sum(counts.images for counts in report.splits.values()) == 3
    listed = json.loads((tmp_path / "out" / "problems.json").read_text())
    assert {problem["file"].rsplit("/", 1)[-1] for problem in listed} >= {"000.json", "001.jpg", "002.json"}
    assert validate(tmp_path / "out", workers=1) == []


def test_problems_of_unchanged_images_are_told_again(colors: Path, scenes: Path, tmp_path: Path) -> None:
    write_annotation(scenes / "000.json", "000.jpg", [*shapes_of(0), box("cupp", 1, 1, 9, 9)])
    first = build(colors, scenes, tmp_path / "out")
    again = build(colors, scenes, tmp_path / "out")
    assert again.kept == 6 and again.problems == first.problems
    assert "unknown-label" in codes(again.problems)


def test_an_unknown_label_is_told_with_a_suggestion_or_drawn_as_asked(
    colors: Path, scenes: Path, tmp_path: Path
) -> None:
    write_annotation(scenes / "000.json", "000.jpg", [*shapes_of(0), box("plat", 1, 1, 9, 9)])
    skipped = build(colors, scenes, tmp_path / "skip")
    (problem,) = [problem for problem in skipped.problems if problem.code == "unknown-label"]
    assert "Did you mean 'plate'?" in str(problem) and problem.where == f"shapes[{len(shapes_of(0))}]"
    drawn = build(colors, scenes, tmp_path / "draw", unknown="plate")
    assert not drawn.has_errors
    plates = [report.splits for report in (skipped, drawn)]
    assert sum(c.segments for c in plates[1].values()) == sum(c.segments for c in plates[0].values()) + 1
    with pytest.raises(DataError, match="plat"):
        build(colors, scenes, tmp_path / "error", unknown="error")
    assert not (tmp_path / "error").exists()


def test_a_category_that_a_split_lacks_is_told(colors: Path, scenes: Path, tmp_path: Path) -> None:
    write_annotation(scenes / "000.json", "000.jpg", [box("wall", 0, 0, 64, 48)])
    for index in range(1, 6):
        write_annotation(scenes / f"{index:03}.json", f"{index:03}.jpg", [box("table", 0, 0, 64, 48)])
    report = build(colors, scenes, tmp_path / "out")
    assert [p.message for p in report.problems if p.code == "absent-category"] == ["has no wall."]


def test_little_coverage_is_told(colors: Path, tmp_path: Path) -> None:
    polys = write_scenes(tmp_path / "ann", 2)
    write_annotation(polys / "000.json", "000.jpg", [box("cup", 0, 0, 8, 8)])
    assert "low-coverage" in codes(build(colors, polys, tmp_path / "out").problems)
    assert "low-coverage" not in codes(build(colors, polys, tmp_path / "out", min_coverage=0.0).problems)


def test_problems_of_a_file_for_many_images_name_the_image(colors: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "ann" / "a.png")
    size = {"width": WIDTH, "height": HEIGHT}
    coco = {
        "images": [{"id": 1, "file_name": "a.png", **size}],
        "categories": [{"id": 1, "name": "cpu"}],
        "annotations": [{"id": 7, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]}],
    }
    (tmp_path / "ann" / "instances.json").write_text(json.dumps(coco))
    for _ in ("built", "kept"):
        problems = build(colors, tmp_path / "ann", tmp_path / "out", split="all=1").problems
        places = {problem.code: problem.where for problem in problems}
        assert places == {"unknown-label": "image 'a.png', annotation 7", "low-coverage": "image 'a.png'"}


def test_a_fault_of_ours_costs_one_image(
    colors: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seem_data.building import one_image

    rasterize = one_image.rasterize

    def faulty(regions: Any, size: Any, categories: Any, options: Any, problems: Any, file: str) -> Any:
        if file.endswith("003.json"):
            raise RuntimeError("an accident")
        return rasterize(regions, size, categories, options, problems, file)

    monkeypatch.setattr(one_image, "rasterize", faulty)
    report = build(colors, scenes, tmp_path / "out")
    (problem,) = [problem for problem in report.problems if problem.code == "internal-error"]
    assert "an accident" in problem.message and problem.file.endswith("003.json")
    assert report.built == 5


# What is refused


def test_strict_leaves_nothing_behind(colors: Path, scenes: Path, tmp_path: Path) -> None:
    (scenes / "002.jpg").unlink()
    with pytest.raises(DataError, match="002"):
        build(colors, scenes, tmp_path / "out", strict=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "where"), [({"strict": True}, "--strict"), ({"unknown": "error"}, "--unknown")]
)
def test_a_refused_build_says_so_and_which_option_refused_it(
    colors: Path, scenes: Path, tmp_path: Path, option: dict[str, Any], where: str
) -> None:
    write_annotation(scenes / "000.json", "000.jpg", [*shapes_of(0), box("cups", 1, 1, 9, 9)])
    with pytest.raises(DataError) as error:
        build(colors, scenes, tmp_path / "out", **option)
    first = error.value.problems[0]
    assert (first.code, first.where) == ("nothing-built", where) and "1 error" in first.message
    assert codes(error.value.problems) >= {"unknown-label"}


def test_strict_leaves_an_earlier_dataset_as_it_was(colors: Path, scenes: Path, tmp_path: Path) -> None:
    build(colors, scenes, tmp_path / "out")
    before = tree(tmp_path / "out")
    (scenes / "002.json").write_text("{")
    write_annotation(scenes / "003.json", "003.jpg", [box("cup", 0, 0, 8, 8)])
    with pytest.raises(DataError):
        build(colors, scenes, tmp_path / "out", strict=True)
    assert tree(tmp_path / "out") == before


def test_nothing_good_is_nothing_built(colors: Path, tmp_path: Path) -> None:
    polys = write_scenes(tmp_path / "ann", 2)
    for photo in polys.glob("*.jpg"):
        photo.write_bytes(b"no photo")
    with pytest.raises(DataError) as error:
        build(colors, polys, tmp_path / "out")
    assert len(error.value.problems) == 2, "all problems at once"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("ann", "is the input"),
        ("ann/dataset", "lies inside the input"),
        (".", "contains the input"),
        ("ann/../ann/x", "lies inside the input"),
        ("link", "is the input"),
    ],
)
def test_output_and_input_must_be_apart(
    colors: Path, scenes: Path, tmp_path: Path, out: str, message: str
) -> None:
    (tmp_path / "link").symlink_to(scenes)
    before = tree(tmp_path)
    with pytest.raises(DataError, match=message):
        build(colors, scenes, tmp_path / out)
    assert tree(tmp_path) == before


def test_photos_of_a_dataset_beside_the_annotations_are_not_taken_for_the_input_s(
    colors: Path, tmp_path: Path
) -> None:
    """A file as input makes its folder the photos' one, and that is where people run the command."""
    for index in range(4):
        write_image(tmp_path / "images" / f"{index:03}.jpg", index)
        label = tmp_path / "labels" / f"{index:03}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    (tmp_path / "data.yaml").write_text("names: [cup]\n")
    for killed_at_the_end in (False, False, True):
        report = build(colors, tmp_path / "data.yaml", tmp_path / "dataset")
        assert report.built + report.kept == 4 and not report.has_errors
        if killed_at_the_end:
            (tmp_path / "dataset" / "dataset.json").unlink()
    assert report.kept == 4
    assert build(colors, tmp_path / "data.yaml", tmp_path / "other").built == 4


def test_a_folder_with_something_else_in_it_is_not_overwritten(
    colors: Path, scenes: Path, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").touch()
    with pytest.raises(DataError, match=r"holiday\.jpg"):
        build(colors, scenes, tmp_path / "photos")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be used"):
        build(colors, scenes, tmp_path / "file")


def test_a_loop_of_links_ends_in_a_sentence(colors: Path, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(DataError, match="no such file"):
        build(colors, tmp_path / "loop", tmp_path / "out")
    with pytest.raises(DataError, match="cannot be used"):
        build(colors, scenes, tmp_path / "loop")
    (scenes / "again").symlink_to(scenes)
    assert build(colors, scenes, tmp_path / "out").built == 6


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_that_cannot_be_written_ends_in_a_sentence(
    colors: Path, scenes: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o500)
    with pytest.raises(DataError, match="cannot be written"):
        build(colors, scenes, tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlap": "top"}, "--overlap: is 'top'.*small-on-top"),
        ({"min_area": -1}, "--min-area"),
        ({"group_by": "("}, "regular expression"),
        ({"split": "train=2,val=0.5"}, "--split"),
        ({"unknown": "cupp"}, "Did you mean 'cup'"),
        ({"unlabeled": "cup"}, "stuff"),
        ({"format": "labelmee"}, "--format"),
        ({"sead": 1}, "Did you mean 'seed'"),
        ({"engine": "pol"}, "Did you mean 'pool'"),
        ({"sentences": "/no/such.json"}, "--sentences|such.json"),
    ],
)
def test_bad_options_are_refused_with_the_remedy(
    colors: Path, scenes: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        build(colors, scenes, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_all_bad_options_and_paths_are_told_in_one_run(colors: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    bad = {
        "split": "train=2,val=0.5", "group_by": "(", "min_area": -1, "min_coverage": 2.0, "overlap": "top",
        "unknown": "cupp", "unlabeled": "cup", "format": "labelmee", "engine": "pol", "workers": 0,
        "sentences_per_segment": -1, "instances": "two", "sentences": tmp_path / "no.csv",
    }  # fmt: skip
    with pytest.raises(DataError) as error:
        build(colors, tmp_path / "nowhere", tmp_path / "loop", **bad)
    told = "\n".join(map(str, error.value.problems))
    for name in bad:
        assert f"--{name.replace('_', '-')}" in told or f"{bad[name]}:" in told, name
    assert "nowhere" in told and "loop" in told
    with pytest.raises(DataError, match=r"nowhere(.|\n)*no-colours\.json"):
        build(tmp_path / "no-colours.json", tmp_path / "nowhere", tmp_path / "out")


def test_no_input_at_all_is_refused(colors: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--polys"):
        seem_data.build(colors, out=tmp_path / "out")


def test_a_full_disk_stops_the_build_and_the_same_call_goes_on(
    colors: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from seem_data.building import one_image, spread

    write, written = one_image.write_atomically, []

    def fill(path: Path, data: bytes, *, synced: bool) -> None:
        written.append(path)
        if len(written) > 5:
            raise one_image.OutputError.of(OSError(errno.ENOSPC, "No space left on device"), path)
        write(path, data, synced=synced)

    with monkeypatch.context() as full:
        full.setattr(one_image, "write_atomically", fill)
        full.setattr(spread, "CHUNK", 1)
        with pytest.raises(DataError, match=r"No space left.*repeat the same command"):
            build(colors, scenes, tmp_path / "out")
    report = build(colors, scenes, tmp_path / "out")
    assert report.kept == 2 and report.built == 4
    build(colors, scenes, tmp_path / "fresh")
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")
