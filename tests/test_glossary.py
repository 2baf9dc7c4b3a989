"""The glossary of CONTRIBUTING.md holds where users read: help texts, reports, tables, public names."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest
import typer

import seem_data
import seem_train

ROOT = Path(__file__).parents[1]


def barred() -> list[str]:
    """The words in bold in the last column of the glossary."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Words")[1].split("\n## ")[0]
    rows = [line.split("|")[3] for line in text.splitlines() if line.startswith("| **")]
    return [word for row in rows for word in re.findall(r"\*\*(.+?)\*\*", row)]


def found(text: str) -> list[str]:
    # Names of files and of identifiers in the original are no words: classes.txt, SegmentationClass.
    words = re.sub(r"[\w./]*[._/]\w+", " ", text)
    return [word for word in barred() if re.search(rf"\b{re.escape(word)}\b", words, re.IGNORECASE)]


def commands(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """Every command with all that its help page says."""
    texts = [command.help or ""]
    texts += [str(getattr(parameter, "help", "") or "") for parameter in command.params]
    yield name, "\n".join(texts)
    for child in getattr(command, "commands", {}).values():
        yield from commands(child, f"{name} {child.name}")


def all_commands() -> Iterator[tuple[str, str]]:
    from seem_data.cli import app as data
    from seem_train.cli.app import app as train

    yield from commands(typer.main.get_command(data), "seem-data")
    yield from commands(typer.main.get_command(train), "seem-train")


def test_the_glossary_bars_words() -> None:
    assert {"class", "caption", "contour", "plug-in"} <= set(barred())
    assert found("one Class each") == ["class"]
    assert not found("names from classes.txt and SegmentationClass; classified")


def test_help_texts_keep_to_the_glossary() -> None:
    texts = dict(all_commands())
    assert len(texts) > 20
    assert {name: words for name, text in texts.items() if (words := found(text))} == {}


class _Visible(HTMLParser):
    """The text of a page, without styles and scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self._hidden += tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.texts.append(data)


@pytest.mark.parametrize("page", sorted(ROOT.glob("seem_*/**/*.html")), ids=lambda page: page.parent.name)
def test_pages_keep_to_the_glossary(page: Path) -> None:
    parser = _Visible()
    parser.feed(page.read_text(encoding="utf-8"))
    assert found(" ".join(parser.texts)) == []


def test_heads_of_tables_keep_to_the_glossary() -> None:
    """Words that stand alone in a text of the code are heads of tables, captions and keys of charts."""
    wrong = []
    words = barred()
    rooms = ("checking", "cli", "evaluation", "output", "prediction", "showing", "training")
    for file in sorted(file for room in rooms for file in ROOT.glob(f"seem_*/{room}/*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and text.strip().lower() in words:
                wrong.append(f"{file.relative_to(ROOT)}:{node.lineno} {text!r}")
    assert not wrong


@pytest.mark.parametrize("package", [seem_data, seem_train], ids=lambda package: package.__name__)
def test_public_names_keep_to_the_glossary(package) -> None:
    wrong = []
    for name in package.__all__:
        member = getattr(package, name)
        names = [name]
        if callable(member):
            names += inspect.signature(member).parameters
        if inspect.isclass(member):
            names += [attribute for attribute in vars(member) if not attribute.startswith("_")]
        wrong += [f"{name}.{each}" for each in names if found(each.replace("_", " "))]
    assert not wrong


def options(command: click.Command) -> Iterator[tuple[str, str]]:
    """Every option and argument of a command and those below it, and what its help says."""
    for parameter in command.params:
        words = str(getattr(parameter, "help", "") or "")
        if words and not str(parameter.name).endswith("_completion"):  # typer's own
            yield f"{command.name} {parameter.name}", words
    for child in getattr(command, "commands", {}).values():
        yield from options(child)


@pytest.mark.parametrize("package", ["seem_data.cli", "seem_train.cli.app"])
def test_help_of_options_begins_small_and_has_no_full_stop(package: str) -> None:
    """They are no sentences; what is said of commands is."""
    app = importlib.import_module(package).app
    for place, words in options(typer.main.get_command(app)):
        first = re.split(r"[\s:,]", words)[0]
        assert not (first[0].isupper() and first[1:].islower()), f"{place}: {words}"
        assert not words.endswith("."), f"{place}: {words}"
