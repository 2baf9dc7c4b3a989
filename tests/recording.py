"""What the code does, recorded, so that a refactoring can be held against it: bytes, numbers and words.

    python tests/recording.py write BEFORE.json --code CLONE-OF-BEFORE
    python tests/recording.py compare BEFORE.json

Everything goes through the command lines, so that any version of the code can be recorded: datasets
(SHA-256 of every file) of both examples and of the real annotations in ../shared, five training steps of
each strategy (losses, and the norm of every tensor that the checkpoint holds), `evaluate` and `predict`
as JSON, and every help text. Versions that draw random weights otherwise are compared from the same ones:
``--weights FILE`` (of the preset tiny). Datasets and help texts are compared to the byte, numbers to a
relative 1e-5.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("SEEM_SHARED", ROOT.parent / "shared"))
TOLERANCE = 1e-5
STRATEGIES = (
    "head-adapter",
    "adapter",
    "head",
    "backbone-adapter+head",
    "lora",
    "backbone-lora+lora",
    "full",
)
PROMPTS = {
    "panoptic": ["--panoptic"],
    "semantic": ["--semantic"],
    "instances": ["--instances", "--min-score", "0.05"],
    "text": ["--text", "the red ball"],
    "point": ["--point", "160,120"],
    "box": ["--box", "40,40,200,200"],
    "stroke": ["--stroke", "40,60 80,90 120,100"],
    "text and point": ["--text", "the plate", "--point", "150,200"],
}
REAL = (
    "labelme_semantic",
    "labelme_primitives",
    "datumaro/coco_dataset/coco_instances",
    "datumaro/coco_dataset/coco_panoptic",
    "datumaro/voc_dataset/voc_dataset1",
    "datumaro/cvat_dataset/for_images",
    "datumaro/cvat_dataset/for_video",
    "datumaro/yolo_dataset/yolo",
    "datumaro/yolo_dataset/yolov8_detection",
    "datumaro/yolo_dataset/yolov8_oriented_boxes",
    "datumaro/yolo_dataset/yolov8_segmentation",
)
COMMANDS = {
    "seem_data": ("", "build", "init", "validate", "stats", "report", "export", "formats"),
    "seem_train": (
        "",
        "run",
        "init",
        "strategies",
        "evaluate",
        "predict",
        "export",
        "bench",
        "models",
        "weights",
    ),
}

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"


class Recorder:
    """Runs one version of the code in a scratch folder."""

    def __init__(self, code: Path, scratch: Path, weights: Path | None = None) -> None:
        self.code, self.scratch = code.resolve(), scratch
        self.weights = str(weights.resolve()) if weights is not None else "random"

    def run(self, *words: str | Path, ok: Sequence[int] = (0, 1)) -> str:
        """Standard output of `python …`; an error where it ends otherwise than expected."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.code),
            "COLUMNS": "100",
            "OMP_NUM_THREADS": "1",
            "SEEM_CACHE": str(self.scratch / "cache"),
        }
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=self.scratch,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in ok:
            raise RuntimeError(
                f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stderr[-3000:]}"
            )
        return done.stdout

    def record(self) -> dict[str, Json]:
        return {
            "help": dict(self.help_texts()),
            "datasets": dict(self.datasets()),
            "training": dict(self.training()),
            "use": dict(self.use()),
        }

    def help_texts(self) -> Iterator[tuple[str, Json]]:
        for package, commands in COMMANDS.items():
            for command in commands:
                words = [command] if command else []
                yield f"{package} {command}".strip(), self.run("-m", package, *words, "--help")

    def datasets(self) -> Iterator[tuple[str, Json]]:
        self.run(self.code / "examples/tabletop/make.py", "tabletop", "--images", "24")
        self.run(self.code / "examples/photos/make.py", "photos")
        yield "tabletop", self.build("tabletop", self.code / "examples/tabletop/categories.json")
        yield "photos", self.build("photos", self.code / "examples/photos/categories.json")
        for folder in real_inputs():
            colors = self.scratch / f"{folder.name}.json"
            proposed = json.loads(self.run("-m", "seem_data", "init", folder))
            colors.write_text(json.dumps(colour_map(proposed)), encoding="utf-8")
            yield folder.name, self.build(folder, colors)

    def build(self, polys: Path | str, colors: Path) -> Json:
        out = self.scratch / "built" / Path(polys).name
        self.run("-m", "seem_data", "build", "--colors", colors, "--polys", polys, "--out", out)
        files = sorted(path for path in out.rglob("*") if path.is_file() and ".build" not in path.parts)
        # What was said of an input carries its place, which is another one each time.
        return {
            str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if path.name != "problems.json"
        }

    def training(self) -> Iterator[tuple[str, Json]]:
        for strategy in STRATEGIES:
            out = self.scratch / "runs" / strategy
            self.run(
                *("-m", "seem_train", "run", "built/tabletop", "--model", "tiny", "--weights", self.weights),
                *(
                    "--strategy",
                    strategy,
                    "--steps",
                    "5",
                    "--size",
                    "64",
                    "--global-batch",
                    "4",
                    "--batch",
                    "4",
                ),
                *("--workers", "0", "--device", "cpu", "--out", out, "--set", "run.log_every=1"),
                *("--set", "run.eval_every=0", "--set", "run.zero_shot=false", "--set", "run.eval_limit=2"),
            )
            rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
            losses = [row["loss"] for row in rows if "loss" in row]
            yield strategy, {"losses": losses, "tensors": norms(out / "last")}

    def use(self) -> Iterator[tuple[str, Json]]:
        words = ["-m", "seem_train", "evaluate", "runs/full", "built/tabletop", "--json", "--device", "cpu"]
        yield "evaluate", json.loads(self.run(*words))
        photo = sorted((self.scratch / "tabletop").glob("*.jpg"))[0].relative_to(self.scratch)
        for name, prompt in PROMPTS.items():
            words = ["-m", "seem_train", "predict", "runs/full", photo, *prompt, "--json", "--device", "cpu"]
            yield name, json.loads(self.run(*words, "--out", f"predicted/{name}"))


