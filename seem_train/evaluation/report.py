"""An evaluation on one page: scores, bars per class, confusions, clicks, and the worst and best images.

The page holds everything it shows and works without a network.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

import cv2
import numpy as np

from seem_data.common.files import write_text
from seem_train.data.dataset import Sample, SegmentationSet
from seem_train.evaluation.comparison import Comparison, Findings, Forgetting
from seem_train.evaluation.result import EvaluationResult, ReportImage, gains, shown_number
from seem_train.metrics.interactive import InteractiveResult
from seem_train.output import draw

_PAGE = Path(__file__).with_suffix(".html")
_MATRIX = 40  #: categories up to which the whole confusion matrix is shown
_CONFUSIONS = 15
_PICTURE_HEIGHT = 300
_JPEG_QUALITY = 82
_CARDS = ("PQ", "mIoU", "AP", "cIoU", "NoC@0.85", "NoC@0.9")


def write_report(file: Path, findings: Findings, images: SegmentationSet) -> None:
    """Write the page.

    Args:
        images: the split that was evaluated; photos and truth of the images shown are read from it.
    """
    result = findings.result
    sections = [
        _section("Scores", _panel(_numbers(result.headline(), findings.against))),
        _section("Categories", _panel(_categories(result))),
        _section("Confusions", _confusions(result)),
        _section("Phrases and clicks", _prompts(result)),
        _section("Forgetting", _forgotten(findings.forgetting)),
        *_images(result, images),
    ]
    headline = result.headline()
    page = Template(_PAGE.read_text(encoding="utf-8")).substitute(
        title=escape(findings.model),
        about=escape(f"{result.dataset} · {result.split} · {result.images:,} images · {_settings(result)}"),
        cards="".join(
            f"<div class=card><b>{shown_number(key, headline[key])}</b><span>{escape(key)}</span></div>"
            for key in _CARDS
            if key in headline
        ),
        sections="".join(sections),
    )
    write_text(file, page)


def _settings(result: EvaluationResult) -> str:
    size = result.settings.get("size")
    sides = f"shorter side {size}" if size else "the original's sizes"
    return (
        f"{sides}, object threshold {result.settings['object_threshold']:g}, "
        f"overlap threshold {result.settings['overlap_threshold']:g}"
    )


def _numbers(headline: Mapping[str, float | None], base: Comparison | None) -> str:
    if base is None:
        return _table(("", "score"), ((escape(n), shown_number(n, v)) for n, v in headline.items()))
    gained = gains(headline, base.headline)
    note = (
        f"<p class=bad>measured otherwise: {escape('; '.join(base.differences))}</p>"
        if base.differences
        else ""
    )
    rows = (
        (escape(n), shown_number(n, base.headline.get(n)), shown_number(n, v), _gain(n, gained.get(n)))
        for n, v in headline.items()
    )
    return note + _table(("", escape(base.name), "now", "gain"), rows)


def _gain(name: str, gain: float | None) -> str:
    if gain is None:
        return "–"
    kind = "good" if gain > 0 else "bad" if gain < 0 else "soft"
    return f"<span class={kind}>{shown_number(name, gain, signed=True)}</span>"


def _categories(result: EvaluationResult) -> str:
    rows = result.category_scores()
    keys = [key for key in ("pq", "sq", "rq", "iou", "precision", "recall", "ap") if key in rows[0]]
    if not keys:
        return ""
    bars = [key for key in ("pq", "iou", "ap") if key in keys]
    titles = {"pq": "PQ", "sq": "SQ", "rq": "RQ", "iou": "IoU", "ap": "AP"}
    head = ["category", "", *(f"{titles.get(key, key)}" for key in keys), *(titles[key] for key in bars)]
    body = []
    for row, category in zip(rows, result.categories, strict=True):
        dot = f"<span class=dot style='background:rgb{tuple(category['color'])}'></span>"
        name = dot + escape(category["name"])
        numbers = [shown_number(key, row[key]) for key in keys]
        drawn = [f"<div class=track>{_bar(row[key])}</div>" for key in bars]
        body.append((name, "thing" if category["isthing"] else "stuff", *numbers, *drawn))
    return _table(head, body)


def _bar(share: float | None) -> str:
    return f"<span class=bar style='width:{100 * (share or 0):.1f}%'></span>"


def _confusions(result: EvaluationResult) -> str:
    """The most frequent confusions as sentences, and the whole matrix where it is small."""
    if result.confusion is None or not result.confusion.any():
        return ""
    names = [category["name"] for category in result.categories] + ["nothing"]
    total = result.confusion.sum(1, keepdims=True)
    share = result.confusion / np.maximum(total, 1)
    wrong = result.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    worst = [divmod(int(place), wrong.shape[1]) for place in order]
    rows = (
        (escape(names[truth]), escape(names[said]), f"{share[truth, said]:.1%}", f"{wrong[truth, said]:,}")
        for truth, said in worst
        if wrong[truth, said]
    )
    listed = _table(("truth", "taken for", "share of its pixels", "pixels"), rows)
    matrix = _matrix(share, names) if len(names) - 1 <= _MATRIX else ""
    return f"<div class=two><div class=panel>{listed}</div>{matrix and _panel(matrix)}</div>"


def _matrix(share: np.ndarray, names: Sequence[str]) -> str:
    head = "".join(f"<th class=top>{escape(name)}</th>" for name in names)
    lines = []
    for index, name in enumerate(names[:-1]):
        cells = []
        for said, value in enumerate(share[index].tolist()):
            color = "26,127,55" if said == index else "179,38,30"
            title = f"{name} taken for {names[said]}: {value:.1%}"
            number = f"{100 * value:.0f}" if value >= 0.005 else ""
            cells.append(
                f"<td style='background:rgba({color},{value:.3f})' title='{escape(title)}'>{number}</td>"
            )
        lines.append(f"<tr><th>{escape(name)}</th>{''.join(cells)}</tr>")
    return (
        "<p class=soft>Each row: where the pixels of one category went, in percent.</p>"
        f"<table class=matrix><tr><th></th>{head}</tr>{''.join(lines)}</table>"
    )


def _prompts(result: EvaluationResult) -> str:
    parts = []
    if (phrases := result.grounding) is not None and phrases.phrases:
        rows = [
            (f"IoU ≥ {threshold}", shown_number("", share), f"<div class=track>{_bar(share)}</div>")
            for threshold, share in phrases.precision.items()
        ]
        parts.append(_panel(f"<p>{phrases.phrases:,} phrases asked</p>" + _table(("", "%", ""), rows)))
    if (clicks := result.interactive) is not None and clicks.objects:
        rows = [
            (f"IoU {threshold}", f"{noc:.2f}", f"{clicks.failures[threshold]:,}")
            for threshold, noc in clicks.noc.items()
        ]
        failed = f"not after {clicks.max_clicks}"
        table = _table(("reached", "clicks", failed), rows)
        parts.append(_panel(f"<p>{clicks.objects:,} objects clicked</p>{table}{_click_curve(clicks)}"))
    return f"<div class=two>{''.join(parts)}</div>" if parts else ""


def _click_curve(clicks: InteractiveResult) -> str:
    """Mean IoU after each click as SVG."""
    width, height, left, bottom = 400, 190, 36, 24
    count = max(len(clicks.iou_at) - 1, 1)
    xs = [left + number * (width - left - 8) / count for number in range(len(clicks.iou_at))]
    ys = [8 + (1 - iou) * (height - bottom - 8) for iou in clicks.iou_at]
    grid = "".join(
        f"<line x1={left} x2={width} y1={y:.1f} y2={y:.1f} /><text x=2 y={y + 4:.1f}>{share:.0%}</text>"
        for share in (0, 0.25, 0.5, 0.75, 1)
        for y in [8 + (1 - share) * (height - bottom - 8)]
    )
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    dots = "".join(
        f"<circle cx={x:.1f} cy={y:.1f} r=3><title>{n} clicks: {iou:.1%}</title></circle>"
        for n, (x, y, iou) in enumerate(zip(xs, ys, clicks.iou_at, strict=True), start=1)
    )
    apart = max(1, len(xs) // 7)
    labels = "".join(f"<text x={xs[n]:.1f} y={height - 4}>{n + 1}</text>" for n in range(0, len(xs), apart))
    return (
        "<p class=soft>mean IoU after each click</p>"
        f"<svg viewBox='0 0 {width} {height}' style='width:100%;max-width:{width}px'>"
        f"{grid}<polyline points='{points}' />{dots}{labels}</svg>"
    )


def _forgotten(forgetting: Forgetting | None) -> str:
    if forgetting is None:
        return ""
    about = f"<p>The same models on {escape(forgetting.dataset)}, which was not trained on.</p>"
    return _panel(about + _numbers(forgetting.headline, forgetting.before))


def _images(result: EvaluationResult, images: SegmentationSet) -> Iterable[str]:
    """The worst and the best images: photo, truth, prediction, and what a phrase and a click found."""
    if not result.shown:
        return
    half = len(result.shown) // 2
    best = list(reversed(result.shown[half:]))
    for title, shown in (("Worst images", result.shown[:half]), ("Best images", best)):
        if shown:
            yield _section(title, "".join(_figure(image, images) for image in shown))


def _figure(shown: ReportImage, images: SegmentationSet) -> str:
    sample = images.load(shown.index)
    photo = sample.pixels
    found = [images.categories[segment.category_index] for segment in shown.segments]
    predicted = [(s.id, c, f"{c.name} {s.score:.0%}") for s, c in zip(shown.segments, found, strict=True)]
    pictures = [
        (photo, "photo"),
        (truth_of(sample, photo, images), "truth"),
        (draw.overlay(photo, draw.panoptic_regions(shown.id_map, predicted)), "prediction"),
    ]
    for prompted in shown.prompted:
        picture, said = draw.overlay(photo, [draw.Tinted(prompted.mask, draw.FOUND)]), "one click"
        if isinstance(prompted.prompt, str):
            said = f"“{prompted.prompt}”"
        else:
            picture = draw.draw_marks(picture, points=[(*prompted.prompt, True)])
        pictures.append((picture, f"{said}, IoU {prompted.iou:.0%}"))
    caption = escape(f"{shown.file_name} · PQ {shown_number('PQ', shown.pq)}")
    row = "".join(_picture(picture, said) for picture, said in pictures)
    return f"<figure><figcaption>{caption}</figcaption><div class=row>{row}</div></figure>"


def _picture(picture: np.ndarray, caption: str) -> str:
    width = max(1, round(picture.shape[1] * _PICTURE_HEIGHT / picture.shape[0]))
    small = cv2.resize(picture, (width, _PICTURE_HEIGHT), interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    data = base64.b64encode(jpeg.tobytes()).decode()
    said = escape(caption)
    return f"<div><img alt='{said}' src='data:image/jpeg;base64,{data}'><span>{said}</span></div>"


def truth_of(sample: Sample, photo: np.ndarray, images: SegmentationSet) -> np.ndarray:
    """The photo [H, W, 3] with what is labelled in it."""
    categories = [images.categories[segment.category] for segment in sample.segments]
    segments = [(number, category, category.name) for number, category in enumerate(categories, start=1)]
    return draw.overlay(photo, draw.panoptic_regions(sample.id_map.numpy(), segments))


def _section(title: str, content: str) -> str:
    return f"<h2>{title}</h2>{content}" if content else ""


def _panel(content: str) -> str:
    return f"<div class=panel>{content}</div>" if content else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML already; all columns but the first and those of bars stand right."""
    rows = list(rows)
    left = [place == 0 or all(row[place].startswith("<div") for row in rows) for place in range(len(head))]

    def line(tag: str, cells: Sequence[str]) -> str:
        kinds = (tag if is_left else f"{tag} class=n" for is_left in left)
        return "".join(f"<{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f"<table><tr>{line('th', head)}</tr>{body}</table>"
