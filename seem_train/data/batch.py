"""Samples ─▶ batches: what a training step looks at, what it is told, and what it should answer.

Masks travel as one id map an image, 16 bit a pixel; boolean masks are made last, on the device, by
`Batch.targets`. Every example is a function of (seed, epoch, index, copy) alone.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import get_args

import cv2
import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from seem_train.config import DataConfig, Task
from seem_train.data.augment import augment, draw_geometry
from seem_train.data.dataset import Sample, SegmentationSet
from seem_train.data.sampler import Draw, StepSampler
from seem_train.data.strokes import draw_strokes
from seem_train.errors import UserError
from seem_train.losses.targets import (
    GroundingMode,
    GroundingTargets,
    ObjectTargets,
    Sizes,
    SpatialTargets,
    Targets,
)
from seem_train.model.language import training_prompts

_GEOMETRY, _COLORS, _PHRASES, _STROKES = range(4)  #: purposes of generators
TASKS: tuple[Task, ...] = get_args(Task)


@dataclass(frozen=True)
class StepPhrase:
    """One phrase of a step."""

    text: str
    segment: int  #: index into the example's segments
    group: int  #: equal for phrases of an image that mean the same: equal sentences, or one category


@dataclass(frozen=True)
class Example:
    """One image as a training step sees it; S the training size, k its interactive objects."""

    image: Tensor  #: [3, S, S] uint8 RGB
    id_map: Tensor  #: [S, S] int16; 0 unlabelled, n + 1 for segment n
    categories: tuple[int, ...]  #: of each segment
    mode: GroundingMode
    phrases: tuple[StepPhrase, ...]
    prompted: tuple[int, ...]  #: [k] the segments that strokes are on
    strokes: Tensor  #: [k, S, S] bool
    file: str


class TrainingSet(torch.utils.data.Dataset[Example]):
    """A dataset indexed by `Draw`: the image, augmented, with phrases and strokes."""

    def __init__(self, images: SegmentationSet, config: DataConfig, seed: int) -> None:
        self.images, self.config, self.seed = images, config, seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw) -> Example:
        record = self.images.images[draw.index]
        config, names = self.config, self.images.names
        geometry = draw_geometry(record.height, record.width, config, draw.generator(self.seed, _GEOMETRY))
        sample = self.images.load(draw.index, at_least=(geometry.height, geometry.width))
        sample = augment(sample, geometry, config, draw.generator(self.seed, _COLORS), names)
        mode, phrases = choose_phrases(sample, names, config.phrases, draw.generator(self.seed, _PHRASES))
        ids = sample.id_map.numpy()
        places = np.arange(1, len(sample.segments) + 1)
        chosen, strokes = draw_strokes(ids, places, config.prompts, draw.generator(self.seed, _STROKES))
        return Example(
            image=sample.image.contiguous(),
            id_map=sample.id_map.to(torch.int16),
            categories=tuple(segment.category for segment in sample.segments),
            mode=mode,
            phrases=phrases,
            prompted=tuple(int(place) - 1 for place in chosen),
            strokes=torch.from_numpy(strokes),
            file=sample.file,
        )


def choose_phrases(
    sample: Sample, names: Sequence[str], at_most: int, rng: np.random.Generator
) -> tuple[GroundingMode, tuple[StepPhrase, ...]]:
    """What is asked about an image: 1 to `at_most` of its grounded segments, each by one of its sentences in
    lower case.

    An image about which nothing is said is asked about 1 to `at_most` of its categories: every segment of
    these, each in a random template, as in the original.
    """
    most = int(rng.integers(1, at_most + 1))
    if sample.phrases:
        chosen = [sample.phrases[i] for i in rng.permutation(len(sample.phrases))[:most]]
        texts = [p.sentences[int(rng.integers(len(p.sentences)))].raw.lower() for p in chosen]
        numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        return "text", tuple(
            StepPhrase(text, phrase.segment, numbers[text])
            for text, phrase in zip(texts, chosen, strict=True)
        )
    there = sorted({segment.category for segment in sample.segments})
    asked = [there[i] for i in rng.permutation(len(there))[:most]]
    about = [(n, s.category) for n, s in enumerate(sample.segments) if s.category in asked]
    texts = training_prompts([names[category] for _, category in about], lambda n: int(rng.integers(n)))
    return "class", tuple(
        StepPhrase(text, segment, category) for text, (segment, category) in zip(texts, about, strict=True)
    )


@dataclass(frozen=True)
class Batch:
    """B examples. Pixels may live on any device; all the rest is plain Python and stays on the host."""

    images: Tensor  #: [B, 3, S, S] uint8 RGB
    id_maps: Tensor  #: [B, S, S] int16
    examples: tuple[Example, ...] = field(repr=False)  #: without their pixels; strokes on the CPU

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def files(self) -> list[str]:
        return [example.file for example in self.examples]

    @property
    def texts(self) -> list[str]:
        """All phrases, image after image; as many as the grounding targets have masks."""
        return [phrase.text for example in self.examples for phrase in example.phrases]

    def said(self, image: int) -> list[str]:
        """What the model is told about an image: phrases of one group are said once, by the first of them.

        (All of them are compared with the queries. So it is in the original, where one category's instances
        have different templates.)
        """
        first: dict[int, str] = {}
        for phrase in self.examples[image].phrases:
            first.setdefault(phrase.group, phrase.text)
        return list(first.values())

    def strokes(self, image: int) -> Tensor | None:
        """[k, S, S] bool on the CPU; None where the image has no interactive object."""
        strokes = self.examples[image].strokes
        return strokes if len(strokes) else None

    def sizes(self, tasks: Collection[Task] = TASKS) -> Sizes:
        """Of `targets`, before any mask is made; for `Criterion.count`."""
        return Sizes(
            segments=tuple(len(example.categories) for example in self.examples),
            phrases=tuple(len(e.phrases) for e in self.examples) if "grounding" in tasks else None,
            prompts=sum(len(e.prompted) for e in self.examples) if "interactive" in tasks else 0,
        )

    def to(self, device: torch.device) -> Batch:
        """Pixels on `device`; from pinned memory without waiting."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=True),
            id_maps=self.id_maps.to(device, non_blocking=True),
        )

    def pin_memory(self) -> Batch:
        """Called by ``DataLoader``."""
        return replace(self, images=self.images.pin_memory(), id_maps=self.id_maps.pin_memory())

    def targets(self, tasks: Collection[Task] = TASKS) -> Targets:
        """Boolean masks of what is learned, where the pixels are; of objects always."""
        device = self.id_maps.device
        counts = tuple(len(example.categories) for example in self.examples)
        masks = [
            ids == torch.arange(1, count + 1, device=device, dtype=ids.dtype)[:, None, None]
            for ids, count in zip(self.id_maps, counts, strict=True)
        ]
        everything = torch.cat(masks)
        starts = np.cumsum([0, *counts]).tolist()

        def rows(segments: Sequence[Sequence[int]]) -> Tensor:
            return _on(
                chain(*([start + s for s in of] for start, of in zip(starts, segments, strict=False))), device
            )

        categories = _on(chain(*(example.categories for example in self.examples)), device)
        grounding = None
        if "grounding" in tasks:
            spoken = [example.phrases for example in self.examples]
            about = rows([[phrase.segment for phrase in phrases] for phrases in spoken])
            grounding = GroundingTargets(
                masks=everything.index_select(0, about),
                groups=_on((phrase.group for phrases in spoken for phrase in phrases), device),
                modes=tuple(example.mode for example in self.examples),
                counts=tuple(len(phrases) for phrases in spoken),
            )
        prompted = [example.prompted for example in self.examples]
        spatial = None
        if "interactive" in tasks and any(prompted):
            spatial = SpatialTargets(
                masks=everything.index_select(0, rows(prompted)),
                present=(True,) * sum(map(len, prompted)),
                counts=tuple(map(len, prompted)),
            )
        return Targets(ObjectTargets(everything, categories, counts), grounding, spatial)


