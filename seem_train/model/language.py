"""Text in, vectors out: CLIP's byte-pair tokens, the UniCL text transformer, embeddings of categories.

Tokens after the end-of-text token never influence the embedding (the attention is causal), so texts are
padded as it suits. Embeddings of an encoder that is not being trained are kept by text. A run that was
stopped begins again with nothing kept, and goes on to the bit: so the bits of an embedding must depend on its
text alone. They do depend on the shape of the batch, therefore texts are encoded in batches of one shape:
`ROWS` texts of a length that follows from the text's own.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from open_clip.tokenizer import SimpleTokenizer
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES
from torch import Tensor, nn

from seem_data.layout import BACKGROUND, clean_name, heard_as
from seem_train.errors import UserError
from seem_train.model.attention import Attention
from seem_train.model.config import LanguageConfig
from seem_train.model.text_store import TextStore, key_of, store_folder

Kept = TypeVar("Kept")

_PHOTO = "a photo of a {}."
#: Sentences that a category's name is put into, in SEEM's order: a training step draws one by its place,
#: evaluation averages over all. The bare name, and CLIP's ImageNet prompts (https://arxiv.org/abs/2103.00020).
TEMPLATES = ("{}.", _PHOTO, *(t for say in OPENAI_IMAGENET_TEMPLATES if (t := say("{}")) != _PHOTO))

ROWS = 8  #: texts encoded at once
CHUNK = 512  #: texts whose tokens are held at once where only their vectors are wanted
STEP = 8  #: lengths are rounded up to multiples of so many tokens
FIRST_SCALE = math.log(30.0)  #: log temperature of an encoder that starts anew; CLIP starts with 14
#: what a user's category of that name is called instead; the first that no other category is called
STAND_INS = ("backdrop", "scenery behind", "surroundings", "everything else")
MAX_SCALE = 100.0  #: ceiling of the learned temperature exp(logit_scale), as in CLIP
CACHED_TEXTS = 20_000  #: texts whose embeddings are kept at most (the oldest go first)


@dataclass(frozen=True)
class TextEmbeddings:
    """Embeddings of T texts of at most L tokens (start and end included), not normalised."""

    texts: tuple[str, ...]
    vectors: Tensor  #: [T, D] of the whole text, at its end-of-text token
    tokens: Tensor  #: [T, L, D] of each token; zero after the end of a text
    lengths: tuple[int, ...]  #: tokens of each text, start and end included

    def __len__(self) -> int:
        return len(self.texts)

    def of(self, texts: Sequence[str]) -> TextEmbeddings:
        """Those of some of these texts, in the order asked for; a KeyError for any other text."""
        first: dict[str, int] = {}
        for place, text in enumerate(self.texts):
            first.setdefault(text, place)
        places = [first[text] for text in texts]
        lengths = tuple(self.lengths[place] for place in places)
        tokens = self.tokens[places, : max(lengths, default=0)]
        return TextEmbeddings(tuple(texts), self.vectors[places], tokens, lengths)

    def concatenated(self) -> Tensor:
        """[sum of lengths, D] the real tokens of all texts, one text after the other."""
        return torch.cat([t[:n] for t, n in zip(self.tokens, self.lengths, strict=True)])


_tokenizer = functools.cache(SimpleTokenizer)  #: made when first wanted, since it reads its vocabulary


def tokenize(texts: Sequence[str], context_length: int = 77) -> tuple[Tensor, tuple[int, ...]]:
    """Texts to ids [T, L] (padded with the end-of-text id; L the longest text) and their lengths.

    A text with more than `context_length` tokens is cut; a warning shows what was lost.
    """
    bpe = _tokenizer()
    rows: list[list[int]] = []
    for text in texts:
        if not isinstance(text, str):
            raise UserError(f"a text prompt must be a string, not {type(text).__name__}: {text!r}")
        ids = bpe.encode(text)
        if len(ids) > context_length - 2:
            lost = bpe.decode(ids[context_length - 2 :]).strip()
            warnings.warn(
                f"a text has {len(ids) + 2} tokens, the model reads {context_length}; cut off: {lost!r}",
                stacklevel=2,
            )
            ids = ids[: context_length - 2]
        rows.append([bpe.sot_token_id, *ids, bpe.eot_token_id])
    longest = max((len(r) for r in rows), default=0)
    padded = [r + [bpe.eot_token_id] * (longest - len(r)) for r in rows]
    return torch.tensor(padded, dtype=torch.long).reshape(len(rows), longest), tuple(len(r) for r in rows)


def spoken_names(names: Sequence[str]) -> list[str]:
    """The names of categories as the model hears them.

    "background", in any case, is what SEEM calls "no object": a category of that name would have the same
    embedding, and never win against it. It is said in another word; all other names are left as they are.
    """
    heard = {heard_as(name) for name in names}
    free = (word for word in STAND_INS if word not in heard)
    stand_in = next(free, STAND_INS[0])
    return [stand_in if heard_as(name) == BACKGROUND else name for name in names]


def training_prompts(names: Sequence[str], draw: Callable[[int], int]) -> list[str]:
    """One sentence for each category; `draw(n)` picks a template out of n."""
    return [
        TEMPLATES[draw(len(TEMPLATES))].format(clean_name(name).replace(",", "").replace("+", " "))
        for name in names
    ]


class _Block(nn.Module):
    """Pre-norm transformer block with CLIP's quick GELU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = Attention(width, heads)
        self.ln_1 = nn.LayerNorm(width, eps=1e-12)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})
        self.ln_2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, causal: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, causal)
        y = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](y * torch.sigmoid(1.702 * y))


