"""What is written for an annotation tool is read back by our own reader: exactly, or as near as is stated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marked import CATEGORIES, Mask, built, ious, marked, masks, painted, random_mask, size_of
from PIL import Image
from reading import make_photo, read

from seem_data import build
from seem_data.layout import Dataset
from seem_data.problems import DataError
from seem_data.readers import detect
from seem_data.writers import FORMATS, MarkedSegment, WrittenPhoto, open_writer
from seem_data.writers.outlines import LEAST_IOU, outlines
from tests.data.tabletop import EXAMPLES


def write(form: str, folder: Path, found: list[Mask], tolerance: float) -> None:
    """The masks on one photo, which is put there too."""
    photo = make_photo(folder / "photo.png", size_of(found))
    writer = open_writer(form, folder / "out", CATEGORIES, tolerance)
    writer.add(WrittenPhoto("photo.png", size_of(found), photo), marked(found))
    writer.close()


def back(form: str, folder: Path, found: list[Mask]) -> np.ndarray:
    (only,) = built(form, folder / "out", None, size_of(found)).values()
    return only


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=25, deadline=None)
@given(found=masks)
def test_any_mask_comes_back_equal_without_a_tolerance(form: str, found: list[Mask]) -> None:
    with TemporaryDirectory() as folder:
        write(form, Path(folder), found, tolerance=0)
        assert np.array_equal(back(form, Path(folder), found), painted(found))


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=15, deadline=None)
@given(found=masks, tolerance=st.sampled_from([0.3, 1.0, 2.0, 8.0]))
def test_any_mask_comes_back_nearly_with_a_tolerance(form: str, found: list[Mask], tolerance: float) -> None:
    with TemporaryDirectory() as folder:
        write(form, Path(folder), found, tolerance)
        assert min(ious(back(form, Path(folder), found), painted(found))) >= LEAST_IOU


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_written_is_recognised_without_being_named(form: str, tmp_path: Path) -> None:
    write(form, tmp_path, [disc()], tolerance=1)
    assert detect(tmp_path / "out").name == form


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The example's six photographs, annotated by hand."""
    pytest.importorskip("skimage")
    folder = tmp_path_factory.mktemp("photographs")
    command = [sys.executable, str(EXAMPLES / "photos" / "make.py"), str(folder / "photos")]
    subprocess.run(command, check=True, capture_output=True)
    build(EXAMPLES / "photos" / "categories.json", folder / "photos", folder / "dataset", workers=1)
    return Dataset(folder / "dataset")


@pytest.mark.parametrize("tolerance", [0.0, 1.0])
@pytest.mark.parametrize("form", FORMATS)
def test_the_masks_of_photographs_come_back(
    photographs: Dataset, tmp_path: Path, form: str, tolerance: float
) -> None:
    photos = [
        (split, image)
        for name in ("train", "val")
        for split in [photographs.split(name)]
        for image in split.images
    ]
    for number, (split, image) in enumerate(photos):
        folder = tmp_path / str(number)
        ids = split.id_map(image)
        found = [ids == segment.id for segment in image.segments]
        write(form, folder, found, tolerance)
        assert min(ious(back(form, folder, found), painted(found))) >= (LEAST_IOU if tolerance else 1)
    assert number == 5


def disc(size: int = 200, radius: int = 80) -> Mask:
    y, x = np.mgrid[:size, :size]
    return (x - size / 2) ** 2 + (y - size / 2) ** 2 < radius**2


def points_of(mask: Mask, tolerance: float) -> int:
    (parts,) = outlines([MarkedSegment("a", mask)], size_of([mask]), tolerance)
    return sum(len(ring) for part in parts for ring in (part.outer, *part.holes))


def test_a_tolerance_saves_most_of_the_points() -> None:
    assert points_of(disc(), 1.0) < points_of(disc(), 0.5) < points_of(disc(), 0) / 4


def test_straight_edges_keep_their_corners() -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:50, 20:70] = True
    (parts,) = outlines([MarkedSegment("a", mask)], (80, 60), 1.0)
    assert sorted(parts[0].outer.tolist()) == [[20, 10], [20, 50], [70, 10], [70, 50]]


def test_a_window_means_its_place_in_the_photo() -> None:
    mask = disc()
    whole = outlines([MarkedSegment("a", mask)], (200, 200), 1.0)
    window = outlines([MarkedSegment("a", mask[10:190, 15:185], 15, 10)], (200, 200), 1.0)
    assert np.array_equal(whole[0][0].outer, window[0][0].outer)
    with pytest.raises(ValueError, match="does not lie in a photo"):
        outlines([MarkedSegment("a", mask, 15, 10)], (200, 200), 1.0)


