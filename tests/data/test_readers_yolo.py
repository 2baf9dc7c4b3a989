"""YOLO: fractions, boxes, splits told in many ways, and key points that are no outlines."""

from __future__ import annotations

from pathlib import Path

import pytest
from reading import area, codes, make_photo, read

from seem_data.problems import DataError
from seem_data.readers import Input, detect, get

YAML = "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: cup\n  1: plate\n"
TRIANGLE = "0 0.1 0.1 0.6 0.1 0.6 0.6"
#: Ten times ten times ten … names in a kilobyte.
REPEATS = "a0: &a0 [cup]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)
)
REPEATS += "names: *a29\n"


def yolo(folder: Path, *lines: str, yaml=YAML, photo="images/train/1.jpg") -> Path:
    make_photo(folder / photo)
    label = folder / photo.replace("images/", "labels/")
    label.parent.mkdir(parents=True, exist_ok=True)
    label.with_suffix(".txt").write_text("\n".join(lines) + "\n")
    (folder / "data.yaml").write_text(yaml)
    (folder / "images" / "val").mkdir(parents=True, exist_ok=True)
    return folder


def only(folder):
    annotations, problems = read("yolo", folder)
    (annotation,) = annotations.values()
    return annotation, problems


def test_fractions_become_pixels(tmp_path):
    yolo(tmp_path, TRIANGLE, "", "1.0 0 0 1 0 1 1 0 1")
    annotation, problems = only(tmp_path)
    triangle, plate = annotation.regions
    assert triangle.parts[0].outer.tolist() == [[4, 3], [24, 3], [24, 18]]
    assert (plate.label, area(plate)) == ("plate", 1200)
    assert annotation.split == "train" and annotation.exif == "applied" and not problems


def test_fractions_are_of_the_upright_photo(tmp_path):
    from PIL import Image

    yolo(tmp_path, TRIANGLE)
    exif = Image.Exif()
    exif[0x0112] = 6
    make_photo(tmp_path / "images/train/1.jpg", (40, 30), exif=exif)
    assert only(tmp_path)[0].regions[0].parts[0].outer.tolist() == [[3, 4], [18, 4], [18, 24]]


def test_boxes_are_rectangles_with_a_note(tmp_path):
    yolo(tmp_path, "0 0.5 0.5 0.5 0.2", "0 0.5 0.5 0.25 0.1", TRIANGLE)
    annotation, (problem,) = only(tmp_path)
    assert [area(region) for region in annotation.regions] == pytest.approx([120, 30, 150])
    assert problem.severity == "note" and "2 upright" in problem.message


@pytest.mark.parametrize(
    "names", ["names: [cup, plate]", "names: {0: cup, 1: plate}", "nc: 2\n'names': ['cup']"]
)
def test_names_are_a_list_or_a_dictionary(tmp_path, names):
    yolo(tmp_path, TRIANGLE, yaml=f"train: images/train\n{names}\n")
    assert detect(tmp_path).name == "yolo"
    assert only(tmp_path)[0].regions[0].label == "cup"


@pytest.mark.parametrize(
    "train",
    ["images/train", "../images/train", "[images/train]", "images/train/1.jpg", "list.txt", "./images/"],
)
def test_a_split_is_a_folder_a_photo_or_a_list(tmp_path, train):
    yolo(tmp_path, TRIANGLE, yaml=f"train: {train}\nnames: [cup]")
    (tmp_path / "list.txt").write_text("./images/train/1.jpg\n\n")
    annotations, problems = read("yolo", tmp_path / "data.yaml")
    assert {name: a.split for name, a in annotations.items()} == {"images/train/1.jpg": "train"}
    assert not problems


def test_without_splits_every_photo_is_read(tmp_path):
    yolo(tmp_path, TRIANGLE, yaml="names: [cup]")
    make_photo(tmp_path / "images/val/2.png")
    annotations, problems = read("yolo", tmp_path)
    assert {name: (a.split, len(a.regions)) for name, a in annotations.items()} == {
        "images/train/1.jpg": ("train", 1),
        "images/val/2.png": ("val", 0),
    }
    assert not problems


