"""The shortest file: float weights become int4 codes where that is worth its cost, else int8 codes.

XNNPACK unpacks int8 weights once, but does not unpack int4 weights. Slower kernels run their layers.
"""

from __future__ import annotations

from ..search.int4_codes import Int4Codes
from .int8 import FileOfCodes

TARGET = FileOfCodes(Int4Codes.of)
"""Float weights stored as int4 or int8 codes: the same model in a new, still shorter file."""
