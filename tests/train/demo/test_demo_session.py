"""A session without a server: what the model proposes, what people do to it, and the way back."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from demo_photos import HEIGHT, WIDTH, demo_model, demo_session, photo
from panopticapi.utils import rgb2id
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

import seem_data
from seem_train.demo import masks, saving
from seem_train.demo.keeping import KeptFolder, safe_name
from seem_train.demo.limits import Limits
from seem_train.demo.models import DemoModel
from seem_train.demo.session import DemoSession, NoSuchObjectError
from seem_train.demo.wire import Click, Edit, Prompt, Stroke
from seem_train.errors import UserError
from seem_train.prediction.conversation import about_mask

SQUARE = [(20.0, 20.0), (60.0, 20.0), (60.0, 50.0), (20.0, 50.0)]


@pytest.fixture(scope="module")
def model() -> DemoModel:
    return demo_model()


@pytest.fixture
def session(model: DemoModel) -> DemoSession:
    return demo_session(model)


def _click(x: float = 30, y: float = 40, positive: bool = True, object: int | None = None) -> Prompt:
    return Prompt(object=object, points=[Click(x, y, positive)])


# What the model is asked. ----------------------------------------------------------------------------------


def test_answers_are_those_of_the_predictor(session: DemoSession) -> None:
    predictor = session.model.predictor
    first = session.prompt(_click())
    second = session.prompt(_click(90, 60, object=first.id))
    predictor.set_image(np.asarray(Image.open(io.BytesIO(photo()))))
    expected = predictor.segment(points=[(30, 40)])
    assert np.array_equal(masks.decode(first.mask), expected.masks[0])
    assert first.score == pytest.approx(float(expected.scores[0]))
    expected = predictor.refine(points=[(90, 60)])
    assert np.array_equal(masks.decode(second.mask), expected.masks[0])
    assert second.id == first.id


def test_rounds_of_two_objects_in_two_sessions_do_not_meet(model: DemoModel) -> None:
    one, other = demo_session(model), DemoSession(model, photo(seed=1), "other.png")
    a = one.prompt(_click())
    b = other.prompt(_click(70, 20))
    c = one.prompt(Prompt(box=(10, 10, 60, 60)))
    mixed = one.prompt(_click(90, 60, object=a.id)), other.prompt(_click(5, 80, object=b.id))
    alone, other_alone = demo_session(model), DemoSession(model, photo(seed=1), "other.png")
    a, b = alone.prompt(_click()), other_alone.prompt(_click(70, 20))
    expected = alone.prompt(_click(90, 60, object=a.id)), other_alone.prompt(_click(5, 80, object=b.id))
    assert [m.answer for m in mixed] == [e.answer for e in expected]
    assert c.id != a.id


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(text="the mug"),
        Prompt(box=(10, 10, 60, 60)),
        Prompt(strokes=[Stroke([(10, 10), (60, 40)]), Stroke([(80, 10), (90, 40)], positive=False)]),
        Prompt(text="mug", points=[Click(30, 40), Click(5, 5, False)], box=(10, 10, 60, 60)),
    ],
    ids=["text", "box", "strokes", "combined"],
)
def test_every_prompt_finds_an_object_that_can_be_refined(session: DemoSession, prompt: Prompt) -> None:
    found = session.prompt(prompt)
    assert session.state.objects == (found,)
    assert masks.decode(found.mask).shape == (HEIGHT, WIDTH)
    refined = session.prompt(_click(5, 5, positive=False, object=found.id))
    assert refined.id == found.id and refined.revision != found.revision


def test_another_photo_shows_what_is_looked_for(session: DemoSession) -> None:
    with pytest.raises(UserError, match="no reference photo"):
        session.prompt(Prompt(reference=[SQUARE]))
    assert session.set_reference(photo(80, 70, seed=3)) == (70, 80)
    found = session.prompt(Prompt(reference=[SQUARE]))
    predictor = session.model.predictor
    drawn = np.zeros((70, 80), bool)
    drawn[20:50, 20:60] = True
    predictor.set_image(np.asarray(Image.open(io.BytesIO(photo()))))
    other = np.asarray(Image.open(io.BytesIO(photo(80, 70, seed=3))))
    assert np.array_equal(masks.decode(found.mask), predictor.segment(reference=(other, drawn)).masks[0])


def test_objects_are_named_by_the_words_or_by_what_most_of_them_is(session: DemoSession) -> None:
    by_words = session.prompt(Prompt(text="the plate on the left"))
    assert (by_words.name, by_words.sentences) == ("plate", ("the plate on the left",))
    assert session.prompt(Prompt(text="a zebra")).name == "a zebra"
    clicked = session.prompt(_click())
    labels = session.model.predictor.semantic().labels[masks.decode(clicked.mask)]
    share = np.bincount(labels, minlength=3) / len(labels)
    if share.max() > 0.6:
        assert clicked.name == session.categories[int(share.argmax())].name


def test_a_mask_found_by_words_is_corrected_by_marks_on_its_own(session: DemoSession) -> None:
    found = session.prompt(Prompt(text="the mug"))
    corrected = session.prompt(_click(8, 8, positive=False, object=found.id))
    predictor, looked = session.model.predictor, session.look()
    predictor.resume(about_mask(masks.decode(found.mask), looked.photo))
    assert np.array_equal(masks.decode(corrected.mask), predictor.refine(points=[(8, 8, 0)]).masks[0])


def test_everything_lies_under_what_was_pointed_at_and_takes_its_own_place(session: DemoSession) -> None:
    mine = session.prompt(_click())
    session.everything(["mug", "anything else"])
    first = session.state.objects
    assert len(first) > 1
    session.everything()
    assert len(session.state.objects) > 1
    assert session.state.objects[-1].id == mine.id
    origins = [one.origin for one in session.state.objects]
    assert origins == sorted(origins, key=lambda origin: origin == "prompt")
    assert not {o.id for o in first if o.origin == "everything"} & {o.id for o in session.state.objects}


def test_the_base_answers_the_same_questions(model: DemoModel) -> None:
    base = demo_model(seed=1)
    session = demo_session(model, base)
    found = session.prompt(_click())
    session.prompt(_click(90, 60, object=found.id))
    session.edit(Edit(polygon=SQUARE))
    (compared,) = session.compare()
    alone = demo_session(base)
    again = alone.prompt(_click())
    again = alone.prompt(_click(90, 60, object=again.id))
    assert compared.answer == again.answer
    assert session.compare() is session.compare(), "asked once"
    with pytest.raises(UserError, match="--compare"):
        demo_session(model).compare()


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (Prompt(), "empty"),
        (_click(500, 5), "outside"),
        (_click(positive=False), "only says what it is not"),
        (_click(object=77), "object 77: is not on the table"),
        (Prompt(box=(300, 300, 400, 400)), "no pixel"),
        (Prompt(text="  "), "empty"),
    ],
    ids=["nothing", "outside", "only negative", "no object", "box outside", "blank"],
)
def test_what_cannot_be_asked_is_said_and_changes_nothing(
    session: DemoSession, prompt: Prompt, reason: str
) -> None:
    session.prompt(_click())
    before = session.state
    with pytest.raises(UserError, match=reason):
        session.prompt(prompt)
    assert session.state is before


# What people do. -------------------------------------------------------------------------------------------


def test_a_polygon_is_the_pixels_inside_it(session: DemoSession) -> None:
    drawn = session.edit(Edit(polygon=SQUARE, name="box"))
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[20:50, 20:60] = True
    assert np.array_equal(masks.decode(drawn.mask), expected)
    assert drawn.score is None and drawn.edited and drawn.name == "box"


def test_what_is_rubbed_out_stays_out_until_a_click_says_otherwise(session: DemoSession) -> None:
    found = session.prompt(_click())
    y, x = np.argwhere(masks.decode(found.mask))[0]
    rubbed = session.edit(Edit(object=found.id, add=False, brush=[(float(x), float(y))], width=5))
    assert not masks.decode(rubbed.mask)[y, x]
    again = session.prompt(_click(90, 60, object=found.id))
    assert not masks.decode(again.mask)[y, x], "the model does not overrule it"
    clicked = session.prompt(_click(float(x), float(y), object=found.id))
    assert clicked.taken is not None and not masks.decode(clicked.taken)[y, x], "the user does"


def test_adding_and_taking_away_the_later_word_counts(session: DemoSession) -> None:
    drawn = session.edit(Edit(polygon=SQUARE))
    taken = session.edit(Edit(object=drawn.id, add=False, polygon=SQUARE))
    assert not masks.decode(taken.mask).any()
    back = session.edit(Edit(object=drawn.id, brush=[(30, 30), (50, 30)], width=8))
    assert masks.decode(back.mask)[30, 40]
    with pytest.raises(UserError, match="nothing is drawn"):
        session.edit(Edit(polygon=[(900, 900), (901, 900), (901, 901)]))
    with pytest.raises(UserError, match="name an object"):
        session.edit(Edit(polygon=SQUARE, add=False))


def test_every_step_can_be_undone_and_redone(session: DemoSession) -> None:
    states = [session.state]
    found = session.prompt(_click())
    states.append(session.state)
    for step in (
        lambda: session.prompt(_click(90, 60, object=found.id)),
        lambda: session.edit(Edit(object=found.id, add=False, brush=[(30, 40)], width=9)),
        lambda: session.rename(found.id, "cup"),
        lambda: session.everything(),
        lambda: session.edit(Edit(polygon=SQUARE)),
        lambda: session.merge([found.id, session.state.objects[-1].id]),
        lambda: session.delete(found.id),
        lambda: session.clear(),
    ):
        step()
        states.append(session.state)
    for state in states[-2::-1]:
        session.undo()
        assert session.state is state
    assert not session.history.can_undo
    for state in states[1:]:
        session.redo()
        assert session.state is state
    session.undo()
    session.prompt(_click())
    assert not session.history.can_redo, "another way was taken"


def test_refining_after_undo_goes_on_from_there(session: DemoSession) -> None:
    found = session.prompt(_click())
    wanted = session.prompt(_click(90, 60, object=found.id))
    session.undo()
    session.prompt(_click(100, 10, positive=False, object=found.id))
    session.undo()
    assert session.prompt(_click(90, 60, object=found.id)).answer == wanted.answer


def test_merged_objects_are_one_of_all_their_pixels(session: DemoSession) -> None:
    one = session.edit(Edit(polygon=SQUARE, name="cup"))
    two = session.edit(Edit(polygon=[(80, 20), (100, 20), (100, 40)]))
    merged = session.merge([one.id, two.id])
    assert [o.id for o in session.state.objects] == [one.id]
    assert np.array_equal(masks.decode(merged.mask), masks.decode(one.mask) | masks.decode(two.mask))
    assert merged.name == "cup"
    for call in (lambda: session.merge([one.id]), lambda: session.rename(one.id, " ")):
        with pytest.raises(UserError):
            call()
    with pytest.raises(NoSuchObjectError):
        session.delete(two.id)


def test_history_and_objects_are_bounded(model: DemoModel) -> None:
    session = DemoSession(model, photo(), "a.png", limits=Limits(objects=3, history=4))
    for _ in range(3):
        session.edit(Edit(polygon=SQUARE))
    with pytest.raises(UserError, match="3 objects"):
        session.edit(Edit(polygon=SQUARE))
    for number in range(9):
        session.rename(1, f"name {number}")
    steps = 0
    while session.history.can_undo:
        session.undo()
        steps += 1
    assert steps == 4


def test_what_a_model_saw_is_given_up_when_there_is_no_room_and_looked_at_again() -> None:
    model = demo_model(room=1)
    sessions = [DemoSession(model, photo(seed=seed), "a.png") for seed in range(3)]
    first = [session.prompt(_click()) for session in sessions]
    assert [session.key in model for session in sessions] == [False, False, True]
    assert model.held > 0
    refined = sessions[0].prompt(_click(90, 60, object=first[0].id))
    other = DemoSession(demo_model(), photo(seed=0), "a.png")
    expected = other.prompt(_click(90, 60, object=other.prompt(_click()).id))
    assert refined.answer == expected.answer


@pytest.mark.parametrize("content", [b"", b"no photo", photo()[:200], photo(9000, 9000, form="PNG")[:99999]])
def test_what_is_no_photo_or_too_large_is_refused(model: DemoModel, content: bytes) -> None:
    with pytest.raises(UserError, match="the photo"):
        DemoSession(model, content, "a.png", limits=Limits(pixels=50_000_000))


def test_a_turned_photo_is_upright(model: DemoModel) -> None:
    session = DemoSession(model, photo(form="JPEG", turned=6), "turned.jpg")
    assert session.size == (WIDTH, HEIGHT)
    assert Image.open(io.BytesIO(session.shown)).size == (HEIGHT, WIDTH)


# What is taken away. ---------------------------------------------------------------------------------------


@pytest.fixture
def drawn(session: DemoSession) -> DemoSession:
    session.edit(Edit(polygon=SQUARE, name="mug"))
    session.edit(Edit(polygon=[(50, 40), (110, 40), (110, 80), (50, 80)], name="new thing"))
    session.prompt(Prompt(text="the mug on the right"))
    session.delete(3)
    return session


def test_saved_files_hold_what_is_on_the_table(drawn: DemoSession, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing on the table"):
        saving.save(demo_session(drawn.model), "coco")
    overlay = Image.open(io.BytesIO(saving.save(drawn, "overlay").content))
    assert overlay.size == (WIDTH, HEIGHT)
    below, above = (masks.decode(one.mask) for one in drawn.state.objects)
    with zipfile.ZipFile(io.BytesIO(saving.save(drawn, "panoptic").content)) as zipped:
        document = json.loads(zipped.read("panoptic.json"))
        (row,) = document["annotations"]
        ids = rgb2id(np.asarray(Image.open(io.BytesIO(zipped.read(f"panoptic/{row['file_name']}")))))
    found = {row["category_id"]: ids == row["id"] for row in row["segments_info"]}
    names = {row["id"]: row["name"] for row in document["categories"]}
    by_name = {names[id_]: mask for id_, mask in found.items()}
    assert np.array_equal(by_name["new thing"], above)
    assert np.array_equal(by_name["mug"], below & ~above)
    file = tmp_path / "coco.json"
    file.write_bytes(saving.save(drawn, "coco").content)
    coco = COCO(str(file))
    assert [coco.cats[row["category_id"]]["name"] for row in coco.anns.values()] == ["mug", "new thing"]
    row = next(iter(coco.anns.values()))
    both = coco.annToMask(row).astype(bool)
    assert (both & below).sum() / (both | below).sum() >= 0.98
    labelme = json.loads(saving.save(drawn, "labelme").content)
    assert labelme["imagePath"] == "shelf.png" and len(labelme["shapes"]) == 2
    assert coco_mask.area(drawn.state.objects[0].mask) == below.sum()


def test_what_is_kept_is_built_to_the_same_masks(drawn: DemoSession, tmp_path: Path) -> None:
    kept = KeptFolder(tmp_path / "kept", drawn.categories)
    picture, annotation = kept.keep(drawn)
    assert picture.read_bytes() == drawn.content
    assert kept.has("shelf.png") and not kept.has("other.png")
    drawn.rename(2, "plate")
    assert kept.keep(drawn) == (picture, annotation), "the same session writes the same files anew"
    other = DemoSession(drawn.model, photo(seed=5), "shelf.png")
    other.edit(Edit(polygon=SQUARE, name="Mug"))
    assert kept.keep(other)[0].name == "shelf-2.png", "another photo of that name is not overwritten"
    out = tmp_path / "dataset"
    seem_data.build(
        colors=str(tmp_path / "kept/categories.json"),
        polys=str(tmp_path / "kept"),
        out=str(out),
        split="train=1",
    )
    document = json.loads((out / "train/panoptic.json").read_text())
    names = {row["id"]: row["name"] for row in document["categories"]}
    assert {"mug", "plate", "table"} <= set(names.values())
    row = next(row for row in document["annotations"] if row["file_name"] == "shelf.png")
    ids = rgb2id(np.asarray(Image.open(out / "train/panoptic" / row["file_name"])))
    below, above = (masks.decode(one.mask) for one in drawn.state.objects)
    for segment in row["segments_info"]:
        mask = ids == segment["id"]
        expected = above if names[segment["category_id"]] == "plate" else below & ~above
        assert (mask & expected).sum() / (mask | expected).sum() >= 0.98


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("a\\b:c?.jpg", "b_c_.jpg"),
        ("..", "photo"),
        ("Tür 2.png", "Tür 2.png"),
    ],
)
def test_names_never_leave_the_kept_folder(name: str, safe: str) -> None:
    assert safe_name(name) == safe
