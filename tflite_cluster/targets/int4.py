"""The shortest file: float weights become int4 codes where that is worth what it costs, else int8 codes.

Kernels that unpack int8 weights once and for all leave the layers of int4 weights to slower ones.
"""

from __future__ import annotations

from ..search.int4_codes import Int4Codes
from .int8 import FileOfCodes

TARGET = FileOfCodes(Int4Codes.of)
"""Float weights stored as int4 or int8 codes: the same model in a new, still shorter file."""
