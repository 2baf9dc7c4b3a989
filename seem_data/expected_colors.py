"""The colours that people expect of common names: a sky is blue. Where two meet, the first name keeps it."""

from __future__ import annotations

from seem_data.categories import parse_color
from seem_data.common.colors import Color
from seem_data.names import words_of

_COLORS = """
sky #87ceeb  cloud #dfe7ee  clouds #dfe7ee  snow #f0f8ff  ice #d6f0f5  water #3f7fbf  sea #1f6f9f
ocean #17608a  river #4f93c4  lake #2f6fa8  pool #40c4d8  grass #5f9e3f  lawn #6fae4a  field #9ab85a
tree #2e6b2e  trees #2e6b2e  forest #22552a  vegetation #6b8e23  bush #4f7f3a  plant #3f8f45
leaf #4c9a2a  leaves #4c9a2a  flower #e86ca0  foliage #3a7a36  hedge #48753a  earth #7a5a3a
soil #6b4a2f  dirt #86623f  mud #5f4630  ground #8f7350  sand #e0c68c  beach #e8d49a  gravel #9a948a
rock #7d7a75  stone #8a867f  mountain #6f6a72  hill #7f8f5a  road #6e6e6e  street #6a6a70
pavement #9a9a9a  sidewalk #b8b0b8  path #b59a72  railroad #5a524f  bridge #96706a  wall #c8b89a
brick #b5523b  bricks #b5523b  ceiling #ece6da  floor #a58a6c  roof #a0483c  carpet #8f3f4f  rug #a04a5a
tile #c9d2d6  wood #8b5a2b  wooden #8b5a2b  metal #9aa3ab  concrete #a9a6a0  glass #b4dbe0
building #7a6a5c  house #c08a5c  door #7a4a28  window #9cc8de  curtain #c99aa8  fence #a8845a
pole #8f8f99  table #a8703c  desk #9a6434  tabletop #b07a46  chair #c0803c  bed #d8c0c8  sofa #8a6a9a
shelf #9a7a50  person #dc143c  people #dc143c  man #c81438  woman #e0506c  child #f07890  face #f0c0a0
skin #e8b99a  hair #5a3a22  hand #e8b090  cat #d98c3f  dog #a0622d  horse #7a4420  cow #d8c8b8
sheep #f2ead8  bird #4fa0d0  elephant #8a8a94  bear #5c3a20  zebra #d0d0d8  giraffe #d8a850
fish #5fa8c0  rabbit #c8b8a8  mouse #9a9088  car #00008e  truck #000046  bus #003c64  train #005064
bicycle #770b20  bike #770b20  motorcycle #0000e6  boat #2a6a8a  ship #3a5a7a  airplane #a8c0d8
apple #c8102e  banana #ffe135  orange #ffa500  lemon #fff44f  lime #a8d830  tomato #ff6347
carrot #ed9121  strawberry #e0244a  grape #6f2da8  grapes #6f2da8  cherry #a8122c  pear #c8d850
peach #ffcba4  pumpkin #f07818  cucumber #4f8f3f  broccoli #3f7a34  potato #c8a468  bread #c89050
egg #f5e8d0  cheese #f8c838  chocolate #5a3018  pizza #e0a040  cake #f0c8b0  coffee #4a2c18
milk #f8f4ea  wine #722f37  beer #e0a028  fire #ff5a1e  flame #ff7a1e  smoke #a8a8a8  blood #8a0303
gold #ffd700  silver #c0c0c0  copper #b87333  book #8a5a8a  cup #4682b4  mug #3a72a4  bottle #2f8f6f
plate #e8e4dc  knife #b0b8c0  fork #a8b0bc  spoon #b8c0c8  traffic-light #faaa1e  traffic-sign #dcdc00
rust #b7410e  defect #ff00ff  crack #ff3030  lung #e8a0a8  bone #f0e8d0
"""


_WORDS = iter(_COLORS.split())
_BY_NAME = {name: parse_color(color) for name, color in zip(_WORDS, _WORDS, strict=True)}


def expected_color(name: str) -> Color | None:
    """The colour of a name, or of its last word ("brick wall" of a wall); None of other names."""
    words = words_of(name)
    ends = ("-".join(words[start:]) for start in range(len(words)))
    return next((_BY_NAME[end] for end in ends if end in _BY_NAME), None)
