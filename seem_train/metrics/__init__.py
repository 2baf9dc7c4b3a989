"""Every number SEEM reports, from numpy arrays alone: no model, no torch, no files.

All metrics share one shape: `update(…)` per image, `merge(other)` for what another process counted,
`result()` ─▶ a frozen dataclass of fractions from 0 to 1 (counts aside).
States are sums of whole numbers wherever the definition allows, so the split of the images over processes
and their order change no digit.
"""

from seem_train.metrics.grounding import GroundingResult, GroundingScores
from seem_train.metrics.instance import InstanceAP, InstanceResult
from seem_train.metrics.interactive import InteractiveResult, InteractiveScores
from seem_train.metrics.panoptic import PanopticQuality, PanopticScores, QualityScore
from seem_train.metrics.semantic import SemanticResult, SemanticScores

__all__ = [
    "GroundingResult",
    "GroundingScores",
    "InstanceAP",
    "InstanceResult",
    "InteractiveResult",
    "InteractiveScores",
    "PanopticQuality",
    "PanopticScores",
    "QualityScore",
    "SemanticResult",
    "SemanticScores",
]
