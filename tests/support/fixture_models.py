"""The models that tools/make_fixtures.py wrote, and what is known of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parents[1] / "fixtures"
MODELS: Final = sorted(FOLDER.glob("*.tflite"))
MANIFEST: Final[dict[str, dict[str, Any]]] = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
