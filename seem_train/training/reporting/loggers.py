"""What a run tells: the screen, log.txt, metrics.jsonl and metrics.csv, TensorBoard and Weights & Biases.

Numbers go into `metrics.jsonl` line by line as they arise, so nothing is lost with the process; the CSV is
made of it whenever a reader might look. Only the main process has a `Log` that writes; others get a silent
one.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from rich.live import Live
from rich.text import Text

from seem_data.common.console import PlainConsole
from seem_data.common.files import write_bytes, write_text
from seem_data.common.terminal import plain, tell
from seem_train.files import make_folder
from seem_train.training.reporting.sinks import Row, Sink, TensorBoard, WeightsAndBiases


class Log:
    """Everything a run says. Use as a context manager.

    Args:
        folder: the run folder; None: nothing is written.
        quiet: a process that is not the main one.
        as_json: print events as JSON lines on standard output, and sentences on standard error.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        quiet: bool = False,
        as_json: bool = False,
        tensorboard: bool = False,
        wandb: bool = False,
        settings: Mapping[str, Any] | None = None,
        stream: TextIO | None = None,
    ) -> None:
        self.folder, self.quiet, self.as_json = folder, quiet, as_json
        self.rows: list[Row] = []
        self._sinks: list[Sink] = []
        self._files: dict[str, TextIO] = {}
        self.console = PlainConsole(file=stream or (sys.stderr if as_json else sys.stdout), soft_wrap=True)
        self._live: Live | None = None
        if quiet or folder is None:
            return
        make_folder(folder)
        if tensorboard:
            self._sinks.append(TensorBoard(folder / "tb"))
        if wandb:
            self._sinks.append(WeightsAndBiases(folder, settings or {}))

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.end_progress()
        if not self.quiet and self.folder is not None and self.rows:
            self.write_csv()
        for sink in self._sinks:
            sink.close()
        for file in self._files.values():
            file.close()

    # Sentences ------------------------------------------------------------------------------------

    def say(self, text: str = "", *, style: str = "") -> None:
        """One or more lines for the reader; also into log.txt."""
        if self.quiet:
            return
        self.console.print(Text(text, style=style))
        self._append("log.txt", text + "\n")

    def progress(self, text: str, *, plain: bool) -> None:
        """The state of the run. A terminal has one changing line; elsewhere it is printed where `plain`."""
        if self.quiet:
            return
        if self.console.is_terminal:
            if self._live is None:
                self._live = Live(console=self.console, refresh_per_second=4, transient=True)
                self._live.start()
            self._live.update(Text(text, no_wrap=True, overflow="ellipsis"))
        elif plain:
            self.console.print(Text(text))
        if plain:
            self._append("log.txt", text + "\n")

    def end_progress(self) -> None:
        """Take the changing line away; the next progress brings it back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    # Numbers --------------------------------------------------------------------------------------

    def row(self, row: Row) -> None:
        """Numbers of a step (``split`` train) or of an evaluation (``split`` val); ``step`` is their time."""
        if self.quiet:
            return
        self.rows.append(row)
        self._append("metrics.jsonl", json.dumps(row, ensure_ascii=False) + "\n")
        if self.as_json:
            tell(json.dumps(row, ensure_ascii=False))
        for sink in self._sinks:
            sink.numbers(row)

    def picture(self, step: int, name: str, file: Path) -> None:
        if not self.quiet:
            for sink in self._sinks:
                sink.picture(step, name, file)

    def resume(self, step: int, evaluated: int) -> None:
        """Read back the rows of a run that is at `step`, last evaluated at step `evaluated` (−1: never).

        Later ones belong to a past that a crash undid; they come again. Lines that cannot be read are kept in
        a file beside it, but for the last, in which the process may have died.
        """
        file = None if self.folder is None else self.folder / "metrics.jsonl"
        if self.quiet or file is None or not file.is_file():
            return
        content = file.read_bytes()
        *lines, last = content.decode("utf-8", "replace").split("\n")
        read = [_row_of(line) for line in lines]
        if broken := read.count(None):
            kept = file.with_name("metrics.damaged.jsonl")
            write_bytes(kept, content)
            self.say(f"! {file}: {broken} line(s) cannot be read; it is kept as {kept.name}", style="yellow")
        rows: dict[tuple[object, int], Row] = {}  # earlier versions could write one twice
        for row in [*read, _row_of(last)]:
            if row is not None and row["step"] <= (evaluated if row.get("split") == "val" else step):
                rows.setdefault((row.get("split"), row["step"]), row)
        self.rows += rows.values()
        write_text(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows))
        for sink in self._sinks:
            sink.resume(self.rows, evaluated)

    def write_csv(self) -> None:
        """metrics.csv: one line for each row, one column for each name that occurs."""
        if self.quiet or self.folder is None:
            return
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.folder / "metrics.csv", text.getvalue())

    def _append(self, name: str, text: str) -> None:
        if self.folder is None:
            return
        if name not in self._files:
            self._files[name] = (self.folder / name).open("a", encoding="utf-8")
        self._files[name].write(text if name.endswith(".jsonl") else plain(text))
        self._files[name].flush()


def _row_of(line: str) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None
