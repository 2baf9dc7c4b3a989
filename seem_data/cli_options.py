"""The options of ``seem-data build``: a field is an option. Light to import, as all of the command line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

Workers = Annotated[
    int | None, typer.Option(help="processes [default: one for each core]", show_default=False)
]
MaxMegapixels = Annotated[
    float, typer.Option(help="photos with more are not decoded; memory grows by them; at most 178")
]


@dataclass(frozen=True)
class BuildChoices:
    """What ``seem-data build`` is asked; `Options` and `Manner` of `building.options` check it."""

    colors: Annotated[
        Path, typer.Option(help="colour map: categories with colour and isthing", show_default=False)
    ]
    polys: Annotated[Path | None, typer.Option(help="polygon annotations: a folder or a file")] = None
    masks: Annotated[Path | None, typer.Option(help="painted masks, the ground under the polygons")] = None
    images: Annotated[Path | None, typer.Option(help="photos, where they lie apart")] = None
    out: Annotated[Path, typer.Option(help="the dataset's folder")] = Path("dataset")
    split: Annotated[
        str,
        typer.Option(
            help="shares (train=0.8,val=0.2), lists (train=train.txt,val=val.txt), 'folders', or 'auto': "
            "as the input says, else train=0.8,val=0.2"
        ),
    ] = "auto"
    group_by: Annotated[
        str | None,
        typer.Option(help=r"regular expression: images in whose names it finds the same stay together"),
    ] = None
    format: Annotated[str, typer.Option(help="of the annotations, see 'seem-data formats'")] = "auto"
    unknown: Annotated[str, typer.Option(help="labels without category: skip, error, or a category")] = "skip"
    overlap: Annotated[
        str, typer.Option(help="who is on top: format, small-on-top, category-priority, error")
    ] = "format"
    unlabeled: Annotated[
        str, typer.Option(help="what nobody labelled becomes: void, nearest, or a stuff category")
    ] = "void"
    min_area: Annotated[int, typer.Option(help="drop objects that show fewer pixels")] = 0
    min_coverage: Annotated[float, typer.Option(help="warn where less of an image is labelled")] = 0.5
    instances: Annotated[
        str, typer.Option(help="things in painted masks: one a category, or connected components")
    ] = "one"
    sentences: Annotated[Path | None, typer.Option(help="JSON or CSV of sentences by image and object")] = (
        None
    )
    annotator: Annotated[
        str | None,
        typer.Option(help="whose work is read where several annotated a photo [default: the newest]"),
    ] = None
    sentences_per_segment: Annotated[int, typer.Option(help="most generated sentences of a segment")] = 4
    generated: Annotated[bool, typer.Option(help="generate sentences")] = True
    seed: Annotated[int, typer.Option(help="of the split and the choice of sentences")] = 0
    strict: Annotated[bool, typer.Option(help="build nothing if anything would be left out")] = False
    verify: Annotated[
        bool, typer.Option("--verify", help="tell changed files by their content, not by size and time")
    ] = False
    link: Annotated[
        bool, typer.Option("--link", help="hard links to the photos: who changes one changes the other")
    ] = False
    max_megapixels: MaxMegapixels = 100.0
    workers: Workers = None
    engine: Annotated[str, typer.Option(help="auto, local, pool or ray")] = "auto"
    ray_address: Annotated[str | None, typer.Option(help="a running Ray cluster")] = None


def taking_choices(function: Callable[[BuildChoices, bool], None]) -> Callable[..., None]:
    """Makes a command with ``--json`` of a function that takes `BuildChoices`: each field is an option."""
    fields = inspect.signature(BuildChoices, eval_str=True).parameters.values()
    own = inspect.signature(function, eval_str=True).parameters["json"]
    parameters = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in (*fields, own)]

    @functools.wraps(function)
    def command(json: bool, **given: object) -> None:
        function(BuildChoices(**given), json)  # pyright: ignore[reportArgumentType]

    del command.__wrapped__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
