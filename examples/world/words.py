"""What the world's things and stuff are called: the first name is the category's, the others are aliases."""

from __future__ import annotations

import zlib

THINGS: dict[str, tuple[str, ...]] = {
    "ball": ("ball", "sphere", "orb", "round ball"),
    "box": ("box", "carton", "crate", "cardboard box"),
    "mug": ("mug", "cup", "coffee cup", "tea cup"),
    "plate": ("plate", "dish", "saucer", "disc"),
    "bottle": ("bottle", "flask", "water bottle"),
    "bowl": ("bowl", "basin"),
    "vase": ("vase", "urn", "jar"),
    "glass": ("glass", "goblet", "wine glass"),
    "pot": ("pot", "cooking pot", "pan"),
    "can": ("can", "tin", "cylinder", "drum"),
    "bucket": ("bucket", "pail"),
    "lamp": ("lamp", "table lamp", "light"),
    "candle": ("candle", "taper"),
    "chair": ("chair", "seat"),
    "stool": ("stool", "bar stool"),
    "bench": ("bench", "park bench"),
    "shelf": ("shelf", "bookcase", "rack"),
    "book": ("book", "volume", "notebook"),
    "pencil": ("pencil", "pen", "crayon"),
    "key": ("key", "door key"),
    "spoon": ("spoon", "ladle"),
    "fork": ("fork", "dinner fork"),
    "knife": ("knife", "blade"),
    "hammer": ("hammer", "mallet"),
    "umbrella": ("umbrella", "parasol"),
    "hat": ("hat", "cap"),
    "shoe": ("shoe", "boot", "sneaker"),
    "shirt": ("shirt", "t-shirt", "jersey"),
    "trousers": ("trousers", "pants", "jeans"),
    "apple": ("apple", "fruit"),
    "pear": ("pear",),
    "banana": ("banana",),
    "lemon": ("lemon", "citrus"),
    "carrot": ("carrot", "root vegetable"),
    "mushroom": ("mushroom", "toadstool"),
    "leaf": ("leaf", "big leaf"),
    "flower": ("flower", "blossom", "daisy"),
    "tree": ("tree", "leafy tree"),
    "fir": ("fir", "pine tree", "conifer"),
    "palm": ("palm", "palm tree"),
    "cactus": ("cactus", "saguaro"),
    "fish": ("fish", "goldfish"),
    "bird": ("bird", "sparrow"),
    "cat": ("cat", "kitten"),
    "dog": ("dog", "puppy"),
    "snake": ("snake", "serpent"),
    "snail": ("snail", "slug"),
    "butterfly": ("butterfly", "moth"),
    "spider": ("spider", "bug"),
    "rabbit": ("rabbit", "bunny"),
    "person": ("person", "man", "woman", "human"),
    "robot": ("robot", "android"),
    "car": ("car", "automobile", "vehicle"),
    "truck": ("truck", "lorry"),
    "bus": ("bus", "coach"),
    "bicycle": ("bicycle", "bike"),
    "boat": ("boat", "sailboat", "ship"),
    "airplane": ("airplane", "plane", "aircraft"),
    "rocket": ("rocket", "spaceship", "missile"),
    "balloon": ("balloon", "hot air balloon"),
    "house": ("house", "cottage", "hut"),
    "tower": ("tower", "skyscraper", "building"),
    "tent": ("tent", "teepee"),
    "sign": ("sign", "road sign", "signpost"),
    "flag": ("flag", "banner"),
    "clock": ("clock", "watch"),
    "wheel": ("wheel", "tyre", "tire"),
    "ring": ("ring", "hoop", "donut"),
    "gear": ("gear", "cog", "sprocket"),
    "star": ("star", "five pointed star"),
    "heart": ("heart", "love heart"),
    "crescent": ("crescent", "half moon"),
    "arrow": ("arrow", "pointer"),
    "cross": ("cross", "plus sign"),
    "triangle": ("triangle", "wedge"),
    "cube": ("cube", "block", "dice"),
    "cone": ("cone", "traffic cone"),
    "pyramid": ("pyramid", "tetrahedron"),
    "ladder": ("ladder", "steps"),
    "guitar": ("guitar", "ukulele"),
    "letter": ("letter", "character", "written word"),
    "phone": ("phone", "mobile phone", "smartphone"),
    "screen": ("screen", "monitor", "television"),
    "camera": ("camera", "photo camera"),
    "envelope": ("envelope", "mail"),
    "bag": ("bag", "handbag", "suitcase"),
    "glasses": ("glasses", "spectacles", "sunglasses"),
    "stone": ("stone", "rock", "pebble"),
}

