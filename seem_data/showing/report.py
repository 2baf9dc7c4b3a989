"""A dataset on one page: numbers, charts, pictures with their segments and sentences, and what is wrong.

The page holds everything it shows and works without a network. Photos are shrunk to thumbnails; segments are
SVG outlines over them, so that pointing at one tells its category and its sentences.
"""

from __future__ import annotations

import base64
import html
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template

import cv2
import numpy as np
from numpy.typing import NDArray

from seem_data.annotations import Sentence
from seem_data.common.wording import a_few
from seem_data.files import write_atomically
from seem_data.layout import PROBLEMS_JSON, Dataset, ImageRecord, Split, read_json
from seem_data.problems import Problem, fault
from seem_data.showing.stats import DatasetStats, collect

_THUMBNAIL = 480  # longest side of a gallery picture, pixels
_JPEG_QUALITY = 80
_LISTED_PROBLEMS = 200
_PAGE = Path(__file__).with_suffix(".html")


def write(dataset: Dataset, out: Path, problems: Sequence[Problem] = (), images_per_split: int = 24) -> Path:
    """Write the page.

    Args:
        dataset: what to show.
        out: the HTML file to write.
        problems: findings to list after those of the build, e.g. of `seem_data.checking.validate`.
        images_per_split: gallery size; the pictures are spread evenly over the split.

    Raises:
        DataError: a file of the dataset is missing or malformed.
    """
    stats = collect(dataset)
    page = Template(_PAGE.read_text(encoding="utf-8")).substitute(
        title=html.escape(stats.name),
        summary=_summary(stats),
        charts=_charts(stats),
        gallery="".join(_gallery(dataset.split(name), images_per_split) for name in dataset.split_names),
        problems=_problems([*_of_the_build(dataset), *problems]),
    )
    write_atomically(out, page.encode())
    return out


def _summary(stats: DatasetStats) -> str:
    cards = []
    for name, split in stats.splits.items():
        facts = (
            (f"{split.images:,}", "images"),
            (f"{split.segments:,}", "segments"),
            (f"{split.sentence_count:,}", "sentences"),
            (f"{split.coverage:.1%}", "labelled"),
        )
        numbers = "".join(f"<div><b>{number}</b><span>{what}</span></div>" for number, what in facts)
        absent = stats.absent[name]
        warning = f"<p class=warn>absent: {html.escape(a_few(absent))}</p>" if absent else ""
        cards.append(
            f"<section class=card><h3>{html.escape(name)}</h3>"
            f"<div class=facts>{numbers}</div>{warning}</section>"
        )
    return "".join(cards)


def _charts(stats: DatasetStats) -> str:
    """One row a category: segments of each split as stacked bars, and its share of labelled pixels."""
    totals = {
        category.name: [split.categories[category.name] for split in stats.splits.values()]
        for category in stats.categories
    }
    most = max((sum(part.segments for part in parts) for parts in totals.values()), default=0) or 1
    labelled = sum(part.pixels for parts in totals.values() for part in parts) or 1
    shades = ("", " s1", " s2", " s3")
    rows = []
    for category in stats.categories:
        parts = totals[category.name]
        bars = "".join(
            f"<i class='bar{shades[min(index, 3)]}' style='width:{100 * part.segments / most:.2f}%;"
            f"background:rgb{category.color}' title='{html.escape(split)}: {part.segments:,} segments "
            f"in {part.images:,} images'></i>"
            for index, (split, part) in enumerate(zip(stats.splits, parts, strict=True))
            if part.segments
        )
        rows.append(
            f"<tr><td><i class=dot style='background:rgb{category.color}'></i>{html.escape(category.name)}"
            f"<small>{'thing' if category.isthing else 'stuff'}</small></td><td class=bars>{bars}</td>"
            f"<td class=n>{sum(part.segments for part in parts):,}</td>"
            f"<td class=n>{sum(part.pixels for part in parts) / labelled:.1%}</td>"
            f"<td class=n>{sum(part.sentences for part in parts):,}</td></tr>"
        )
    return (
        "<table><tr><th>category<th class=bars>segments by split<th class=n>segments<th class=n>pixels"
        f"<th class=n>sentences</tr>{''.join(rows)}</table>"
    )