def test_the_label_file_belongs_to_what_is_hashed(tmp_path):
    yolo(tmp_path, TRIANGLE)
    (item,) = get("yolo").scan(Input(tmp_path), [])
    assert item.files == (tmp_path / "labels/train/1.txt",)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("7 0.1 0.1 0.6 0.1 0.6 0.6", "unknown-class"),
        ("cup 0.1 0.1 0.6 0.1 0.6 0.6", "unknown-class"),
        ("0 0.1 0.1 0.6 0.1", "no-area-box"),
        ("0 10 10 60 10 60 60", "not-fractions"),
        ("0 0.1 0.1 0.6 0.1 0.6", "bad-line"),
        ("0", "bad-line"),
        ("0 a b c d e f", "bad-line"),
        ("0 0.1 0.1 0.6 0.1 nan 0.6", "not-finite"),
        ("0 0.1 0.1 0.6 0.1 inf 0.6", "not-fractions"),
        ("0 0.1 0.1 0.1 0.1 0.1 0.1", "too-few-points"),
    ],
)
def test_a_bad_line_costs_that_line(tmp_path, line, code):
    yolo(tmp_path, TRIANGLE, line, TRIANGLE)
    annotation, problems = only(tmp_path)
    if code == "no-area-box":  # four numbers are a box, here of 0.6 × 0.1
        assert len(annotation.regions) == 3
        return
    (problem,) = problems
    assert len(annotation.regions) == 2
    assert problem.code == code and problem.where == "line 2" and problem.file.endswith("1.txt")