STUFF: dict[str, tuple[str, ...]] = {
    "wall": ("wall", "plain wall", "backdrop"),
    "table": ("table", "tabletop", "desk", "counter"),
    "floor": ("floor", "floorboards", "parquet"),
    "carpet": ("carpet", "rug", "mat"),
    "tiles": ("tiles", "tiled floor"),
    "bricks": ("bricks", "brick wall", "masonry"),
    "curtain": ("curtain", "drape"),
    "sky": ("sky", "blue sky", "heavens"),
    "cloud": ("cloud", "clouds"),
    "grass": ("grass", "lawn", "meadow"),
    "sand": ("sand", "beach", "desert"),
    "water": ("water", "sea", "lake", "river"),
    "snow": ("snow", "ice"),
    "road": ("road", "street", "asphalt"),
    "gravel": ("gravel", "pebbles", "shingle"),
    "soil": ("soil", "earth", "mud"),
    "mountain": ("mountain", "hills", "mountains"),
    "forest": ("forest", "woods", "hedge"),
    "field": ("field", "crops", "farmland"),
    "fence": ("fence", "railing", "palings"),
    "concrete": ("concrete", "pavement", "cement"),
    "cloth": ("cloth", "fabric", "blanket"),
    "paper": ("paper", "poster", "sheet of paper"),
}

COLORS: dict[str, tuple[tuple[int, int, int], tuple[str, ...]]] = {
    "red": ((200, 45, 45), ("red", "crimson", "scarlet")),
    "orange": ((230, 130, 40), ("orange", "amber")),
    "yellow": ((228, 205, 60), ("yellow", "golden")),
    "green": ((60, 150, 70), ("green", "emerald")),
    "cyan": ((70, 190, 200), ("cyan", "turquoise", "teal")),
    "blue": ((50, 90, 190), ("blue", "navy")),
    "purple": ((130, 70, 160), ("purple", "violet")),
    "pink": ((230, 140, 175), ("pink", "rose")),
    "brown": ((125, 85, 55), ("brown", "chestnut")),
    "white": ((230, 230, 226), ("white", "pale")),
    "gray": ((130, 130, 132), ("gray", "grey", "silver")),
    "black": ((42, 42, 46), ("black", "dark")),
}
PATTERNS: dict[str, tuple[str, ...]] = {
    "plain": ("", "plain", "solid"),
    "stripes": ("striped", "stripy"),
    "bands": ("banded",),
    "dots": ("dotted", "spotted", "polka dot"),
    "checks": ("checkered", "checked"),
    "speckles": ("speckled", "mottled"),
}
MATERIALS: dict[str, tuple[str, ...]] = {
    "matt": ("",),
    "shiny": ("shiny", "glossy", "polished"),
    "metal": ("metal", "metallic"),
    "wooden": ("wooden",),
    "glass": ("glass", "transparent", "see-through"),
    "furry": ("woolly", "furry", "fluffy"),
}
SIZES: dict[str, tuple[str, ...]] = {"large": ("large", "big", "huge"), "small": ("small", "little", "tiny")}

CATEGORIES = (*THINGS, *STUFF)
NAMES = {**THINGS, **STUFF}


def held_out(color: str, kind: str) -> bool:
    """One pair of colour and kind in twelve is never shown in training: it tells whether words compose."""
    return zlib.crc32(f"{color} {kind}".encode()) % 12 == 0


# How things are usually found. ----------------------------------------------------------------------------

#: bodies whose light falls off to all sides
ROUND = frozenset({
    "ball", "apple", "pear", "lemon", "balloon", "bowl", "vase", "mug", "can", "bottle", "pot", "mushroom",
    "stone", "candle",
})  # fmt: skip
#: lie or fly at any angle
FREE = frozenset({
    "pencil", "key", "spoon", "fork", "knife", "hammer", "leaf", "fish", "butterfly", "spider", "airplane",
    "rocket", "star", "heart", "crescent", "arrow", "cross", "triangle", "gear", "ring", "wheel", "letter",
    "guitar", "glasses", "carrot", "banana", "lemon", "snake", "book", "envelope", "phone",
})  # fmt: skip
#: colours that are drawn half of the time
USUAL = {
    name: tuple(colors.split())
    for name, colors in {
        "apple": "red green yellow", "banana": "yellow", "lemon": "yellow green", "carrot": "orange",
        "pear": "green yellow", "leaf": "green brown orange", "tree": "green orange", "fir": "green",
        "palm": "green", "cactus": "green", "stone": "gray brown", "heart": "red pink", "cone": "orange",
        "fork": "gray", "spoon": "gray", "knife": "gray", "key": "gray yellow", "candle": "white",
        "cat": "black brown gray orange white", "dog": "brown black white", "rabbit": "gray white brown",
        "crescent": "yellow", "box": "brown", "mushroom": "red brown", "spider": "black", "wheel": "black",
        "stool": "brown",
    }.items()
}  # fmt: skip
HOUSEHOLD = tuple(THINGS)[: tuple(THINGS).index("apple")]  #: are found indoors more often than others
