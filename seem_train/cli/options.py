"""Options of the commands from dataclasses: a field is an option, its metadata the help text.

    @dataclass(frozen=True)
    class Choices:
        model: str = argument("run folder, weights file, or a model such as focal-l")
        size: int | None = option(None, "shorter side of the photos")

    @with_options(Choices)
    def export(choices: Choices) -> None:
        ...

The field's name is the flag (``--size``) unless another is given; its type is what the command line reads.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, field
from functools import partial
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from seem_train.cli.early import check_all
from seem_train.devices import DEVICES, PRECISIONS, check_device, check_precision

Chosen = TypeVar("Chosen")

# What several commands ask, said alike.
MODEL = "run folder, weights file, or a model such as focal-l"
PRESET = "model of a weights file that does not tell"
SIZE = "shorter side of the photos"
OBJECT_THRESHOLD = "least score of a panoptic segment, 0 to 1 (the original: 0.8)"
OVERLAP_THRESHOLD = "least share of itself that a segment must keep, 0 to 1 (0.8)"
MAX_PIXELS = "photos of more are refused: they fill the memory"
AS_JSON = "print JSON"


def argument(help: str, default: object = MISSING) -> Any:  # stands where the field's type does
    """A field that is given by its place; without a default it must be."""
    return field(default=default, metadata={"told": typer.Argument(help=help)})


def option(
    default: object,
    help: str,
    flag: str | None = None,
    panel: str | None = None,
    words: Sequence[str] = (),
    metavar: str | None = None,
    check: Callable[[str], object] | None = None,
) -> Any:
    """A field that is given by name.

    Args:
        flag: its name where it is not the field's.
        panel: heading of the help under which it stands.
        words: what the shell offers to complete it.
        metavar: what the help shows in place of the type.
        check: raises a UserError for a given value that cannot be, before the command begins.
    """

    def offer(incomplete: str) -> list[str]:  # typer tells what is wanted by the parameter's name
        return [word for word in words if word.startswith(incomplete)]

    told = typer.Option(
        *([] if flag is None else [flag]),
        help=help,
        rich_help_panel=panel,
        metavar=metavar,
        autocompletion=offer if words else None,
    )
    return field(default=default, metadata={"told": told, "check": check})


def device_option(panel: str | None = None) -> Any:
    return option("auto", "auto, cpu or cuda", panel=panel, words=DEVICES, check=check_device)


def precision_option(panel: str | None = None) -> Any:
    return option("auto", "auto, fp32, bf16 or fp16", panel=panel, words=PRECISIONS, check=check_precision)


def categories_option(panel: str | None = None, of: str = "") -> Any:
    told = f"{of}names, as 'mug,table', or their JSON file; default: the run's, else COCO's 133"
    return option(None, told, panel=panel, check=_check_categories)


def _check_categories(given: str) -> None:
    from seem_train.prediction.vocabulary import as_categories

    as_categories(given)


def with_options(kind: type[Chosen]) -> Callable[[Callable[[Chosen], None]], Callable[..., None]]:
    """Makes a command of a function that takes one dataclass."""

    def decorate(function: Callable[[Chosen], None]) -> Callable[..., None]:
        def command(**values: object) -> None:
            check_all(*_checks(kind, values))
            function(kind(**values))

        return as_command(command, function, _parameters(kind))

    return decorate


def _checks(kind: type, values: Mapping[str, object]) -> Iterator[Callable[[], object]]:
    for item in dataclasses.fields(kind):
        check = item.metadata.get("check")
        if check is not None and values[item.name] is not None:
            yield partial(check, values[item.name])


def as_command(
    command: Callable[..., None], named: Callable[..., None], parameters: Iterable[inspect.Parameter]
) -> Callable[..., None]:
    """`command` under the name and help of another, with these parameters for typer to read."""
    parameters = list(parameters)
    command.__name__, command.__doc__, command.__module__ = named.__name__, named.__doc__, named.__module__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def parameter(name: str, kind: object, default: object, told: OptionInfo | ArgumentInfo) -> inspect.Parameter:
    """One that typer reads: a name, what is read, and a `typer.Option` or `typer.Argument`."""
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, told],
    )


def _parameters(kind: type) -> Iterable[inspect.Parameter]:
    hints = get_type_hints(kind)
    for item in dataclasses.fields(kind):
        default = inspect.Parameter.empty if item.default is MISSING else item.default
        yield parameter(item.name, hints[item.name], default, item.metadata["told"])
