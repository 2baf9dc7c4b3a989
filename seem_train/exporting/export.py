"""A model to take away: plain weights under the official names, or graphs that run without this package.

A folder of graphs::

    image_encoder.onnx  prompt_decoder.onnx  text_encoder.onnx   (or .pt2, programs of torch.export)
    model.json           sizes, temperature, categories: what to feed, and what comes out
    categories.npy       [C+1, D] embeddings of the categories, the background last
    README.md            how to run them with numpy and onnxruntime
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from seem_data.common.files import atomic_path, write_json, write_text
from seem_train.adapters import layers as adapters
from seem_train.data.image_scale import Scale
from seem_train.errors import UserError
from seem_train.exporting.graphs import (
    GRAPHS,
    KEYS,
    LEVELS,
    ImageEncoder,
    PromptDecoder,
    TextEncoder,
    inputs_of,
)
from seem_train.exporting.readme import readme
from seem_train.exporting.target import Format
from seem_train.files import make_folder
from seem_train.model.config import DaViTConfig, SamViTConfig
from seem_train.model.seem import SEEM
from seem_train.model.trunks.timm import TimmConfig
from seem_train.prediction.vocabulary import Category
from seem_train.weights.adapter_folder import metadata_of
from seem_train.weights.official import official_state_dict
from seem_train.weights.tensor_files import write_tensors

TOLERANCE = 1e-2  #: of mask logits, whose usual size is 10, between a graph and the model
_OPSET = 18
_LARGEST = 64  #: padded sides are at most so many times the divisor
#: … and at least: maps one pixel high lie otherwise in memory, for which torch.export traces another program
_SMALLEST = 2


@dataclass(frozen=True)
class Check:
    """How far a graph's outputs are from the model's, on sizes and numbers it was not traced with."""

    graph: str
    difference: float  #: greatest, over all outputs
    flipped: float  #: share of mask pixels on the other side of 0


def export_weights(model: SEEM, out: Path, merge: bool = False) -> None:
    """Plain weights, .safetensors or .pt, under the official names, as the original's code loads them.

    A .safetensors file also keeps the names of the categories and the size of photos, in its metadata.

    Args:
        merge: fold LoRA into the weights it belongs to; the model is changed.

    Raises:
        UserError: the model has adapters that are not to be, or cannot be, merged.
    """
    if adapters.has_adapters(model) and not merge:
        raise UserError("the model holds adapters; with --merge LoRA is folded into plain weights")
    adapters.merge(model)
    write_tensors(out, official_state_dict(model), metadata_of(model.card))


def export_graphs(
    model: SEEM,
    folder: Path,
    categories: Sequence[Category],
    scale: Scale,
    kind: Format = "onnx",
    progress: Callable[[str], None] | None = None,
) -> list[Check]:
    """Write the three graphs, and run each beside the model.

    Args:
        model: any v1 model, adapters included, on the CPU; LoRA is merged.
        scale: how large it is to see photos.
        progress: called with the name of each graph before it is made, which takes a minute.

    Raises:
        UserError: the packages for ONNX are missing, the graph cannot be made, or it computes something else.
    """
    if kind == "onnx":
        _need_packages()
    adapters.fold_lora(model)
    make_folder(folder)
    checks = []
    side = _fixed_side(model, scale)
    for graph in _graphs(model.eval(), side):
        if progress is not None:
            progress(graph.name)
        with torch.no_grad(), _quiet():
            run = _written(graph, folder / f"{graph.name}.{kind}", kind)
            checks.append(_checked(graph, run))
    _describe(model, folder, categories, scale, side, kind)
    return checks


def _fixed_side(model: SEEM, scale: Scale) -> int | None:
    """Of the padded square, for trunks whose windows the exporter cannot follow through changing sizes.

    SAM-ViT has positions for its own size only; of DaViT, torch 2.15 did not end tracing windows of unknown
    number in eight minutes. Some of timm's pad by the size. Focal trunks take any size.
    """
    if isinstance(model.config.trunk, SamViTConfig):
        return model.config.size_divisor
    if isinstance(model.config.trunk, DaViTConfig | TimmConfig):
        return -(-scale.short // model.config.size_divisor) * model.config.size_divisor
    return None


# Graphs: what each is traced with, and checked with. -----------------------------------------------------


@dataclass(frozen=True)
class _Graph:
    name: str
    module: ImageEncoder | PromptDecoder | TextEncoder
    example: tuple[Tensor, ...]  #: inputs that it is traced with
    shapes: dict[str, object]  #: of each input the sides that may change, as `torch.export` takes them
    others: list[tuple[Tensor, ...]]  #: inputs that it is checked with


def _graphs(model: SEEM, side: int | None) -> Iterator[_Graph]:
    divisor = model.config.size_divisor
    draws = torch.Generator().manual_seed(0)
    encoder = ImageEncoder(model)
    sides = [(divisor * h, divisor * w) for h, w in ((2, 3), (2, 2), (4, 2))]
    sides = sides if side is None else [(side, side)] * 2
    photos = [torch.rand(1, 3, h, w, generator=draws) * 255 for h, w in sides]
    height, width = (Dim(side, min=_SMALLEST, max=_LARGEST) for side in "hw")
    free = {2: divisor * height, 3: divisor * width} if side is None else None
    yield _Graph("image_encoder", encoder, (photos[0],), {"image": free}, [(photo,) for photo in photos[1:]])

    with torch.no_grad():
        seen = [encoder(photo)[: 1 + len(LEVELS) + len(KEYS)] for photo in photos]
    examples = [
        (*features, *_prompts(model, features[0], objects, texts, again, draws))
        for features, (objects, texts, again) in zip(
            [*seen, seen[1]], [(2, 2, True), (1, 1, False), (3, 4, True), (1, 3, True)], strict=False
        )
    ]
    auto = Dim.AUTO
    shapes: dict[str, object] = {name: {2: auto, 3: auto} for name in ("mask_features", *LEVELS, *KEYS)}
    shapes |= {"text_tokens": {1: auto}, "text_real": {1: auto}, "text_vectors": {0: auto}}
    shapes |= {"points": {1: auto}, "owners": {1: auto}, "positive": {1: auto}}
    shapes |= {"queries": {0: auto}, "previous": {1: auto, 2: auto, 3: auto}, "memories": None}
    yield _Graph("prompt_decoder", PromptDecoder(model), examples[0], shapes, examples[1:])

    ids = [_ids(model, count, longest, draws) for count, longest in ((2, 9), (1, 4), (5, 17))]
    ids_free: dict[str, object] = {"ids": {0: auto, 1: auto}}
    yield _Graph("text_encoder", TextEncoder(model), (ids[0],), ids_free, [(i,) for i in ids[1:]])


def _prompts(
    model: SEEM, mask_features: Tensor, objects: int, texts: int, again: bool, draws: torch.Generator
) -> tuple[Tensor, ...]:
    """Prompts of so many objects and texts; `again`: a further round, with memory."""
    decoder = model.config.decoder
    pixels, tokens = 5 * objects + 1, 4 * texts
    owners = torch.randint(objects, (1, pixels), generator=draws)
    owners[:, -1] = -1
    memories = torch.randint(objects, (decoder.layers, decoder.memories), generator=draws).sort(1).values
    real = torch.ones(1, tokens, dtype=torch.bool)
    real[:, -1] = texts == 1
    shape = (1, objects, *mask_features.shape[-2:])
    return (
        torch.randn(1, tokens, decoder.dim, generator=draws),
        real,
        torch.randn(texts, model.config.language.projection, generator=draws),
        torch.rand(1, pixels, 2, generator=draws),
        owners,
        torch.rand(1, pixels, generator=draws) < 0.7,
        torch.randint(decoder.queries, (objects, decoder.queries_per_prompt), generator=draws),
        torch.randn(shape, generator=draws) * 5 if again else torch.zeros(shape),
        memories if again else torch.full_like(memories, -1),
    )


def _ids(model: SEEM, count: int, longest: int, draws: torch.Generator) -> Tensor:
    """Token ids as the tokenizer gives them: the end of text is the greatest id."""
    end = model.config.language.vocabulary - 1
    ids = torch.randint(1, end, (count, longest), generator=draws)
    ids[:, -1] = end
    ids[-1, longest // 2 :] = end
    return ids


# Writing and checking. -----------------------------------------------------------------------------------

Run = Callable[[Sequence[Tensor]], list[np.ndarray]]


def _written(graph: _Graph, path: Path, kind: Format) -> Run:
    """Export, save, and a way to run what was saved."""
    try:
        program = torch.export.export(graph.module, graph.example, dynamic_shapes=graph.shapes)
        if kind == "pt2":
            with atomic_path(path) as new:
                torch.export.save(program, new)
            return _run_program(torch.export.load(path))
        module = graph.module
        if isinstance(module, ImageEncoder) and isinstance(module.model.config.trunk, SamViTConfig):
            program = program.run_decompositions()  # its attention has 3 dimensions, the translation wants 4
        _save_onnx(program, graph, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from None
    except Exception as error:  # the exporter raises whatever it meets in the model's code
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UserError(
            f"{path.name}: torch {torch.__version__} cannot export this model "
            f"({type(error).__name__}: {first.strip()}); other graphs and plain weights can be"
        ) from error
    return _run_onnx(path, graph)


def _save_onnx(program: ExportedProgram, graph: _Graph, path: Path) -> None:
    made = torch.onnx.export(
        program,
        dynamo=True,
        verbose=False,
        opset_version=_OPSET,
        input_names=inputs_of(graph.name),
        output_names=list(graph.module.OUTPUTS),
    )
    assert made is not None
    made.save(str(path), external_data=True)


def _run_program(program: ExportedProgram) -> Run:
    module = program.module()
    return lambda inputs: [output.numpy() for output in module(*inputs)]


def _run_onnx(path: Path, graph: _Graph) -> Run:
    onnxruntime: Any = importlib.import_module("onnxruntime")  # of the extra `onnx`
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    taken = {entry.name for entry in session.get_inputs()}

    def run(inputs: Sequence[Tensor]) -> list[np.ndarray]:
        fed = {n: t.numpy() for n, t in zip(inputs_of(graph.name), inputs, strict=True) if n in taken}
        return [np.asarray(output) for output in session.run(None, fed)]

    return run


def _checked(graph: _Graph, run: Run) -> Check:
    worst, flipped = 0.0, 0.0
    for inputs in graph.others:
        for output, expected in zip(run(inputs), graph.module(*inputs), strict=True):
            wanted = expected.numpy()
            worst = max(worst, float(np.abs(output - wanted).max()))
            flipped = max(flipped, float(((output > 0) != (wanted > 0)).mean()))
    if not worst <= TOLERANCE:
        raise UserError(
            f"{graph.name}: the graph is {worst:.2g} away from the model (at most {TOLERANCE:g} is allowed)"
        )
    return Check(graph.name, worst, flipped)


def _describe(
    model: SEEM,
    folder: Path,
    categories: Sequence[Category],
    scale: Scale,
    side: int | None,
    kind: Format,
) -> None:
    config = model.config
    with torch.no_grad():
        embeddings = model.class_embeddings([category.name for category in categories])
        temperature = float(model.language.logit_scale.exp())
    with atomic_path(folder / "categories.npy") as new:
        np.save(new, embeddings.numpy())
    facts = {
        "format": kind,
        "graphs": {
            name: {"inputs": inputs_of(name), "outputs": graph.OUTPUTS} for name, graph in GRAPHS.items()
        },
        "image": {
            "short_side": side or scale.short,
            "longest_side": side or scale.longest,
            "divisor": side or config.size_divisor,
            "smallest_side": side or _SMALLEST * config.size_divisor,
            "padding": list(config.pixel_mean),
        },
        "queries": config.decoder.queries,
        "queries_per_object": config.decoder.queries_per_prompt,
        "layers": config.decoder.layers,
        "memories": config.decoder.memories,
        "largest_marks": min(config.decoder.max_points),
        "temperature": temperature,
        "object_threshold": config.postprocess.object_threshold,
        "overlap_threshold": config.postprocess.overlap_threshold,
        "categories": [category.as_coco() for category in categories],
    }
    write_json(folder / "model.json", facts, indent=1)
    write_text(folder / "README.md", readme(kind))


def _need_packages() -> None:
    missing = [
        name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise UserError(
            f"export to ONNX needs {', '.join(missing)}; install with: pip install 'seem-tools[onnx]' "
            "(or use --format pt2, which needs nothing more)"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters report every optimisation they leave out."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
