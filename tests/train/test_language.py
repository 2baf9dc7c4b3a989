"""Tokens, embeddings, categories, and what is kept between calls."""

from __future__ import annotations

import copy
import warnings
from hashlib import sha256
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from seem_data.layout import clean_name
from seem_train.errors import UserError
from seem_train.model.config import LanguageConfig
from seem_train.model.language import TEMPLATES, LanguageEncoder, tokenize, training_prompts, unit

TEXTS = ["a red mug", "the plate on the left of the small green mug", ""]


@pytest.fixture
def encoder() -> LanguageEncoder:
    torch.manual_seed(0)
    return LanguageEncoder(LanguageConfig(width=16, layers=2, heads=2, projection=8)).eval()


def test_tokens_are_clips() -> None:
    ids, lengths = tokenize(["a photo of a dog.", ""])
    assert ids.tolist() == [[49406, 320, 1125, 539, 320, 1929, 269, 49407], [49406] + [49407] * 7]
    assert lengths == (8, 2)


def test_a_text_too_long_is_cut_and_what_was_lost_is_shown() -> None:
    with pytest.warns(UserWarning, match=r"80 tokens, the model reads 77; cut off: 'one two three'"):
        ids, lengths = tokenize(["dog " * 75 + "one two three"])
    assert lengths == (77,) and ids[0, -1] == 49407
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenize(["dog " * 75])


def test_a_text_that_is_no_string_is_refused() -> None:
    with pytest.raises(UserError, match="must be a string, not int"):
        tokenize([3])  # pyright: ignore[reportArgumentType]


@torch.no_grad()
def test_trimming_and_padding_change_nothing(encoder: LanguageEncoder) -> None:
    embeddings = encoder(TEXTS)
    for number, text in enumerate(TEXTS):
        ids, (length,) = tokenize([text])
        full = encoder.encode_ids(F.pad(ids, (0, 77 - ids.shape[1]), value=1234))[0]
        torch.testing.assert_close(embeddings.tokens[number, :length], full[:length])
        torch.testing.assert_close(embeddings.vectors[number], full[length - 1])
        assert (embeddings.tokens[number, length:] == 0).all()
    assert embeddings.concatenated().shape == (sum(embeddings.lengths), 8)


def test_texts_of_a_frozen_encoder_are_encoded_once(encoder: LanguageEncoder) -> None:
    encoder.requires_grad_(False)
    first = encoder(TEXTS).vectors
    encoder.encode_ids = None  # pyright: ignore[reportAttributeAccessIssue]
    torch.testing.assert_close(encoder(TEXTS[::-1]).vectors, first.flip(0))
    with pytest.raises(TypeError):
        encoder(["a text not seen before"])


@torch.no_grad()
def test_changed_weights_forget_what_was_kept(encoder: LanguageEncoder) -> None:
    texts, categories = encoder(TEXTS).vectors, encoder.category_embeddings(["mug"])
    encoder.lang_proj.mul_(-1)
    torch.testing.assert_close(encoder(TEXTS).vectors, -texts)
    torch.testing.assert_close(encoder.category_embeddings(["mug"]), -categories)


def test_an_encoder_in_training_gets_gradients_in_every_step(encoder: LanguageEncoder) -> None:
    for _ in range(2):
        encoder.zero_grad()
        encoder(TEXTS).vectors.sum().backward()
        assert encoder.lang_proj.grad is not None and encoder.lang_proj.grad.abs().sum() > 0


def test_some_of_the_texts_are_taken_without_encoding_them_again(encoder: LanguageEncoder) -> None:
    three = encoder(["a red mug", "the mug", "a plate left of a mug"])
    two = three.of(["the mug", "a red mug"])
    assert two.texts == ("the mug", "a red mug") and two.lengths == (three.lengths[1], three.lengths[0])
    assert torch.equal(two.vectors, three.vectors[[1, 0]])
    assert torch.equal(two.concatenated(), torch.cat([three.tokens[1, :4], three.tokens[0, :5]]))
    assert len(three.of([])) == 0 and three.of([]).tokens.shape == (0, 0, three.tokens.shape[2])
    with pytest.raises(KeyError):
        three.of(["a cup"])


def test_of_the_sentences_of_categories_only_vectors_are_kept(encoder: LanguageEncoder) -> None:
    encoder.requires_grad_(False)
    prompts = ["a photo of a mug.", "a plate.", "a photo of a mug."]
    first = encoder.sentence_embeddings(prompts)
    torch.testing.assert_close(first, unit(encoder(prompts).vectors))
    encoder.encode_ids = None  # pyright: ignore[reportAttributeAccessIssue]
    again = encoder.sentence_embeddings(prompts[::-1])
    torch.testing.assert_close(again, first.flip(0))
    kept = encoder._kept_sentences
    assert set(kept) == set(prompts)
    assert all(v.untyped_storage().nbytes() == v.nbytes for v in kept.values()), "not views of all tokens"


