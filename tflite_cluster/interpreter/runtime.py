"""The LiteRT interpreter behind a typed face: one open model that runs samples one at a time."""

from __future__ import annotations

import enum
import importlib
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from ..errors import InterpreterFailure
from .interface import ModelInterface, Signature, TensorSpec, distinct_names


class Kernels(enum.Enum):
    """Which implementation of the operators runs; the value is the name of LiteRT's resolver."""

    DEFAULT = "AUTO"
    """What applications get: optimised kernels, and XNNPACK wherever it can take over."""
    NO_DELEGATE = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
    """Optimised kernels without XNNPACK."""
    REFERENCE = "BUILTIN_REF"
    """Plain loops: slow, and the yardstick."""


class _Runner(Protocol):
    def __call__(self, **inputs: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]: ...

    def get_input_details(self) -> dict[str, dict[str, Any]]: ...

    def get_output_details(self) -> dict[str, dict[str, Any]]: ...


class _Interpreter(Protocol):
    """The part of LiteRT's Interpreter that is used here; its package carries no types."""

    def allocate_tensors(self) -> None: ...

    def invoke(self) -> None: ...

    def reset_all_variables(self) -> None: ...

    def resize_tensor_input(self, input_index: int, tensor_size: tuple[int, ...]) -> None: ...

    def set_tensor(self, tensor_index: int, value: npt.NDArray[Any]) -> None: ...

    def get_tensor(self, tensor_index: int, subgraph_index: int = 0) -> npt.NDArray[Any]: ...

    def get_input_details(self) -> list[dict[str, Any]]: ...

    def get_output_details(self) -> list[dict[str, Any]]: ...

    def num_subgraphs(self) -> int: ...

    def get_tensor_details(self, subgraph_index: int) -> list[dict[str, Any]]: ...

    def get_signature_list(self) -> dict[str, dict[str, list[str]]]: ...

    def get_signature_runner(self, signature_key: str) -> _Runner: ...