class TextTransformer(nn.Module):
    """Token ids [T, L] to hidden states [T, L, width]."""

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.positional_embedding = nn.Parameter(torch.empty(config.context_length, config.width))
        self.resblocks = nn.ModuleList(_Block(config.width, config.heads) for _ in range(config.layers))
        self.ln_final = nn.LayerNorm(config.width, eps=1e-12)
        nn.init.trunc_normal_(self.token_embedding.weight, std=0.02)
        nn.init.trunc_normal_(self.positional_embedding, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        length = ids.shape[1]
        causal = torch.ones(1, length, length, dtype=torch.bool, device=ids.device).tril()
        x = self.token_embedding(ids) + self.positional_embedding[:length]
        for block in self.resblocks:
            x = block(x, causal)
        return self.ln_final(x)


class LanguageEncoder(nn.Module):
    """Embeds texts and categories, and compares vectors with them."""

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.config = config
        self.lang_encoder = TextTransformer(config)
        self.lang_proj = nn.Parameter(torch.empty(config.width, config.projection))
        self.logit_scale = nn.Parameter(torch.ones([]))
        nn.init.trunc_normal_(self.lang_proj, std=0.02)
        self._kept: dict[str, tuple[Tensor, Tensor]] = {}  # text ─▶ its vector [D], its tokens [L, D]
        self._kept_sentences: dict[str, Tensor] = {}  # sentence of a category ─▶ its vector [D]
        self._kept_categories: dict[tuple[str, ...], Tensor] = {}
        self._kept_for: object = None
        self._folder: Path | None = None
        self._store: TextStore | None = None

    def keep_on_disk(self, folder: Path | None = None) -> None:
        """Keep vectors of sentences about categories over processes, in `store_folder()` if not elsewhere."""
        self._folder = folder or store_folder()

    @torch.no_grad()
    def start_anew(self) -> None:
        """Draw weights for training from nothing, in place of those that the original starts its pretraining
        with.

        There all texts lie close together (cosines of 0.98 between names), since what marks their end, and
        where, outweighs their words. Here the marks are zero and words differ by as much as they can.
        """
        table = self.lang_encoder.token_embedding.weight
        nn.init.normal_(table, std=0.5)
        table[-2:].zero_()  # start and end of a text
        nn.init.normal_(self.lang_proj, std=self.config.width**-0.5)
        self.logit_scale.fill_(FIRST_SCALE)

    def forward(self, texts: Sequence[str]) -> TextEmbeddings:
        """Embeddings of texts, encoding only those not seen before (or all of them in training)."""
        if not texts:
            empty = self.lang_proj.new_zeros(0, self.config.projection)
            return TextEmbeddings((), empty, empty[:, None], ())
        keep = self._may_keep()
        kept = self._kept if keep else {}
        found = {text: kept[text] for text in texts if text in kept}
        new = self._encode([text for text in dict.fromkeys(texts) if text not in found])
        found |= new
        if keep:
            kept |= {text: (vector.clone(), tokens.clone()) for text, (vector, tokens) in new.items()}
            _forget_oldest(kept)
        rows = [found[text] for text in texts]
        lengths = tuple(tokens.shape[0] for _, tokens in rows)
        tokens = nn.utils.rnn.pad_sequence([tokens for _, tokens in rows], batch_first=True)
        return TextEmbeddings(tuple(texts), torch.stack([vector for vector, _ in rows]), tokens, lengths)

    def sentence_embeddings(self, prompts: Sequence[str]) -> Tensor:
        """[T, D] unit vectors of sentences about categories, as `training_prompts` draws them."""
        return unit(self._sentences(prompts))

    def category_embeddings(self, names: Sequence[str]) -> Tensor:
        """[C+1, D] unit vectors of categories, each the mean over all templates, the background last."""
        wanted = (*spoken_names(names), BACKGROUND)
        if self._may_keep() and wanted in self._kept_categories:
            return self._kept_categories[wanted]
        vectors = self._sentences([t.format(clean_name(name)) for name in wanted for t in TEMPLATES])
        mean = unit(vectors).unflatten(0, (len(wanted), len(TEMPLATES))).mean(1)
        mean = mean / mean.norm(dim=-1, keepdim=True)
        if self._may_keep():
            self._kept_categories[wanted] = mean
        return mean

    def class_logits(self, vectors: Tensor, embeddings: Tensor) -> Tensor:
        """Scaled cosine of vectors [..., D] with unit embeddings [C, D]; the scale is not bounded."""
        with torch.autocast(vectors.device.type, enabled=False):
            return self.logit_scale.float().exp() * unit(vectors.float()) @ embeddings.float().T

    def text_logits(self, vectors: Tensor, embeddings: Tensor) -> Tensor:
        """Scaled cosine of vectors [..., N, D] with text vectors [..., T, D]; the scale is at most 100."""
        with torch.autocast(vectors.device.type, enabled=False):
            return text_similarity(vectors.float(), embeddings.float(), self.logit_scale.float())

    def encode_ids(self, ids: Tensor) -> Tensor:
        """Token ids [T, L] to token embeddings [T, L, D], those after the end of a text included."""
        return self.lang_encoder(ids) @ self.lang_proj

    def _sentences(self, prompts: Sequence[str]) -> Tensor:
        """Vectors [T, D]; the tokens of thousands of sentences would fill hundreds of megabytes."""
        keep = self._may_keep()
        kept = self._kept_sentences if keep else {}
        found = {text: kept[text] for text in prompts if text in kept}
        missing = [text for text in dict.fromkeys(prompts) if text not in found]
        store = self._open_store() if keep and missing else None
        if store is not None:
            found |= {text: v.to(self.lang_proj) for text, v in store.read(missing).items()}
            missing = [text for text in missing if text not in found]
        for start in range(0, len(missing), CHUNK):
            encoded = self._encode(missing[start : start + CHUNK])
            new = {text: vector.clone() if keep else vector for text, (vector, _) in encoded.items()}
            if store is not None:
                store.write(new)
            found |= new
        kept |= found
        _forget_oldest(kept)
        return torch.stack([found[text] for text in prompts])

    def _encode(self, texts: Sequence[str]) -> dict[str, tuple[Tensor, Tensor]]:
        """Vector [D] and tokens [L, D] of texts that differ; without gradients in batches of one shape."""
        if not texts:
            return {}
        ids, lengths = tokenize(texts, self.config.context_length)
        ids = ids.to(self.lang_proj.device)
        if self._learning():
            return {
                text: (row[n - 1], row[:n])
                for text, row, n in zip(texts, self.encode_ids(ids), lengths, strict=True)
            }
        places: dict[int, list[int]] = {}
        for place, length in enumerate(lengths):
            longest = min(-(-length // STEP) * STEP, self.config.context_length)
            places.setdefault(longest, []).append(place)
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for longest, of in places.items():
            padded = nn.functional.pad(ids, (0, max(longest - ids.shape[1], 0)))[:, :longest]
            for start in range(0, len(of), ROWS):
                some = of[start : start + ROWS]
                filled = some + some[:1] * (ROWS - len(some))
                for place, row in zip(some, self.encode_ids(padded[filled]), strict=False):
                    found[place] = row[lengths[place] - 1], row[: lengths[place]]
        return {text: found[place] for place, text in enumerate(texts)}

    def _learning(self) -> bool:
        return torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())

    def _open_store(self) -> TextStore | None:
        if self._folder is None or any(p.requires_grad for p in self.parameters()):
            return None
        if self._store is None:
            device = self.lang_proj.device.type
            half = str(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else "fp32"
            self._store = TextStore(self._folder, key_of(self.parameters(), "CLIP's byte-pair tokens", half))
        return self._store

    def _may_keep(self) -> bool:
        """Whether an embedding of now will still be right later; forgets all when the encoder has changed."""
        state = (
            sum(p._version for p in self.parameters()),
            self.lang_proj.data_ptr(),
            self.lang_proj.device,
            self.lang_proj.dtype,
            torch.is_autocast_enabled(self.lang_proj.device.type),
            torch.is_inference_mode_enabled(),
        )
        if state != self._kept_for:
            self._kept.clear()
            self._kept_sentences.clear()
            self._kept_categories.clear()
            self._kept_for = state
            self._store = None
        return not self._learning()


def _forget_oldest(kept: dict[str, Kept]) -> None:
    while len(kept) > CACHED_TEXTS:
        del kept[next(iter(kept))]


def text_similarity(vectors: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
    """[..., N, T] scaled cosines of vectors [..., N, D] and texts [..., T, D] under a log temperature."""
    return logit_scale.exp().clamp(max=MAX_SCALE) * unit(vectors) @ unit(texts).mT


def unit(vectors: Tensor) -> Tensor:
    """Vectors of length 1; a zero vector stays zero (the original adds 1e-7 to the length)."""
    return vectors / (vectors.norm(dim=-1, keepdim=True) + 1e-7)
