"""litert-quantizer, formerly AI Edge Quantizer: integers in place of float weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..method import Job, Method, Tool, version_of

_METHODS = (
    Method("int8, weights only", {"recipe": "weight_only_wi8_afp32"}, float_only=True),
    Method("int8, dynamic range", {"recipe": "dynamic_wi8_afp32"}, float_only=True),
    Method("int8, dense layers int4 in blocks", {"recipe": "dynamic_wi8_afp32", "dense": "blocks"}, float_only=True),
    Method("int4, weights only", {"recipe": "weight_only_wi4_afp32"}, float_only=True),
    Method("int8, dense layers int4 by GPTQ", {"recipe": "dynamic_wi8_afp32", "dense": "gptq"}, True, True),
    Method("int8, weights and activations", {"recipe": "static_wi8_ai8"}, uses_data=True, float_only=True),
)


def run(job: Job) -> None:
    """Quantise by one of the tool's own recipes."""
    from litert_quantizer import quantizer, recipe
    from litert_quantizer.algorithm_manager import AlgorithmName
    from litert_quantizer.qtyping import TFLOperationName

    steps = getattr(recipe, job.settings["recipe"])()
    dense = TFLOperationName.FULLY_CONNECTED
    if job.settings.get("dense") == "blocks":
        steps += recipe.dynamic_wi4b32_afp32(operation_name=dense)
    if job.settings.get("dense") == "gptq":
        steps += recipe.dynamic_wi4c_afp32(operation_name=dense, algorithm_key=AlgorithmName.GPTQ)
    worker = quantizer.Quantizer(str(job.model), steps)
    calibration = worker.calibrate(_samples(job)) if worker.need_calibration else None
    worker.quantize(calibration, enable_progress_report=False).export_model(str(job.output), overwrite=True)


def _samples(job: Job) -> dict[str, list[dict[str, Any]]]:
    """Samples by signature, each by input name, as the model takes them."""
    from litert_quantizer.utils.tfl_interpreter_utils import create_tfl_interpreter

    assert job.data is not None
    interpreter = create_tfl_interpreter(str(job.model))
    signatures = list(interpreter.get_signature_list())
    if len(signatures) != 1:
        raise ValueError(f"it calibrates by signatures, and the model has {len(signatures)}")
    (key,) = signatures
    ((name, given),) = interpreter.get_signature_runner(key).get_input_details().items()
    with np.load(job.data) as samples:
        x = samples["x"]
    return {key: [{name: sample.reshape(given["shape"]).astype(given["dtype"])} for sample in x]}


TOOL = Tool("litert-quantizer", 5, lambda _: _METHODS, run, version_of("litert-quantizer"))
