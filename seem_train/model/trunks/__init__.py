"""Image trunks other than plain FocalNet: four feature levels under the official parameter names.

Every trunk is built from its own configuration dataclass and offers the same surface:
`out_channels` {"res2": C2, …}; `forward(x [B, 3, H, W]) -> {"res2": [B, C2, H/4, W/4], …, "res5":
[B, C5, H/32, W/32]}` for normalised images whose sides are multiples of 32; `to_official` and
`from_official`, which rename a state dict of the trunk to the names of the original's checkpoints
(without `backbone.`) and back; and the switch `activation_checkpointing` (a stage at a time).
"""