def real_inputs() -> list[Path]:
    return [SHARED / "real" / name for name in REAL if (SHARED / "real" / name).is_dir()]


def colour_map(proposed: Json) -> Json:
    """With colours and kinds that do not depend on what `init` finds fitting: every third name is stuff."""
    rows = [row for row in proposed if isinstance(row, dict)] if isinstance(proposed, list) else []
    return [row | {"color": [7 * i + 3, 5, 9], "isthing": int(i % 3 > 0)} for i, row in enumerate(rows)]


def norms(folder: Path) -> dict[str, Json]:
    """Euclidean norm of every tensor in the safetensors files of a folder."""
    from safetensors.torch import load_file

    found: dict[str, Json] = {}
    for file in sorted(folder.rglob("*.safetensors")):
        for name, tensor in load_file(file).items():
            found[f"{file.relative_to(folder)}:{name}"] = float(tensor.double().norm())
    return found


def differences(before: Json, after: Json, place: str = "") -> Iterator[str]:
    """Where two recordings differ, a line each."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in [*before, *(key for key in after if key not in before)]:
            here = f"{place} / {name}" if place else name
            if name not in before or name not in after:
                yield f"{here}: {'new' if name not in before else 'gone'}"
            else:
                yield from differences(before[name], after[name], here)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differences(old, new, f"{place} / {number}")
    elif isinstance(before, float) and isinstance(after, int | float):
        if not math.isclose(before, after, rel_tol=TOLERANCE, abs_tol=1e-9):
            yield f"{place}: {before} became {after}"
    elif before != after and not place.endswith(("seconds", "milliseconds")):
        yield f"{place}: {str(before)[:200]!r} became {str(after)[:200]!r}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("write", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--code", type=Path, default=ROOT, help="clone to record; default: this one")
    parser.add_argument("--weights", type=Path, help="of a tiny model, to start all from; default: random")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = Recorder(arguments.code, Path(scratch), arguments.weights).record()
    if arguments.what == "write":
        arguments.file.write_text(json.dumps(found, indent=1, sort_keys=True), encoding="utf-8")
        return 0
    # Through JSON, as what was recorded went: tuples are lists, keys are text.
    lines = list(differences(json.loads(arguments.file.read_text()), json.loads(json.dumps(found))))
    print("\n".join(lines) or "nothing differs")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