@pytest.mark.parametrize(
    ("yaml", "code"),
    [
        (YAML + "kpt_shape: [3, 2]\n", "pose"),
        ("names: []\n", "no-names"),
        ("names: 5\n", "no-names"),
        ("names: [a\n", "bad-yaml"),
        ("- names: a\n- b", "no-names"),
        ("names: !!python/object/apply:os.system ['true']", "bad-yaml"),
        ("names: [a]\nday: 2020-13-45", "bad-yaml"),
        (REPEATS, "bad-yaml"),
        (REPEATS.replace("[", "{<<: [").replace("]", "]}"), "bad-yaml"),
        ("names: &names [*names]", "bad-yaml"),
        ("names: " + "[" * 10_000 + "]" * 10_000, "bad-yaml"),
        ("names: " + "{a: " * 10_000 + "}" * 10_000, "bad-yaml"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path, yaml, code):
    yolo(tmp_path, TRIANGLE, yaml=yaml)
    with pytest.raises(DataError) as caught:
        read("yolo", tmp_path)
    assert codes(caught.value.problems) == [code]


def test_aliases_are_read_where_they_end(tmp_path):
    yolo(tmp_path, TRIANGLE, yaml="all: &all [cup, plate]\nnames: *all\ntrain: images/train\n")
    annotation, problems = only(tmp_path)
    assert annotation.regions[0].label == "cup" and not problems


@pytest.mark.parametrize("train", ["../secret", "/etc", "nowhere", "C:\\pictures"])
def test_splits_that_lead_nowhere_or_outside(tmp_path, train):
    make_photo(tmp_path / "secret" / "1.jpg")
    yolo(tmp_path / "yolo", TRIANGLE, yaml=f"train: {train}\nnames: [cup]")
    annotations, (problem, lost) = read("yolo", tmp_path / "yolo")
    assert lost.code == "missing-image" and lost.file.endswith("1.txt")
    assert not annotations and problem.code == "missing-folder" and problem.where == "train[0]"


def test_real_folders(shared_real):
    folder = shared_real / "datumaro/yolo_dataset"
    for name in ("yolov8_segmentation", "yolov8_oriented_boxes"):
        annotations, problems = read("yolo", folder / name)
        (annotation,) = annotations.values()
        assert [region.label for region in annotation.regions] == ["label_2", "label_4"]
        assert codes(problems) == (["oriented-boxes"] if "oriented" in name else [])
    for name in ("yolo", "yolov8_detection", "yolov8_detection_with_list_of_imgs",
                 "yolov8_detection_with_list_of_names", "yolov8_detection_with_subset_txt"):  # fmt: skip
        assert detect(folder / name).name == "yolo"
        annotations, problems = read("yolo", folder / name)
        (annotation,) = annotations.values()
        assert [area(region) for region in annotation.regions] == pytest.approx([8, 6], rel=1e-4)
        assert annotation.split == "train" and codes(problems) == ["boxes"]
    for name in ("yolov8_pose", "yolov8_pose_two_values_per_point"):
        with pytest.raises(DataError, match="key points"):
            read("yolo", folder / name)


def test_photos_elsewhere_and_linked_folders(tmp_path):
    yolo(tmp_path / "yolo", TRIANGLE)
    (tmp_path / "yolo/images").rename(tmp_path / "photos")
    annotations, problems = read("yolo", tmp_path / "yolo", tmp_path / "photos")
    assert {name: (a.split, len(a.regions)) for name, a in annotations.items()} == {
        "train/1.jpg": ("train", 1)
    }
    (tmp_path / "yolo/images").symlink_to(tmp_path / "photos", target_is_directory=True)
    annotations, more = read("yolo", tmp_path / "yolo")
    assert list(annotations) == ["images/train/1.jpg"] and not problems and not more


@pytest.mark.parametrize(
    "place", ["classes.txt", "labels/classes.txt", "obj.names", "labels/obj.names", "_darknet.labels"]
)
def test_a_list_of_names_does_without_a_yaml(tmp_path, place):
    make_photo(tmp_path / "images" / "1.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "1.txt").write_text(TRIANGLE)
    (tmp_path / place).write_text("cup\nplate\n")
    for polys in (tmp_path, tmp_path / "labels"):
        assert detect(polys).name == "yolo"
        annotation, problems = only(polys)
        assert [region.label for region in annotation.regions] == ["cup"] and not problems


def test_a_list_of_names_alone_is_no_yolo(tmp_path):
    (tmp_path / "classes.txt").write_text("cup\n")
    (tmp_path / "notes.txt").write_text("10 photos of cups\n")
    assert not get("yolo").recognises(tmp_path)


@pytest.mark.parametrize(
    "yaml",
    [
        "path: /content/datasets/pets\ntrain: /content/datasets/pets/images/train\nnames: [cup]",
        "path: /content/datasets/pets\ntrain: images/train\nnames: [cup]",
        "train: C:\\\\work\\\\pets\\\\images\\\\train\nnames: [cup]",
        "path: {here}\ntrain: {here}/images/train\nnames: [cup]",
    ],
)
def test_paths_of_other_machines_and_absolute_ones_are_found(tmp_path, yaml, monkeypatch):
    yolo(tmp_path / "pets", TRIANGLE, yaml=yaml.replace("{here}", str(tmp_path / "pets")))
    monkeypatch.chdir(tmp_path)
    annotations, problems = read("yolo", Path("pets"))
    assert list(annotations) == ["images/train/1.jpg"] and not problems


def test_lists_of_photos_of_other_machines_are_found(tmp_path):
    yolo(tmp_path, TRIANGLE, yaml="train: train.txt\nnames: [cup]")
    make_photo(tmp_path / "images" / "val" / "1.jpg")
    (tmp_path / "train.txt").write_text("/content/pets/images/train/1.jpg\n")
    annotations, problems = read("yolo", tmp_path)
    assert list(annotations) == ["images/train/1.jpg"] and not problems


def test_oriented_boxes_are_told_once_and_labels_without_photo_too(tmp_path):
    yolo(tmp_path, "0 0.1 0.1 0.6 0.1 0.6 0.6 0.1 0.6")
    yolo(tmp_path, "1 0.1 0.1 0.6 0.1 0.6 0.6 0.1 0.6", photo="images/train/2.jpg")
    yolo(tmp_path, "1 0.5 0.5 0.2 0.2", photo="images/train/4.jpg")
    yolo(tmp_path, TRIANGLE, photo="images/train/3.jpg")
    (tmp_path / "images" / "train" / "3.jpg").unlink()
    annotations, problems = read("yolo", tmp_path)
    told = [(problem.code, problem.severity) for problem in problems]
    assert len(annotations) == 3
    assert sorted(told) == [("boxes", "note"), ("missing-image", "error"), ("oriented-boxes", "note")]
    assert any(problem.file.endswith("3.txt") for problem in problems)
