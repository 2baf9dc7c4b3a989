"""``seem-train bench``: what a training step takes on this machine."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from seem_data.common.terminal import tell
from seem_train.cli.options import AS_JSON, device_option, option, precision_option, with_options
from seem_train.cli.progress import progress, say
from seem_train.ranges import check_ranges
from seem_train.weights.presets import get_preset


@dataclass(frozen=True)
class BenchOptions:
    model: str = option("focal-l", "preset; weights are random", check=get_preset)
    size: int = option(256, "side of the images in pixels")
    batch: int = option(2, "images at once")
    categories: int = option(133, "names that are encoded")
    steps: int = option(5, "steps that are timed")
    device: str = device_option()
    precision: str = precision_option()
    as_json: bool = option(False, AS_JSON, "--json")


@with_options(BenchOptions)
def bench(chosen: BenchOptions) -> None:
    """Measure a training step on this machine: images a second, memory, parts, waits."""
    counts = {"--size": chosen.size, "--batch": chosen.batch, "--categories": chosen.categories}
    check_ranges({}, {**counts, "--steps": chosen.steps})
    say(f"building {chosen.model} …", chosen.as_json)
    from seem_train.training import bench as measuring

    setting = measuring.Setting(
        chosen.model, chosen.size, chosen.batch, chosen.categories, chosen.steps,
        device=chosen.device, precision=chosen.precision,
    )  # fmt: skip
    with progress(chosen.as_json) as show:
        found = measuring.measure(setting, lambda done: show("measuring steps", done, chosen.steps + 1))
    figures = {"setting": dataclasses.asdict(setting)} | dataclasses.asdict(found)
    tell(json.dumps(figures, indent=2) if chosen.as_json else measuring.text(setting, found))