def _gallery(split: Split, count: int) -> str:
    images = split.images
    chosen = [
        images[i] for i in sorted({int(k) for k in np.linspace(0, len(images) - 1, min(count, len(images)))})
    ]
    wanted = {image.id for image in chosen}
    sentences: dict[tuple[int, int], tuple[Sentence, ...]] = {
        (grounded.image_id, grounded.segment_id): grounded.sentences
        for grounded in split.grounding()
        if grounded.image_id in wanted
    }
    figures = "".join(_figure(split, image, sentences) for image in chosen)
    heading = f"{html.escape(split.name)} <small>{len(chosen)} of {len(images):,}</small>"
    return f"<h2>{heading}</h2><div class=grid>{figures}</div>"


def _figure(split: Split, image: ImageRecord, sentences: dict[tuple[int, int], tuple[Sentence, ...]]) -> str:
    path = split.image_path(image)
    photo = (
        cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR) if path.is_file() else None
    )
    if photo is None:
        raise fault("unreadable", "cannot be read as a picture.", "Run seem-data validate first.", str(path))
    scale = min(1.0, _THUMBNAIL / max(image.width, image.height))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    ids = cv2.resize(split.id_map(image), size, interpolation=cv2.INTER_NEAREST)
    shapes = []
    for segment in image.segments:
        category = split.categories.by_id[segment.category_id]
        words = sentences.get((image.id, segment.id), ())
        lines = [f"{category.name}{' (crowd)' if segment.iscrowd else ''}", *(s.raw for s in words)]
        outline = " ".join(_outlines(ids == segment.id))
        tip = html.escape("\n".join(lines), quote=True)
        shapes.append(
            f"<path d='{outline}' fill='rgb{category.color}' data-words=\"{tip}\"><title>{tip}</title></path>"
        )
    counts = Counter(split.categories.by_id[segment.category_id].name for segment in image.segments)
    held = ", ".join(f"{name} ×{count}" if count > 1 else name for name, count in counts.items())
    source = base64.b64encode(jpeg.tobytes()).decode()
    return (
        f"<figure><svg viewBox='0 0 {size[0]} {size[1]}'><image href='data:image/jpeg;base64,{source}' "
        f"width='{size[0]}' height='{size[1]}'/>{''.join(shapes)}</svg>"
        f"<figcaption><b>{html.escape(image.file_name)}</b> {image.width}×{image.height}, "
        f"{len(image.segments)} segments<p class=words>{html.escape(held)}</p></figcaption></figure>"
    )


def _outlines(mask: NDArray[np.bool_]) -> Iterator[str]:
    """The mask's borders as SVG subpaths; holes are subpaths too and stay open under the even-odd rule."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        points = contour[:, 0]
        yield f"M{points[0][0]} {points[0][1]}" + "".join(f"L{x} {y}" for x, y in points[1:]) + "z"


def _of_the_build(dataset: Dataset) -> list[Problem]:
    path = dataset.root / PROBLEMS_JSON
    return read_json(path, list[Problem]) if path.is_file() else []


def _problems(problems: Sequence[Problem]) -> str:
    if not problems:
        return "<p class=good>No problems known.</p>"
    groups: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems[:_LISTED_PROBLEMS]:
        groups[problem.code].append(problem)
    lists = "".join(
        f"<details open><summary>{html.escape(code)} <small>{len(group)}</small></summary><ul>"
        + "".join(f"<li class={problem.severity}>{html.escape(str(problem))}</li>" for problem in group)
        + "</ul></details>"
        for code, group in groups.items()
    )
    rest = len(problems) - _LISTED_PROBLEMS
    return lists + (f"<p>… and {rest:,} more in problems.json.</p>" if rest > 0 else "")
