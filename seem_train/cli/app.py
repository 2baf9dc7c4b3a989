"""``seem-train``: mounts the commands, which have modules of their own; what users can mend is one line."""

from __future__ import annotations

import errno
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from seem_data.common.terminal import tell
from seem_data.version import __version__
from seem_train.cli.bench import bench
from seem_train.cli.demo import demo
from seem_train.cli.evaluate import evaluate
from seem_train.cli.export import export
from seem_train.cli.predict import predict
from seem_train.cli.run import init, run, strategies
from seem_train.cli.weights import models, weights
from seem_train.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
#: what a path on the command line runs into, wherever it is first used
_NO_PLACE = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.EACCES, errno.ELOOP)


class _OneLineErrors(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):  # RuntimeErrors, too
            raise
        except (UserError, RuntimeError, MemoryError, OSError) as error:
            reason = _mendable(error)
            if reason is None:
                raise
            tell(f"error: {reason}", err=True)
            raise typer.Exit(2) from None


def _mendable(error: Exception) -> str | None:
    """What to tell whoever can mend it; None where the fault is ours."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        file = str(error.filename or "a file")[:100]
        if error.errno in _FULL:
            return f"{file} cannot be written: {error.strerror}"
        return f"{file}: {error.strerror}; name another place" if error.errno in _NO_PLACE else None
    from seem_train.runtime import allocator_error  # imports torch

    detail = allocator_error(error)
    return None if detail is None else f"out of memory ({detail}); try a smaller --size or --batch"


app = typer.Typer(
    name="seem-train",
    cls=_OneLineErrors,
    help="Fine-tune, evaluate and use SEEM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)


def _version(asked: bool) -> None:
    if asked:
        tell(f"seem-train {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="print the version, and stop", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Fine-tune, evaluate and use SEEM."""


for command in (run, init, strategies, evaluate, predict, demo, export, bench, models):
    app.command(command.__name__)(command)
app.add_typer(weights, name="weights")
