"""``python -m tests.parity FOLDER…`` replays the original's recordings, from a clone."""

from __future__ import annotations

import sys

from seem_train.errors import UserError
from tests.parity.compare import main

try:
    sys.exit(main(sys.argv[1:]))
except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
