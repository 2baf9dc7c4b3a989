"""Every number SEEM reports, from numpy arrays alone: no model, no torch, no files.

All metrics share one shape: `update(…)` per image, `merge(other)` for what another process counted,
`result()` ─▶ a frozen dataclass of fractions from 0 to 1 (counts aside).
States are sums of whole numbers wherever the definition allows, so the split of the images over processes
and their order change no digit.
"""
