"""What a run proposes to try at its end: a photo of the dataset, and words that the model finds in it."""

from __future__ import annotations

from seem_train.data.dataset import SegmentationSet
from seem_train.evaluation.evaluate import evaluating
from seem_train.model.seem import SEEM
from seem_train.prediction.predictor import Predictor
from seem_train.training.reporting.previews import sentences_about_things, telling_sentence

PHOTOS, QUESTIONS = 3, 12  #: so many photos are looked at, and so many sentences of each asked


def worth_trying(model: SEEM, images: SegmentationSet, size: int, least: float) -> tuple[str, str]:
    """A photo's file and the longest sentence about a thing in it that is found; what says most, if none is.

    Args:
        size: shorter side at which the model sees photos.
        least: score from which on an answer is shown.
    """
    with evaluating(model):
        predictor = Predictor(model, list(images.categories), size=size)
        for index in range(min(PHOTOS, len(images))):
            sample = images.load(index)
            predictor.set_image(sample.pixels)
            for text, segment in sentences_about_things(sample, images.things)[:QUESTIONS]:
                answer = predictor.segment(text=text)
                mask, truth = answer.mask(0), sample.id_map.numpy() == segment + 1
                if answer.scores[0] >= least and 2 * (mask & truth).sum() > (mask | truth).sum():
                    return sample.file, text
    sample = images.load(0)
    return sample.file, telling_sentence(sample, images.things) or images.names[0]
