"""The README of exported graphs: how to run them with numpy and onnxruntime, and nothing of this package."""

from __future__ import annotations

_INTRODUCTION = """\
# A SEEM model as graphs

`image_encoder` looks at a photo once; `prompt_decoder` answers texts and marks on it as often as you like;
`text_encoder` turns token ids of CLIP's tokenizer into embeddings. `model.json` holds sizes, names of inputs
and outputs, and categories; `categories.npy` their embeddings.

Photos may have any size (of DaViT and SAM-ViT models, they are padded to one size) and prompts any number;
photos go one at a time. Not in the graphs: reference photos, and which learned queries an object gets.
"""

_PT2 = """\
These are programs of `torch.export`: `torch.export.load("image_encoder.pt2").module()(image)`. Their inputs
and outputs are tensors in the order that model.json names. What to feed is best seen in an export to ONNX.
"""

#: Run by the tests as it stands.
EXAMPLE = '''\
import json

import numpy as np
import onnxruntime
from PIL import Image

model = json.load(open("model.json"))
image = model["image"]
graph = {name: onnxruntime.InferenceSession(f"{name}.onnx") for name in model["graphs"]}

# A photo: scaled, then padded right and below to a multiple of the divisor.
photo = Image.open("photo.jpg").convert("RGB")
factor = min(image["short_side"] / min(photo.size), image["longest_side"] / max(photo.size))
w, h = (max(1, int(side * factor + 0.5)) for side in photo.size)
divisor, smallest = image["divisor"], image["smallest_side"]
W, H = (max(-(-side // divisor) * divisor, smallest) for side in (w, h))
padded = np.empty((1, 3, H, W), np.float32)
padded[:] = np.float32(image["padding"])[:, None, None]
padded[0, :, :h, :w] = np.asarray(photo.resize((w, h), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
outputs = model["graphs"]["image_encoder"]["outputs"]
seen = dict(zip(outputs, graph["image_encoder"].run(None, {"image": padded})))


def mask_of(logits):
    """Mask logits [H/4, W/4] to a mask at the size of the photo."""
    large = Image.fromarray(logits).resize((W, H), Image.Resampling.BILINEAR).crop((0, 0, w, h))
    return np.asarray(large.resize(photo.size, Image.Resampling.BICUBIC)) > 0


# Everything: how likely each query is of each category (the last column: of none).
vectors = seen["object_vectors"][0]
vectors = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-7)
logits = model["temperature"] * vectors @ np.load("categories.npy").T
chances = np.exp(logits - logits.max(1, keepdims=True))
chances /= chances.sum(1, keepdims=True)
best = chances[:, :-1].max(1).argmax()
print(model["categories"][chances[best, :-1].argmax()]["name"], mask_of(seen["object_masks"][0, best]).sum())

# A text, by its ids (here: start, "mug", end), and a click on an object, three pixels wide.
texts = np.array([[49406, 9722, 49407]])
tokens, text_vectors = graph["text_encoder"].run(None, {"ids": texts})
x, y = photo.width // 2, photo.height // 2
column, row = int((x + 0.5) * w / photo.width), int((y + 0.5) * h / photo.height)
rows, columns = np.mgrid[row - 1 : row + 2, column - 1 : column + 2]
pixels = np.stack((columns / W, rows / H), axis=-1).reshape(1, -1, 2).astype(np.float32)
objects, marks = 1, pixels.shape[1]
drawn = np.random.default_rng(0).integers(model["queries"], size=(objects, model["queries_per_object"]))
prompts = {
    **{name: seen[name] for name in outputs if not name.startswith("object")},
    "text_tokens": tokens.reshape(1, -1, tokens.shape[-1]),  # of real tokens only
    "text_real": np.ones((1, tokens.shape[0] * tokens.shape[1]), bool),
    "text_vectors": text_vectors,
    "points": pixels,
    "owners": np.zeros((1, marks), np.int64),
    "positive": np.ones((1, marks), bool),
    "queries": drawn,
    "previous": np.zeros((1, objects, H // 4, W // 4), np.float32),
    "memories": np.full((model["layers"], model["memories"]), -1),
}
similarity, text_masks, object_masks = graph["prompt_decoder"].run(None, prompts)
mug = mask_of(text_masks[0, similarity[:, 0].argmax()])
clicked = mask_of(object_masks[0, 0])
print("mug", mug.sum(), "clicked", clicked.sum())
'''


def readme(kind: str) -> str:
    """In Markdown; `kind`: onnx or pt2."""
    return _INTRODUCTION + "\n" + (_PT2 if kind == "pt2" else f"```python\n{EXAMPLE}```\n")
