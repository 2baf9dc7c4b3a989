"""How much the demo takes of a machine that strangers may send requests to."""

from __future__ import annotations

from dataclasses import dataclass

from seem_train.ranges import MAX_PIXELS


@dataclass(frozen=True)
class Limits:
    body: int = 64 << 20  #: bytes of a photo that is sent
    json: int = 4 << 20  #: bytes of any other request
    pixels: int = MAX_PIXELS // 2  #: of a photo; two are decoded at a time
    sessions: int = 64
    idle_minutes: float = 30.0  #: after which a session that nobody asks anything is forgotten
    queue: int = 128  #: requests that wait for the model
    embedded: int = 2 << 30  #: bytes of what the model saw in photos; the longest unused is looked at anew
    objects: int = 500  #: in a session
    history: int = 50  #: steps that can be undone
