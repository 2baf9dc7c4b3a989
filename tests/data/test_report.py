"""The report is one file that needs nothing else and names everything it shows."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from seem_data import build
from seem_data.layout import Dataset
from seem_data.problems import DataError, Problem
from seem_data.showing import report
from tests.data.scenes import write_colors, write_scenes
from tests.data.tabletop import COLORS, dataset, render


@pytest.fixture(scope="module")
def tabletop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset(dataset(tmp_path_factory.mktemp("report"), images=8))


def test_the_page_needs_no_network_and_no_other_file(tabletop: Dataset, tmp_path: Path) -> None:
    page = report.write(tabletop, tmp_path / "report.html").read_text()
    addresses = re.findall(r"(?:src|href)=['\"]([^'\"]*)", page)
    assert addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in addresses)
    assert "http" not in re.sub(r"base64,[^']*", "", page)


def test_every_segment_shown_carries_its_category_and_its_sentences(
    tabletop: Dataset, tmp_path: Path
) -> None:
    page = report.write(tabletop, tmp_path / "report.html", images_per_split=100).read_text()
    shown = [html.unescape(words) for words in re.findall(r'data-words="([^"]*)"', page)]
    expected = []
    for name in tabletop.split_names:
        split = tabletop.split(name)
        sentences = {(g.image_id, g.segment_id): [s.raw for s in g.sentences] for g in split.grounding()}
        for image in split.images:
            for segment in image.segments:
                category = tabletop.categories.by_id[segment.category_id].name
                expected.append("\n".join([category, *sentences.get((image.id, segment.id), [])]))
    assert sorted(shown) == sorted(expected)


def test_bars_are_of_splits_that_have_segments(tmp_path: Path) -> None:
    write_scenes(tmp_path / "scenes", 1)
    build(colors=write_colors(tmp_path), polys=tmp_path / "scenes", out=tmp_path / "dataset", workers=1)
    dataset = Dataset(tmp_path / "dataset")
    page = report.write(dataset, tmp_path / "report.html").read_text()
    (image,) = dataset.split("train").images
    there = {segment.category_id for segment in image.segments}
    assert 0 < len(there) < len(dataset.categories)
    assert page.count("<i class='bar") == len(there)


def test_names_cannot_break_out_of_the_page(tabletop: Dataset, tmp_path: Path) -> None:
    nasty = Problem("bad<code>", "<script>alert(1)</script>", file="x&y.json")
    page = report.write(tabletop, tmp_path / "report.html", [nasty]).read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_what_the_build_warned_of_is_listed(tmp_path: Path) -> None:
    scenes = render(tmp_path / "scenes", 3)
    file = scenes / "scene_0000.json"
    file.write_text(file.read_text().replace('"label": "wall"', '"label": "wal"'))
    build(colors=COLORS, polys=scenes, out=tmp_path / "dataset", workers=1)
    page = report.write(Dataset(tmp_path / "dataset"), tmp_path / "report.html").read_text()
    assert "Did you mean &#x27;wall&#x27;?" in page


def test_the_gallery_is_spread_over_the_split(tabletop: Dataset, tmp_path: Path) -> None:
    page = report.write(tabletop, tmp_path / "report.html", images_per_split=2).read_text()
    images = tabletop.split("train").images
    assert images[0].file_name in page
    assert images[-1].file_name in page


def test_a_missing_photo_is_one_sentence(tmp_path: Path) -> None:
    broken = Dataset(dataset(tmp_path, images=3))
    photo = broken.split("train").image_path(broken.split("train").images[0])
    photo.unlink()
    with pytest.raises(DataError, match="cannot be read as a picture") as error:
        report.write(broken, tmp_path / "report.html")
    assert photo.name in str(error.value)
    assert not (tmp_path / "report.html").exists()