@pytest.mark.parametrize("form", FORMATS)
def test_objects_of_one_category_stay_apart_and_their_parts_together(form: str, tmp_path: Path) -> None:
    mask = np.zeros((40, 60), bool)
    mask[5:15, 5:15] = mask[20:30, 5:15] = True
    make_photo(tmp_path / "photo.png", (60, 40))
    writer = open_writer(form, tmp_path / "out", CATEGORIES)
    segments = [MarkedSegment("kind 2", mask), MarkedSegment("kind 2", np.roll(mask, 30, axis=1))]
    writer.add(WrittenPhoto("photo.png", (60, 40), tmp_path / "photo.png"), segments)
    writer.close()
    (annotation,) = read(form, tmp_path / "out")[0].values()
    regions = annotation.regions
    whole = {region.group if region.group is not None else region.where for region in regions}
    assert len(whole) == 2


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "yolo"])  # its labels hold no words
def test_words_come_back_as_sentences_and_scores_do_not(form: str, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "photo.png", (200, 200))
    writer = open_writer(form, tmp_path / "out", CATEGORIES)
    said = ("the red ball", "the ball on the left")
    segment = MarkedSegment("kind 2", disc(), score=0.934, sentences=said, prompt="point 90,90")
    writer.add(WrittenPhoto("photo.png", (200, 200), photo), [segment])
    writer.close()
    (annotation,) = read(form, tmp_path / "out")[0].values()
    (region,) = annotation.regions
    assert tuple(sentence.raw for sentence in region.sentences) == said
    written = [path.read_text() for path in (tmp_path / "out").rglob("*") if path.suffix in (".json", ".xml")]
    assert any("0.93" in text for text in written)


@pytest.mark.parametrize("form", FORMATS)
def test_photos_of_one_stem_do_not_share_their_annotations(form: str, tmp_path: Path) -> None:
    writer = open_writer(form, tmp_path / "out", CATEGORIES, 0)
    found = [random_mask(np.random.default_rng(seed), 50, 40) for seed in range(3)]
    for name, mask in zip(("a/1.jpg", "a/1.png", "b/1.png"), found, strict=True):
        photo = make_photo(tmp_path / name, (50, 40))
        writer.add(WrittenPhoto(name, (50, 40), photo), [MarkedSegment("kind 1", mask)])
    writer.close()
    maps = built(form, tmp_path / "out", None, (50, 40))
    assert len(maps) == 3
    assert {(got > 0).tobytes() for got in maps.values()} == {mask.tobytes() for mask in found}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["../photo.png", "/etc/photo.png", "a/../../photo.png"])
def test_no_name_leaves_the_folder(form: str, name: str, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "photo.png", (50, 40))
    writer = open_writer(form, tmp_path / "deep" / "out", CATEGORIES)
    with pytest.raises(DataError, match="lies outside of its folder"):
        writer.add(WrittenPhoto(name, (50, 40), photo), [])


@pytest.mark.parametrize("form", FORMATS)
def test_a_turned_photo_keeps_its_masks_where_they_are_seen(form: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = make_photo(tmp_path / "photo.jpg", (40, 50), exif=exif)
    mask = random_mask(np.random.default_rng(5), 50, 40)
    writer = open_writer(form, tmp_path / "out", CATEGORIES, 0)
    writer.add(WrittenPhoto("photo.jpg", (50, 40), photo), [MarkedSegment("kind 1", mask)])
    writer.close()
    ((name, annotation),) = read(form, tmp_path / "out")[0].items()
    assert annotation.exif == "applied" or Image.open(tmp_path / "out" / name).getexif() == {}
    (only,) = built(form, tmp_path / "out", None, (50, 40)).values()
    assert np.array_equal(only > 0, mask)


def test_an_unknown_format_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"--as: is 'labelmee'\. Did you mean 'labelme'\?"):
        open_writer("labelmee", Path(), CATEGORIES)


def test_crowds_come_back_as_crowds_where_a_format_knows_them(tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "photo.png", (200, 200))
    for form in FORMATS:
        writer = open_writer(form, tmp_path / form, CATEGORIES)
        segments = [MarkedSegment("kind 2", disc(), iscrowd=True), MarkedSegment("kind 1", disc(200, 20))]
        writer.add(WrittenPhoto("photo.png", (200, 200), photo), segments)
        writer.close()
        (annotation,) = read(form, tmp_path / form)[0].values()
        knows = form in ("labelme", "coco")
        assert sorted(region.iscrowd for region in annotation.regions) == (
            [False, True] if knows else [False]
        )
        assert writer.left_out == (0 if knows else 1)


def test_words_that_xml_cannot_hold_do_not_spoil_the_file(tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "photo.png", (200, 200))
    writer = open_writer("cvat", tmp_path / "out", CATEGORIES)
    segment = MarkedSegment("kind 2", disc(), sentences=('the <red>\x1b & "blue" ball',))
    writer.add(WrittenPhoto("photo.png", (200, 200), photo), [segment])
    writer.close()
    (annotation,) = read("cvat", tmp_path / "out")[0].values()
    assert [s.raw for s in annotation.regions[0].sentences] == ['the <red>  & "blue" ball']


def test_cvat_is_told_which_segment_lies_on_top(tmp_path: Path) -> None:
    write("cvat", tmp_path, [disc(), disc(200, 40), disc(200, 9)], tolerance=1)
    shapes = ElementTree.parse(tmp_path / "out" / "annotations.xml").iterfind("image/polygon")
    assert [shape.get("z_order") for shape in shapes] == ["0", "1", "2"]
