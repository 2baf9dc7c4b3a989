"""The model as two graphs of plain tensors, for use without this package: photos in, prompts in, masks out.

The forward passes are the model's own; only what they take and give is flat. Everything random or of text is
left to the caller: which learned queries are drawn, which pixels of a mark, what tokens a text has. One photo
at a time; sizes, texts, marks and objects are as many as wanted.

h, w are the photo's padded height and width over 32, D the decoder's width, Q its learned queries, L its
layers, n the queries of an object, M its memories.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seem_train.errors import UserError
from seem_train.model.attention import Kind
from seem_train.model.decoder import Level, Memory, best_fitting
from seem_train.model.language import text_similarity
from seem_train.model.prepare import PreparedPrompts, SampledPixels
from seem_train.model.seem import SEEM

LEVELS = ("level32", "level16", "level8")
KEYS = ("keys32", "keys16", "keys8")


class ImageEncoder(nn.Module):
    """A photo to all that prompts need, and the answer no prompt changes."""

    OUTPUTS = ("mask_features", *LEVELS, *KEYS, "object_vectors", "object_masks")

    def __init__(self, model: SEEM) -> None:
        super().__init__()
        if model.config.decoder.mode != "v1":
            raise UserError(
                "only v1 models can be exported as graphs; the demo model asks all prompts at once"
            )
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """
        Args:
            image: [1, 3, 32·h, 32·w] float, RGB of 0 to 255, its padding in the mean colour.

        Returns:
            mask_features [1, D, 8·h, 8·w]; level32, level16, level8 [1, D, …] what strokes are made of;
            keys32, keys16, keys8 [1, L/3·2·D, …] keys and values of the layers that look at a level;
            object_vectors [1, Q, D] to be compared with embeddings of categories; object_masks
            [1, Q, 8·h, 8·w] logits.
        """
        model = self.model
        normal = (image - model.pixel_mean) / model.pixel_std
        mask_features, levels = model.pixel_decoder(model.backbone(normal))
        memory = model.decoder.look(mask_features, levels, keep=True)
        objects = model.decoder(memory, PreparedPrompts(), kinds=(Kind.OBJECT,))[-1][Kind.OBJECT]
        assert memory.keys_values is not None
        maps = [level.content.transpose(1, 2).unflatten(2, level.size) for level in memory.levels]
        keys = []
        for place, level in enumerate(memory.levels):
            mine = [part for pair in memory.keys_values[place :: len(memory.levels)] for part in pair]
            flat = torch.cat([part.transpose(2, 3).flatten(1, 2) for part in mine], dim=1)
            keys.append(flat.unflatten(2, level.size))
        return (mask_features, *maps, *keys, objects.classes, memory.masks(objects.masks))


class PromptDecoder(nn.Module):
    """Texts and marks on an encoded photo to masks."""

    OUTPUTS = ("text_similarity", "text_masks", "object_masks")

    def __init__(self, model: SEEM) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        mask_features: Tensor,
        level32: Tensor,
        level16: Tensor,
        level8: Tensor,
        keys32: Tensor,
        keys16: Tensor,
        keys8: Tensor,
        text_tokens: Tensor,
        text_real: Tensor,
        text_vectors: Tensor,
        points: Tensor,
        owners: Tensor,
        positive: Tensor,
        queries: Tensor,
        previous: Tensor,
        memories: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """
        Args:
            mask_features … keys8: from the image encoder.
            text_tokens: [1, T, D] tokens of all texts, one after the other; without a text one row of zeros.
            text_real: [1, T] bool, false for padding.
            text_vectors: [N, D] of whole texts.
            points: [1, S, 2] (x, y) of marked pixels, as shares of the padded width and height; S ≤ 512.
            owners: [1, S] int64, the object each belongs to; −1 for padding.
            positive: [1, S] bool, false for what the object is not.
            queries: [K, n] int64, learned queries for each of K objects, drawn below Q.
            previous: [1, K, 8·h, 8·w] mask logits of the last round; zeros in the first.
            memories: [L, M] int64, ascending, the object each carries, drawn below K; −1 in the first round.

        Returns:
            text_similarity [Q, N], by which a text's mask is chosen: the query where it is greatest;
            text_masks [1, Q, 8·h, 8·w] logits; object_masks [1, K, 8·h, 8·w] logits.
        """
        model, objects = self.model, queries.shape[0]
        memory = self._memory(mask_features, (level32, level16, level8), (keys32, keys16, keys8))
        pixels = SampledPixels(points, owners, positive)
        regions = model.decoder.region_tokens(memory, [pixels] * (1 + len(LEVELS)), objects)
        # Memories of nobody carry one more object, to which no query belongs.
        previous = torch.cat((previous, torch.zeros_like(previous[:, :1])), dim=1)
        prompts = PreparedPrompts(
            objects=objects,
            texts=text_tokens,
            texts_real=text_real,
            pixels=(pixels,),
            queries=queries.flatten(),
            memories=torch.where(memories < 0, objects, memories),
            previous=previous,
        )
        kinds = (Kind.GROUNDING, Kind.SPATIAL)
        answers = model.decoder(memory, prompts, regions, kinds)[-1]
        texts, marks = answers[Kind.GROUNDING], answers[Kind.SPATIAL]
        chosen = best_fitting(marks.masks.unflatten(1, (objects, queries.shape[1])), regions.positive)
        return (
            text_similarity(texts.classes[0], text_vectors, model.language.logit_scale),
            memory.masks(texts.masks),
            memory.masks(chosen),
        )

    def _memory(self, mask_features: Tensor, levels: Sequence[Tensor], keys: Sequence[Tensor]) -> Memory:
        heads, layers = self.model.config.decoder.heads, self.model.config.decoder.layers
        ready: list[Level] = []
        pairs: list[Tensor] = []
        for content, flat in zip(levels, keys, strict=True):
            size = (content.shape[-2], content.shape[-1])
            small = nn.functional.interpolate(mask_features, size=size, mode="bilinear", align_corners=False)
            tokens = content.flatten(2).transpose(1, 2)
            ready.append(Level(tokens, tokens[:, :0], size, small.flatten(2)))
            width = content.shape[1]
            count = flat.shape[1] // (2 * width)
            pairs.append(flat.flatten(2).unflatten(1, (count, 2, heads, width // heads)).transpose(-1, -2))
        kept = tuple(
            (pairs[i % len(pairs)][:, i // len(pairs), 0], pairs[i % len(pairs)][:, i // len(pairs), 1])
            for i in range(layers)
        )
        return Memory(mask_features, tuple(ready), kept)


class TextEncoder(nn.Module):
    """Token ids of texts to their embeddings."""

    OUTPUTS = ("tokens", "vectors")

    def __init__(self, model: SEEM) -> None:
        super().__init__()
        self.language = model.language

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """
        Args:
            ids: [N, S] int64 of CLIP's tokenizer, from start (49406) to end of text (49407), padded with the
                latter.

        Returns:
            tokens [N, S, D], of which those up to the end of text are real; vectors [N, D].
        """
        tokens = self.language.encode_ids(ids)
        last = ids.argmax(1)  # the first end of text: no id is greater
        return tokens, tokens.gather(1, last[:, None, None].expand(-1, 1, tokens.shape[-1])).squeeze(1)


GRAPHS = {"image_encoder": ImageEncoder, "prompt_decoder": PromptDecoder, "text_encoder": TextEncoder}


def inputs_of(graph: str) -> list[str]:
    """What the graph of that name takes, in its order."""
    return [*inspect.signature(GRAPHS[graph].forward).parameters][1:]