class OpenModel:
    """A model opened by the interpreter; a run starts from the model's initial state unless it goes on from the last.

    With `preserve_all_tensors`, `tensor` reads intermediate results of the latest run correctly; without it they are
    overwritten, and asking for them gives wrong numbers.
    """

    def __init__(
        self,
        path: Path,
        kernels: Kernels,
        threads: int,
        *,
        preserve_all_tensors: bool = False,
        edits: Mapping[int, bytes] | None = None,
    ) -> None:
        """edits: bytes to put at places of the file's content, in memory."""
        self._path = path
        self._edits = edits or {}
        self._kernels = kernels
        self._threads = threads
        self._preserve = preserve_all_tensors
        self._open()
        self._keeps_resources = self._find_resources()

    def _open(self) -> None:
        self._runners: dict[str, _Runner] = {}
        self._shapes: list[tuple[int, ...]] | None = None
        self._has_run = False
        self._interpreter = _open_interpreter(self._source(), self._kernels, self._threads, self._preserve)

    def _source(self) -> dict[str, Any]:
        if not self._edits:
            return {"model_path": str(self._path)}
        content = bytearray(self._path.read_bytes())
        for position, edit in self._edits.items():
            content[position : position + len(edit)] = edit
        return {"model_content": bytes(content)}

    def _find_resources(self) -> bool:
        """Whether any subgraph handles resource variables, which LiteRT shows as tensors of Python objects."""
        with _refusals_as_failures():
            subgraphs = range(self._interpreter.num_subgraphs())
            return any(
                details["dtype"] is np.object_
                for subgraph in subgraphs
                for details in self._interpreter.get_tensor_details(subgraph)
            )

    def interface(self) -> ModelInterface:
        """Describe every signature that has outputs, or else the primary subgraph.

        Shapes of outputs are what the file says: the interpreter works out the real ones only when it runs.
        """
        with _refusals_as_failures():
            listed = self._interpreter.get_signature_list()
            signatures = tuple(self._signature(key) for key, names in listed.items() if names["outputs"])
            return ModelInterface(signatures or (self._bare_signature(),))

    def _signature(self, key: str) -> Signature:
        runner = self._interpreter.get_signature_runner(key)
        inputs = runner.get_input_details()
        outputs = runner.get_output_details()
        return Signature(
            key,
            tuple(_tensor_spec(name, details) for name, details in inputs.items()),
            tuple(_tensor_spec(name, details) for name, details in outputs.items()),
        )

    def _bare_signature(self) -> Signature:
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        return Signature(
            None,
            tuple(map(_tensor_spec, _names(inputs), inputs)),
            tuple(map(_tensor_spec, _names(outputs), outputs)),
        )

    def run(self, key: str | None, sample: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Run one sample: input name -> array of the input's own shape and dtype; give output name -> raw array."""
        with _refusals_as_failures():
            self._restore_initial_state()
        return self.run_on(key, sample)

    def run_on(self, key: str | None, sample: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """The same from the state that the latest run left."""
        with _refusals_as_failures():
            self._has_run = True
            if key is None:
                return self._run_bare(sample)
            if key not in self._runners:
                self._runners[key] = self._interpreter.get_signature_runner(key)
            return self._runners[key](**sample)

    def tensor(self, index: int, subgraph: int = 0) -> npt.NDArray[Any]:
        """Copy a tensor as the latest run left it."""
        with _refusals_as_failures():
            return self._interpreter.get_tensor(index, subgraph)

    def _restore_initial_state(self) -> None:
        if not self._has_run:
            return
        if self._keeps_resources:
            self._open()  # resource variables know no reset
            return
        try:
            self._interpreter.reset_all_variables()
        except (ValueError, RuntimeError):
            self._open()  # variables of a subgraph that has never run cannot be reset either

    def _run_bare(self, sample: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        inputs = self._interpreter.get_input_details()
        names = _names(inputs)
        if sample.keys() != set(names):
            raise InterpreterFailure(f"it takes the inputs {names}, not {sorted(sample)}")
        values = [sample[name] for name in names]
        if self._shapes != [value.shape for value in values]:
            for details, value in zip(inputs, values, strict=True):
                if tuple(details["shape"]) != value.shape:
                    self._interpreter.resize_tensor_input(details["index"], value.shape)
            self._interpreter.allocate_tensors()
            self._shapes = [value.shape for value in values]
        for details, value in zip(inputs, values, strict=True):
            self._interpreter.set_tensor(details["index"], value)
        self._interpreter.invoke()
        outputs = self._interpreter.get_output_details()
        values = [self._interpreter.get_tensor(details["index"]) for details in outputs]
        return dict(zip(_names(outputs), values, strict=True))


def _names(tensors: list[dict[str, Any]]) -> list[str]:
    return distinct_names([str(details["name"]) for details in tensors])


def _open_interpreter(
    source: dict[str, Any], kernels: Kernels, threads: int, preserve_all_tensors: bool
) -> _Interpreter:
    module = runtime_module()
    with _refusals_as_failures():
        interpreter = module.Interpreter(
            **source,
            num_threads=threads,
            experimental_op_resolver_type=module.OpResolverType[kernels.value],
            experimental_preserve_all_tensors=preserve_all_tensors,
        )
    return cast(_Interpreter, interpreter)


def runtime_module() -> Any:
    """Import the interpreter late: it costs a quarter of a second, TensorFlow's copy of it several."""
    reasons: list[str] = []
    for name in ("ai_edge_litert.interpreter", "tensorflow.lite.python.interpreter"):
        try:
            return importlib.import_module(name)
        except ImportError as error:
            reasons.append(str(error))
    raise InterpreterFailure(
        "neither ai-edge-litert nor tensorflow can be imported; where the former has no wheel, "
        f"pip install 'tflite-cluster[tensorflow]': {'; '.join(reasons)}"
    )


def _tensor_spec(name: str, details: dict[str, Any]) -> TensorSpec:
    shape = tuple(int(size) for size in details["shape"])
    signature = tuple(int(size) for size in details["shape_signature"])
    scale, zero_point = details["quantization"]
    return TensorSpec(
        name=name,
        index=int(details["index"]),
        shape=shape,
        shape_signature=signature if len(signature) == len(shape) else shape,
        dtype=np.dtype(details["dtype"]),
        scale=float(scale),
        zero_point=int(zero_point),
    )


@contextmanager
def _refusals_as_failures() -> Generator[None]:
    """Turn what the interpreter raises into InterpreterFailure; MemoryError is left to those who know the limit."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise InterpreterFailure(_in_words(str(error))) from error
    except TypeError as error:  # a path that is not UTF-8
        raise InterpreterFailure("it opens only files whose path is UTF-8: rename the file") from error


def _in_words(message: str) -> str:
    missing = re.search(r"unresolved custom op:? *([^\s.]+)", message, re.IGNORECASE)
    if missing:
        return f"it needs the custom operator {missing[1]}, which the interpreter does not have"
    line = " ".join(message.split())
    if not line:
        return "the interpreter refuses it without a word, as it does when memory runs out"
    return f"the interpreter refuses it: {line[:300]}"
