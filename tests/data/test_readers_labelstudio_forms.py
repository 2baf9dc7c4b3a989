"""Label Studio's tasks as rows (JSON-MIN), by annotation (synchronised to a storage), and single."""

from __future__ import annotations

import pytest
from reading import codes, make_photo, read, write_json
from test_readers_labelstudio import SQUARE, export, labels_by_photo, result, task

from seem_data.readers import detect


def test_json_min_is_read(tmp_path):
    make_photo(tmp_path / "a.jpg")
    sizes = {"original_width": 40, "original_height": 30}
    shapes = [{**SQUARE, "polygonlabels": ["cup"], **sizes}]
    row = {"image": "/data/upload/1/a.jpg", "id": 1, "label": shapes, "annotator": 3, "annotation_id": 7}
    parted = {**row, "label": [{**SQUARE, "labels": ["cup"], **sizes}], "poly": [{**SQUARE, **sizes}]}
    for rows in ([row], row, [parted]):
        write_json(tmp_path / "export.json", rows)
        assert detect(tmp_path).name == "labelstudio"
        assert labels_by_photo(tmp_path) == {"a.jpg": ["cup"]}


@pytest.mark.parametrize(
    ("keys", "controls", "on"),
    [
        (("image1", "image2"), ("brush1", "brush2"), "'brush1' is on image1, 'brush2' is on image2"),
        (("left", "right"), ("label_left", "label_right"), "'label_left' is on left, 'label_right' is on"),
        (("image", "image2"), ("label", "label2"), "'label' is on the first, 'label2' is on image2"),
    ],
)
def test_which_photo_a_region_of_json_min_is_on_is_taken_from_names_and_told(tmp_path, keys, controls, on):
    sizes = {"original_width": 40, "original_height": 30}
    row = {"id": 1, "annotator": 3, "annotation_id": 7, "lead_time": 2.5}
    for key, control, name, label in zip(keys, controls, "ab", ("cup", "jug"), strict=True):
        make_photo(tmp_path / f"{name}.jpg")
        row |= {
            key: f"/data/upload/1/{name}.jpg",
            control: [{**SQUARE, "polygonlabels": [label], **sizes}],
        }
    write_json(tmp_path / "export.json", [row, {**row, "id": 2}])
    annotations, problems = read("labelstudio", tmp_path)
    found = {name: [region.label for region in a.regions] for name, a in annotations.items()}
    assert found == {"a.jpg": ["cup"], "b.jpg": ["jug"]}
    (told,) = [problem for problem in problems if problem.code == "which-photo"]
    assert told.severity == "warning" and on in told.message


def test_annotations_that_hold_their_task_are_read(tmp_path):
    make_photo(tmp_path / "a.jpg")
    held = {"id": 1, "data": {"image": "a.jpg"}, "annotations": []}
    write_json(tmp_path / "1.json", {"id": 5, "result": [result()], "task": held, "completed_by": {"id": 2}})
    write_json(tmp_path / "2.json", {"id": 6, "result": [result()], "task": 1})
    annotations, (problem,) = read("labelstudio", tmp_path)
    assert [region.label for region in annotations["a.jpg"].regions] == ["cup"]
    assert problem.code == "no-task" and problem.file.endswith("2.json")


def test_files_of_one_annotation_each_are_of_one_task_together(tmp_path):
    make_photo(tmp_path / "a.jpg")
    held = {"id": 1, "data": {"image": "a.jpg"}, "annotations": [5, 6, 7]}
    for id, label, time in ((5, None, "2024"), (6, "jug", "2026"), (7, "cup", "2025")):
        results = [result(polygonlabels=[label])] if label else []
        by = {"completed_by": id, "updated_at": time}
        write_json(tmp_path / f"{id}.json", {"id": id, "result": results, "task": held, **by})
    assert labels_by_photo(tmp_path) == {"a.jpg": ["jug"]}
    annotations, _ = read("labelstudio", tmp_path, annotator="7")
    assert [region.label for region in annotations["a.jpg"].regions] == ["cup"]
    (tmp_path / "6.json").write_text('{"task": 5, "result": [')
    _, problems = read("labelstudio", tmp_path)
    assert codes(problems) == ["several-annotations", "bad-json"]


@pytest.mark.parametrize("listed", [[5, 6], [{"id": 5, "result": "?"}], "2 annotations", None])
def test_what_a_held_task_says_of_its_annotations_does_not_matter(tmp_path, listed):
    make_photo(tmp_path / "a.jpg")
    held = {"id": 1, "data": {"image": "a.jpg"}, "annotations": listed, "predictions": [7]}
    for id, results in ((5, [result()]), (6, [])):
        write_json(tmp_path / f"{id}.json", {"id": id, "result": results, "task": held})
    annotations, _ = read("labelstudio", tmp_path)
    assert [region.label for region in annotations["a.jpg"].regions] == ["cup"]


def test_a_single_task_is_read(tmp_path):
    export(tmp_path)
    write_json(tmp_path / "export.json", task(result()))
    assert labels_by_photo(tmp_path) == {"a.jpg": ["cup"]}
