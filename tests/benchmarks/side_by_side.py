"""Our training step and the original's, each in a process of its own, step by step in turn."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

from seem_data.common.wording import table
from seem_train.formatting import size_text
from seem_train.training import bench
from tests.benchmarks.original.step import original

PATHS = ("ours", "reference")


def compare(setting: bench.Setting) -> dict[str, Any]:
    """Measure both paths, step by step in turn, so that other load on the machine meets both alike.

    ``speedup`` is the reference's time for all steps over ours: CPU seconds, which other load hardly
    changes, where ``device`` is cpu, else seconds. ``memory`` is our peak over that of the reference.
    """
    processes = {path: _start(path, setting) for path in PATHS}
    spent = dict.fromkeys(PATHS, 0.0)
    try:
        for step in range(setting.steps + 1):
            for path in PATHS:
                seconds = float(_ask(processes[path], path))
                spent[path] += seconds if step else 0.0  # the first step warms up
        found = {path: bench.BenchFigures(**json.loads(_ask(processes[path], path, "end"))) for path in PATHS}
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    ours, reference = found["ours"], found["reference"]
    return {
        "setting": asdict(setting),
        "ours": asdict(ours),
        "reference": asdict(reference),
        "spent": spent,
        "speedup": spent["reference"] / spent["ours"],
        "memory": ours.peak_bytes / reference.peak_bytes,
    }


def _start(path: str, setting: bench.Setting) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.benchmarks.side_by_side", path, json.dumps(asdict(setting))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ask(process: subprocess.Popen[str], path: str, what: str = "step") -> str:
    """Have a process take a step and tell its seconds, or tell all that it measured; its answer, one line."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(f"{what}\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass
    answer = process.stdout.readline()
    if not answer:
        raise RuntimeError(f"the {path} path failed with status {process.wait()}; see above")
    return answer


def text(found: dict[str, Any]) -> str:
    """The comparison for people."""
    ours, theirs = found["ours"], found["reference"]
    rows: list[tuple[str, ...]] = [("", "ours", "reference", "ratio")]
    mine, other = (found["spent"][path] / found["setting"]["steps"] for path in PATHS)
    kind = "CPU seconds" if found["setting"]["device"] == "cpu" else "seconds"
    rows.append((f"{kind} a step", f"{mine:.2f}", f"{other:.2f}", f"{found['speedup']:.2f}×"))
    rows.append(("images/s", f"{ours['img_s']:.3f}", f"{theirs['img_s']:.3f}", ""))
    peaks = [size_text(part["peak_bytes"]) for part in (ours, theirs)]
    rows.append(("peak memory", *peaks, f"{found['memory']:.2f}×"))
    rows.append(("waits for the device", str(ours["host_syncs"]), str(theirs["host_syncs"]), ""))
    for name, other in theirs["parts"].items():
        mine = ours["parts"].get(name, 0.0)
        rows.append(
            (f"  {name}", f"{mine:.3f} s", f"{other:.3f} s", f"{other / mine:.1f}×" if mine > 1e-3 else "")
        )
    return f"{bench.heading(bench.Setting(**found['setting']))}\n\n{table(rows)}"


def _answer(path: str, setting: bench.Setting) -> None:
    """One path, in this process: a step for each line "step" and its seconds, the results at "end"."""
    build = bench.ours if path == "ours" else original
    running = bench.Bench(setting, build, kept=path == "ours")
    for line in sys.stdin:
        if line.strip() == "end":
            print(json.dumps(asdict(running.end())), flush=True)
            return
        before = time.process_time()
        seconds = running.step()
        print(time.process_time() - before if setting.device == "cpu" else seconds, flush=True)


if __name__ == "__main__":
    _answer(sys.argv[1], bench.Setting(**json.loads(sys.argv[2])))
