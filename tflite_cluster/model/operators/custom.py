"""Custom operators, which have nothing in common with builtin ones of the same name."""

from __future__ import annotations

from typing import Final

from .record import OperatorRecord

RECORDS: Final = (
    OperatorRecord("Convolution2DTransposeBias", weights={1: 0}),  # of MediaPipe: input, weights [O, H, W, I], bias
    OperatorRecord("DISPATCH_OP", accelerator="an accelerator by LiteRT"),
    OperatorRecord("NeutronGraph", accelerator="the NXP eIQ Neutron NPU"),
    OperatorRecord("edgetpu-custom-op", accelerator="the Edge TPU"),
    OperatorRecord("ethos-u", accelerator="the Arm Ethos-U"),
)
