"""One photo on the table: the model proposes, a person corrects, and it is kept. Knows no server.

    model = DemoModel(Predictor("runs/kitchen"), "kitchen", room=1 << 30)
    session = DemoSession(model, Path("photo.jpg").read_bytes(), "photo.jpg")
    mug = session.prompt(Prompt(text="the red mug"))
    mug = session.prompt(Prompt(object=mug.id, points=[Click(290, 300, positive=False)]))
    session.undo()
    session.keep(KeptFolder(Path("kept"), model.predictor.categories))

A session is for one thread at a time, and one that shares its model with others is for the model's thread
wherever the model is asked: `look`, `prompt`, `everything`, `compare`, `set_reference`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import count, repeat
from secrets import token_urlsafe

import numpy as np

from seem_train.demo import asking, masks, photos
from seem_train.demo.asking import NothingFoundError
from seem_train.demo.history import History
from seem_train.demo.limits import Limits
from seem_train.demo.models import DemoModel, PhotoLook
from seem_train.demo.objects import DemoObject, TableState
from seem_train.demo.wire import Edit, Prompt
from seem_train.errors import UserError
from seem_train.prediction.answers import Objects, Panoptic
from seem_train.prediction.conversation import about_mask
from seem_train.prediction.found import found_and_not
from seem_train.prediction.predictor import UNNAMED
from seem_train.prediction.prompt_types import Prompts
from seem_train.prediction.proposals.writing import label_of
from seem_train.prediction.vocabulary import Category, as_categories

_OWN_NAME = 0.5  #: share of a mask that has to be of one category for the mask to be called so


class NoSuchObjectError(UserError):
    """An object that is not on the table (any more)."""


class DemoSession:
    """
    Args:
        model: which may be shared with other sessions.
        content: the photo as it was sent.
        name: of the photo's file.
        base: another model, to compare with.
        key: of sessions about the same photo; the model looks at it once.

    Raises:
        UserError: the photo cannot be read, or is too large.
    """

    def __init__(
        self,
        model: DemoModel,
        content: bytes,
        name: str,
        base: DemoModel | None = None,
        limits: Limits | None = None,
        key: str | None = None,
    ) -> None:
        self.model, self.base, self.name, self.content = model, base, name, content
        self.limits = limits or Limits()
        pixels = photos.read_photo(content, self.limits.pixels)
        self.size = pixels.shape[0], pixels.shape[1]  #: (height, width)
        self.key = key or token_urlsafe(8)  #: by which the models know the photo
        self.kept_as: str | None = None
        self.history = History(TableState(), self.limits.history)
        self._ids, self._revisions = count(1), count(1)
        self._reference: np.ndarray | None = None
        self.look_ms: float | None = None  #: how long the model looked at the photo
        self._compared: tuple[TableState, list[DemoObject]] | None = None

    @property
    def state(self) -> TableState:
        return self.history.now

    @property
    def categories(self) -> tuple[Category, ...]:
        return self.model.predictor.categories

    def pixels(self) -> np.ndarray:
        """[H, W, 3] uint8, decoded anew: a session holds no more than the file."""
        return photos.read_photo(self.content, self.limits.pixels)

    @cached_property
    def shown(self) -> bytes:
        """A JPEG for a page."""
        return photos.shown(self.pixels())

    # ── what the model is asked ────────────────────────────────────────────────────────────────────

    def look(self) -> PhotoLook:
        """Let the model look at the photo; done before it is asked, if it was not yet."""
        looked = self.model.look(self.key, self.pixels, self.name)
        self.look_ms = looked.ms
        return looked

    def prompt(self, prompt: Prompt) -> DemoObject:
        """A new object, or a further round on one that is there.

        Raises:
            UserError: the prompt is empty, or lies outside; or there is no such object.
            NothingFoundError: it finds nothing, or nothing that scores enough.
        """
        before = None if prompt.object is None else self._get(prompt.object)
        if before is None:
            self._check_room()
        prompts = asking.as_prompts(prompt, self._reference)
        looked = self.look()
        predictor = self.model.predictor
        if before is None:
            answer = predictor.segment_prompts(prompts)
            given = prompt.min_score
            least = (self.model.min_text_score, 0.0) if given is None else (given, given)
            _, missed = found_and_not(answer, predictor.conversation.asked, *least)
            if missed:
                raise NothingFoundError(str(missed[0]), missed[0].best)
        else:
            before = before.hear(prompt)
            if asking.starts_from_mask(before, prompts):
                conversation = about_mask(self._some(before), looked.photo)
            else:
                assert before.conversation is not None
                conversation = before.conversation
            answer = asking.go_on(predictor, conversation, prompts)
            if not answer.areas[0]:
                raise NothingFoundError(f"nothing would be left of “{before.name}”; it stays as it was")
        return self._found(answer, prompt, prompts, before, looked)

    def everything(self, names: list[str] | None = None) -> list[DemoObject]:
        """All there is, under what people pointed at; what was found so before is replaced.

        Args:
            names: categories; default: the model's own.

        Raises:
            NothingFoundError: nothing is sure enough to be shown.
        """
        named = as_categories(names, self.categories) if names else self.categories
        self.look()
        result = self.model.predictor.panoptic(named)
        if not result.segments:
            raise NothingFoundError(
                f"nothing found (the surest segment scores {result.best_score:.2f}; it takes more than "
                f"{result.object_threshold:g})"
            )
        state = replace(self.state, everything=tuple(named))
        state = state.without([o.id for o in state.objects if o.origin == "everything" and not o.edited])
        room = max(0, self.limits.objects - len(state.objects))
        found = _as_objects(result, state, zip(self._ids, self._revisions, strict=True), room)
        self.history.add(replace(state, objects=(*found, *state.objects)))
        return found

    def compare(self) -> list[DemoObject]:
        """What the base says to the same questions.

        Raises:
            UserError: there is no base.
        """
        if self.base is None:
            raise UserError(
                "there is no other model here to compare with; start the demo with --compare BASE"
            )
        state = self.state
        if self._compared is None or self._compared[0] is not state:
            self._compared = state, self._base_answers(self.base, state)
        return self._compared[1]

    def _base_answers(self, base: DemoModel, state: TableState) -> list[DemoObject]:
        base.look(self.key, self.pixels, self.name)
        found: list[DemoObject] = []
        if state.everything is not None:
            result = base.predictor.panoptic(state.everything)
            found = _as_objects(result, TableState(), zip(count(-1, -1), repeat(0), strict=True))
        for one in state.objects:
            if one.origin != "prompt":
                continue
            answer = base.predictor.segment_prompts(one.rounds[0])
            for prompts in one.rounds[1:]:
                answer = asking.go_on(base.predictor, base.predictor.conversation, prompts)
            found.append(replace(one, answer=answer.encoded[0], score=float(answer.scores[0]), added=None,
                                 taken=None, conversation=None))  # fmt: skip
        return found

    def set_reference(self, content: bytes) -> tuple[int, int]:
        """Another photo, for `Prompt.reference`; its (height, width)."""
        self._reference = photos.read_photo(content, self.limits.pixels)
        return self._reference.shape[0], self._reference.shape[1]

    # ── what people do ─────────────────────────────────────────────────────────────────────────────

    def edit(self, edit: Edit) -> DemoObject:
        """Put pixels to an object, or take them; without an object a new one.

        Raises:
            UserError: nothing is drawn, it lies outside, or there is no such object.
        """
        pixels = np.zeros(self.size, bool)
        if edit.polygon is not None:
            pixels |= masks.polygon(self.size, edit.polygon)
        if edit.brush is not None:
            pixels |= masks.brush(self.size, edit.brush, edit.width)
        if not pixels.any():
            raise UserError("nothing is drawn on the photo; give a polygon or a brush that touches it")
        if edit.object is not None:
            changed = self._get(edit.object).edit(pixels, edit.add, next(self._revisions))
        elif edit.add:
            self._check_room()
            name = edit.name or UNNAMED
            color = self.state.color_of(name, self.categories)
            changed = DemoObject(
                next(self._ids), next(self._revisions), name, color, masks.encode(pixels), "drawn"
            )
        else:
            raise UserError("there is nothing to take pixels from; name an object")
        self.history.add(self.state.put(changed))
        return changed

    def rename(self, id_: int, name: str) -> DemoObject:
        """Raises UserError: the name is empty, or there is no such object."""
        name = " ".join(name.split())
        if not name:
            raise UserError("an object needs a name, such as 'mug'")
        one = self._get(id_)
        color = self.state.color_of(name, self.categories, but=id_)
        changed = replace(one, name=name, color=color, revision=next(self._revisions))
        self.history.add(self.state.put(changed))
        return changed

    def delete(self, id_: int) -> None:
        """Raises UserError: there is no such object."""
        self._get(id_)
        self.history.add(self.state.without([id_]))

    def merge(self, ids: list[int]) -> DemoObject:
        """All pixels of them as one object: the first.

        Raises:
            UserError: there is one fewer than two, or one of them is not there.
        """
        ones = [self._get(id_) for id_ in dict.fromkeys(ids)]
        if len(ones) < 2:
            raise UserError("two objects or more can be made one")
        merged = replace(
            ones[0],
            answer=masks.union([one.mask for one in ones]),
            revision=next(self._revisions),
            origin="drawn",
            score=None,
            rounds=(),
            conversation=None,
            added=None,
            taken=None,
            sentences=tuple(dict.fromkeys(text for one in ones for text in one.sentences)),
        )
        self.history.add(self.state.put(merged).without([one.id for one in ones[1:]]))
        return merged

    def undo(self) -> None:
        self.history.undo()

    def redo(self) -> None:
        self.history.redo()

    def clear(self) -> None:
        """An empty table; can be undone."""
        self.history.add(TableState())

    # ── how ────────────────────────────────────────────────────────────────────────────────────────

    def _get(self, id_: int) -> DemoObject:
        found = self.state.get(id_)
        if found is None:
            there = ", ".join(str(one.id) for one in self.state.objects) or "none yet"
            raise NoSuchObjectError(f"object {id_}: is not on the table; there are: {there}")
        return found

    def _check_room(self) -> None:
        if len(self.state.objects) >= self.limits.objects:
            raise UserError(f"there are {self.limits.objects} objects on the table already; delete some")

    def _some(self, one: DemoObject) -> np.ndarray:
        mask = masks.decode(one.mask)
        if not mask.any():
            raise UserError(f"object {one.id} has no pixel any more; delete it, or add some")
        return mask

    def _found(
        self,
        answer: Objects,
        prompt: Prompt,
        prompts: Prompts,
        before: DemoObject | None,
        looked: PhotoLook,
    ) -> DemoObject:
        """Put an answer on the table."""
        text = " ".join((prompt.text or "").split())
        revision, mask = next(self._revisions), answer.encoded[0]
        if before is None:
            name = self._name(text, masks.decode(mask), looked)
            color = self.state.color_of(name, self.categories)
            before = DemoObject(next(self._ids), revision, name, color, mask, "prompt")
        made = replace(
            before,
            answer=mask,
            revision=revision,
            score=float(answer.scores[0]),
            rounds=(*before.rounds, prompts),
            sentences=tuple(dict.fromkeys((*before.sentences, *([text] if text else [])))),
            conversation=self.model.predictor.conversation,
        )
        self.history.add(self.state.put(made))
        return made

    def _name(self, text: str, mask: np.ndarray, looked: PhotoLook) -> str:
        """The category that a text names ("the red mug": mug), or that the model sees in most of the mask."""
        if text:
            return label_of(text, self.categories)
        rows, columns = np.nonzero(mask)
        h, w = looked.labels.shape
        seen = looked.labels[rows * h // mask.shape[0], columns * w // mask.shape[1]]
        counts = np.bincount(seen, minlength=len(self.categories))
        best = int(counts.argmax())
        return self.categories[best].name if counts[best] >= _OWN_NAME * len(seen) else UNNAMED


def _as_objects(
    result: Panoptic, there: TableState, numbers: Iterator[tuple[int, int]], most: int | None = None
) -> list[DemoObject]:
    """The segments of a result, stuff first, in colours that what is on the table already has not.

    Args:
        numbers: id and revision of each.
        most: how many at most.
    """
    found: list[DemoObject] = []
    for segment in sorted(result.segments, key=lambda segment: segment.isthing)[:most]:
        name, mask = result.name(segment), masks.encode(result.mask(segment))
        color = TableState((*there.objects, *found)).color_of(name, result.categories)
        found.append(DemoObject(*next(numbers), name, color, mask, "everything", float(segment.score)))
    return found
