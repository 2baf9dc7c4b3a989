"""``seem-train demo``: a page to look, click, correct and keep; and the model behind HTTP."""

from __future__ import annotations

import importlib.util
import os
import secrets
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seem_train.cli import options
from seem_train.cli.early import check_all, check_model
from seem_train.cli.options import argument, option, with_options
from seem_train.cli.progress import say
from seem_train.errors import UserError
from seem_train.prediction.finding import find_photos
from seem_train.ranges import check_ranges

if TYPE_CHECKING:
    from seem_train.demo.limits import Limits
    from seem_train.demo.models import DemoModel
    from seem_train.demo.server import Address
    from seem_train.demo.workplace import Offer

_SERVER, _HOW = "Server", "How"
_NEEDED = ("starlette", "uvicorn")
_OWN = ("127.0.0.1", "localhost", "::1")
_TOKEN, _STUDIO_TOKEN = "SEEM_DEMO_TOKEN", "LABEL_STUDIO_API_KEY"


@dataclass(frozen=True)
class DemoOptions:
    model: str = argument(options.MODEL)
    compare: str | None = option(
        None, "another model to compare with; 'base': what the run started from", metavar="BASE"
    )
    images: Path | None = option(None, "folder of photos, shown least sure first", metavar="FOLDER")
    keep: Path = option(
        Path("kept"), "folder for corrected photos, which seem-data build reads", metavar="FOLDER"
    )
    categories: str | None = options.categories_option()
    host: str = option(
        "127.0.0.1",
        f"address to listen on; any but this machine's asks for a token (${_TOKEN})",
        None,
        _SERVER,
    )
    port: int = option(8765, "0: any that is free", None, _SERVER)
    browser: bool = option(False, "open the page in a browser", "--open", _SERVER)
    max_sessions: int | None = option(None, "photos on the table at once; default: 64", None, _SERVER)
    memory: float | None = option(
        None, "GB for what the model saw in photos, which is kept as long as there is room; default: 2",
        None, _SERVER,
    )  # fmt: skip
    max_pixels: int | None = option(
        None, "photos of more are refused: they fill the memory; default: 64 million", None, _SERVER
    )
    label_studio: str | None = option(
        None,
        f"address of Label Studio, to be its ML backend; its token stands in ${_STUDIO_TOKEN}",
        None,
        _SERVER,
        metavar="URL",
    )
    preset: str | None = option(None, options.PRESET, "--model", _HOW)
    size: int | None = option(None, f"{options.SIZE}; default: the run's, else 800", None, _HOW)
    device: str = options.device_option(_HOW)
    precision: str = options.precision_option(_HOW)


@with_options(DemoOptions)
def demo(chosen: DemoOptions) -> None:
    """Open a page in the browser: drop a photo, click, correct, compare, and keep it for the next training.

    Everything is served from this machine. The same address answers programs (/openapi.json) and is an ML
    backend for Label Studio.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"seem-train demo needs {' and '.join(missing)}; install with: pip install 'seem-tools[demo]'"
        )
    counts = {
        "--size": chosen.size,
        "--max-sessions": chosen.max_sessions,
        "--max-pixels": chosen.max_pixels,
        "--memory": chosen.memory,
    }
    photos: list[Path] = []
    check_all(
        lambda: check_ranges({}, counts),
        lambda: _check_port(chosen.port),
        lambda: _check_studio(chosen.label_studio),
        lambda: None if chosen.images is None else photos.extend(find_photos([str(chosen.images)])),
        lambda: check_model(chosen.model),
        lambda: None if chosen.compare in (None, "base") else check_model(chosen.compare),
    )
    say(f"loading {chosen.model} …")
    from seem_train.demo.label_studio.backend import routes
    from seem_train.demo.label_studio.photos import StudioPhotos
    from seem_train.demo.server import serve

    token = None
    if chosen.host not in _OWN:
        token = os.environ.get(_TOKEN) or secrets.token_urlsafe(18)
    studio = routes(StudioPhotos(chosen.label_studio, os.environ.get(_STUDIO_TOKEN), _limits(chosen).body))
    serve(_offer(chosen, photos), chosen.host, chosen.port, token, lambda a: _tell(a, chosen), studio)


def _check_port(port: int) -> None:
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port}: must lie between 0 and 65535; 0 takes one that is free")


def _check_studio(address: str | None) -> None:
    if address is not None and not address.startswith(("http://", "https://")):
        raise UserError(f"--label-studio {address}: must begin with http:// or https://")


def _offer(chosen: DemoOptions, photos: list[Path]) -> Offer:
    from seem_train.demo.album import Album
    from seem_train.demo.keeping import KeptFolder
    from seem_train.demo.workplace import Offer

    limits = _limits(chosen)
    model, base = _models(chosen, limits)
    kept = KeptFolder(chosen.keep, model.predictor.categories)
    return Offer(model, base, Album(photos, kept.has, limits.pixels), kept, limits)


def _limits(chosen: DemoOptions) -> Limits:
    from seem_train.demo.limits import Limits

    memory = None if chosen.memory is None else int(chosen.memory * 2**30)
    given = {"sessions": chosen.max_sessions, "pixels": chosen.max_pixels, "embedded": memory}
    return Limits(**{name: most for name, most in given.items() if most is not None})


def _models(chosen: DemoOptions, limits: Limits) -> tuple[DemoModel, DemoModel | None]:
    from seem_train.demo.models import DemoModel
    from seem_train.prediction.predictor import Predictor
    from seem_train.runtime import pick_device, pick_precision
    from seem_train.weights.opening import open_base, open_model
    from seem_train.weights.thresholds import read_thresholds

    device = pick_device(chosen.device)
    precision = pick_precision(chosen.precision, device)
    opened = open_model(chosen.model, chosen.preset, device)
    predictor = Predictor(opened.model, chosen.categories, size=chosen.size, precision=precision)
    found_from = read_thresholds(opened.folder).phrases or 0.0
    model = DemoModel(predictor, Path(chosen.model).name or chosen.model, limits.embedded, found_from)
    if chosen.compare is None:
        return model, None
    other = (
        open_base(opened, device) if chosen.compare == "base" else open_model(chosen.compare, None, device)
    )
    base = Predictor(
        other.model, predictor.categories, size=chosen.size or predictor.scale.short, precision=precision
    )
    name = "base" if chosen.compare == "base" else Path(chosen.compare).name or chosen.compare
    return model, DemoModel(base, name, limits.embedded)


def _tell(address: Address, chosen: DemoOptions) -> None:
    say(f"open {address.url}    (Ctrl+C stops; what you keep goes to {chosen.keep})")
    if chosen.browser:
        webbrowser.open(address.url)
