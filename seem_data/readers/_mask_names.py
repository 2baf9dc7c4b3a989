"""How masks are called after their photos: ``a_mask.png`` of ``a.jpg``, ``x_gtFine_color.png`` of
``x_leftImg8bit.png``, ``seg_a.png``, ``a.jpg.png``, ``a_L.png``."""

from __future__ import annotations

import re
from collections.abc import Iterator

_GAP = r"[_\-. ]+"
_KINDS = (
    r"color|colou?r_?masks?|labelids?|labeltrainids?|trainids?|instance_?ids?|instances?|panoptic|semantic"
    r"|polygons"
)
_OF_MASKS = (
    rf"gt(fine|coarse)?{_GAP}(?:{_KINDS})|{_KINDS}|masks?|seg|segs|segm|segmentations?|seg_?masks?|labels?|gt|lab"
    r"|l|p|annots?|annotations?|ground_?truth|manual\d*|matte|indexlabel|index|id|ids"
)
_MASK_SUFFIX = re.compile(rf"{_GAP}(?:{_OF_MASKS})$", re.IGNORECASE)
_MASK_PREFIX = re.compile(rf"^(?:{_OF_MASKS}){_GAP}", re.IGNORECASE)
_PHOTO_SUFFIX = re.compile(rf"{_GAP}(?:leftimg8bit|rgb|img|image|photo|sat|im)$", re.IGNORECASE)
_PHOTO_PREFIX = re.compile(rf"^(?:rgb|img|image|photo|im){_GAP}", re.IGNORECASE)
PHOTO_ENDING = re.compile(r"\.(jpe?g|png|bmp|tiff?|webp)$", re.IGNORECASE)
#: Forms of the same annotation side by side (Cityscapes), the one that says most first.
_BEST = ("instanceids", "labelids", "color", "labeltrainids")


def mask_stem(stem: str) -> str:
    """What a mask's name has in common with its photo's, letter case aside; the whole name if it has no word
    that names masks."""
    stem = PHOTO_ENDING.sub("", stem)
    for affix in (_MASK_SUFFIX, _MASK_PREFIX):
        if (rest := affix.sub("", stem)) != stem and rest:
            return PHOTO_ENDING.sub("", rest).casefold()
    return stem.casefold()


def photo_stem(stem: str) -> str:
    """The same of a photo's name."""
    for affix in (_PHOTO_SUFFIX, _PHOTO_PREFIX):
        if (rest := affix.sub("", stem)) != stem and rest:
            return rest.casefold()
    return stem.casefold()


def has_mask_word(stem: str) -> bool:
    """Whether a name has a word that names masks, at its beginning or its end."""
    return mask_stem(stem) != PHOTO_ENDING.sub("", stem).casefold()


def rank(stem: str) -> int:
    """Where one photo has several masks: the place of this one's kind; 0 is the best."""
    words = stem.casefold().replace("_", "")
    return next((place for place, kind in enumerate(_BEST) if words.endswith(kind)), len(_BEST))


def shorter(stem: str) -> Iterator[str]:
    """The names that a mask's name begins with, the longest first, then those that it ends with; what is left
    over holds a letter, so that ``a_1`` is not of ``a``."""
    gaps = list(re.finditer(_GAP, stem))
    for gap in reversed(gaps):
        if re.search(r"[^\W\d_]", stem[gap.end() :]):
            yield stem[: gap.start()].casefold()
    for gap in gaps:
        if re.search(r"[^\W\d_]", stem[: gap.start()]):
            yield stem[gap.end() :].casefold()