@torch.no_grad()
def test_categories_are_the_mean_over_all_templates_background_last(encoder: LanguageEncoder) -> None:
    embeddings = encoder.category_embeddings(["mug", "wall-other-merged"])
    assert embeddings.shape == (3, 8)
    for row, name in zip(embeddings, ("mug", "wall", "background"), strict=True):
        mean = unit(encoder([t.format(name) for t in TEMPLATES]).vectors).mean(0)
        torch.testing.assert_close(row, mean / mean.norm())


def test_training_draws_one_template_for_each_category() -> None:
    turns = iter([0, 1, 37])
    prompts = training_prompts(["hot dog", "door-stuff", "salt+pepper, ground"], lambda n: next(turns) % n)
    assert prompts == ["hot dog.", "a photo of a door.", "a salt pepper ground in a video game."]
    assert len(TEMPLATES) == 81


def test_the_templates_are_seems_in_its_order() -> None:
    """A training step draws them by their place."""
    assert sha256("\n".join(TEMPLATES).encode()).hexdigest().startswith("11d594d8b366ccc0")


def test_suffixes_of_merged_classes_are_not_spoken() -> None:
    assert clean_name("floor-other-merged") == "floor"
    assert clean_name("wall-brick") == "wall-brick"


@torch.no_grad()
def test_only_the_similarity_with_texts_has_a_bounded_scale(encoder: LanguageEncoder) -> None:
    vectors, embeddings = torch.randn(5, 8), unit(torch.randn(3, 8))
    encoder.logit_scale.fill_(6.0)
    cosine = unit(vectors) @ embeddings.T
    torch.testing.assert_close(encoder.class_logits(vectors, embeddings), cosine * 403.4288)
    torch.testing.assert_close(encoder.text_logits(vectors, embeddings), cosine * 100)


@torch.no_grad()
def test_similarity_is_computed_in_full_precision_under_autocast(encoder: LanguageEncoder) -> None:
    vectors, embeddings = torch.randn(5, 8), unit(torch.randn(3, 8))
    wanted = encoder.class_logits(vectors, embeddings)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encoder.class_logits(vectors, embeddings), wanted)


@torch.no_grad()
def test_no_texts_at_all(encoder: LanguageEncoder) -> None:
    assert len(encoder([])) == 0 and encoder([]).vectors.shape == (0, 8)


@torch.no_grad()
@pytest.mark.parametrize("width", [16, 256])
def test_the_bits_of_an_embedding_depend_on_its_text_alone(width: int) -> None:
    """Not on what was encoded with it, before it, or in which order; alone, in hundreds, from disk."""
    torch.manual_seed(0)
    config = LanguageConfig(width=width, layers=2, heads=2, projection=width)
    encoder = LanguageEncoder(config).eval().requires_grad_(False)

    def fresh() -> LanguageEncoder:
        return copy.deepcopy(encoder)

    texts = [f"{'very ' * (n % 23)}old thing number {n} on the left" for n in range(200)]
    together, backwards = fresh()(texts), fresh()(texts[::-1])
    assert torch.equal(together.vectors, backwards.vectors.flip(0))
    assert torch.equal(together.vectors, fresh()._sentences(texts))
    for place in range(0, 200, 41):
        alone = fresh()([texts[place]])
        assert torch.equal(alone.vectors[0], together.vectors[place])
        assert torch.equal(alone.tokens[0], together.tokens[place, : alone.lengths[0]])
        some = fresh()(texts[place : place + 7])
        assert torch.equal(some.vectors, together.vectors[place : place + 7])


@torch.no_grad()
def test_vectors_on_disk_are_found_by_the_same_encoder_only(encoder: LanguageEncoder, tmp_path: Path) -> None:
    encoder.requires_grad_(False).keep_on_disk(tmp_path)
    first = encoder.category_embeddings(["mug", "plate"])
    (file,) = tmp_path.iterdir()
    again = copy.deepcopy(encoder)
    again._kept_sentences.clear()
    again._kept_categories.clear()
    again.encode_ids = None  # pyright: ignore[reportAttributeAccessIssue]
    assert torch.equal(again.category_embeddings(["mug", "plate"]), first)
    other = copy.deepcopy(encoder)
    other.lang_proj.add_(0.1)
    assert not torch.equal(other.category_embeddings(["mug", "plate"]), first)
    assert len(list(tmp_path.iterdir())) == 2
    file.write_bytes(b"no database at all")
    for kept in (encoder._kept_sentences, encoder._kept_categories):
        kept.clear()
    with pytest.warns(UserWarning, match="it can be deleted"):
        assert torch.equal(encoder.category_embeddings(["mug", "plate"]), first)