def collate(examples: Sequence[Example]) -> Batch:
    nothing = torch.empty(0)
    return Batch(
        images=torch.stack([example.image for example in examples]),
        id_maps=torch.stack([example.id_map for example in examples]),
        examples=tuple(replace(example, image=nothing, id_map=nothing) for example in examples),
    )


def training_batches(
    dataset: TrainingSet, sampler: StepSampler, workers: int, pin_memory: bool = False
) -> Iterator[Batch]:
    """The run's `Batch`es in order, from the sampler's first step to its last, read ahead by `workers`
    processes that live as long as the run (0: in this one).

    Raises:
        UserError: an image cannot be read.
    """
    if workers:
        # Workers are forked, and OpenCV's threads do not survive a fork: a worker that inherits a pool waits
        # for it for ever. Workers are the parallelism anyway.
        cv2.setNumThreads(0)
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_sampler=sampler,  # pyright: ignore[reportArgumentType]  # yields draws, not numbers
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        prefetch_factor=2 if workers else None,
        worker_init_fn=_ignore_signals,
    )
    batches = iter(loader)
    try:
        yield from batches
    except UserError as error:
        # What comes out of a worker has its traceback for a message, the original's at the end.
        raise UserError(str(error).rpartition(f"{UserError.__name__}: ")[2].strip()) from None
    finally:
        # An error's traceback would keep the workers; they ignore the SIGTERM by which Python, which then
        # waits for them, ends what is left at exit.
        if workers:
            batches._shutdown_workers()  # pyright: ignore[reportAttributeAccessIssue]


def _ignore_signals(_: int) -> None:
    """Signals go to whole groups of processes (Ctrl-C, schedulers): the run must outlive them to save, and a
    worker ends when the run does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def _on(numbers: Iterable[int], device: torch.device) -> Tensor:
    return torch.tensor(list(numbers), dtype=torch.long).to(device, non_blocking=True)
