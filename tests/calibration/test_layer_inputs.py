"""The inputs of layers: against plain loops, and against what the interpreter computes from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.fixture_models import FOLDER
from support.layer_inputs import PROBE, Floats, layer_input_of, parts_of, see
from support.operators import batch_matmul, convolution, dense, depthwise

from tflite_cluster.calibration.gather import probe_of
from tflite_cluster.calibration.moments import LayerInput
from tflite_cluster.interpreter.runtime import Kernels, OpenModel
from tflite_cluster.model.layers import real_bias, real_rows
from tflite_cluster.model.window import Window
from tflite_cluster.samples.synthetic import gather_samples


def plain_patches(activation: Floats, window: Window) -> Floats:
    """(places, height, width, channels) by loops over images, places and taps; what is outside an image is zero."""
    images, height, width, channels = activation.shape
    (top, _), (left, _) = window.margins((height, width))
    rows, columns = window.outputs((height, width))
    patches = np.zeros((images, rows, columns, *window.kernel, channels), np.float32)
    for place in np.ndindex(images, rows, columns):
        for tap in np.ndindex(window.kernel):
            y = place[1] * window.stride[0] + tap[0] * window.dilation[0] - top
            x = place[2] * window.stride[1] + tap[1] * window.dilation[1] - left
            if 0 <= y < height and 0 <= x < width:
                patches[(*place, *tap)] = activation[place[0], y, x]
    return patches.reshape(-1, *window.kernel, channels)


WINDOWS = [
    Window((3, 3), (1, 1), (1, 1), same=True),
    Window((3, 3), (1, 1), (1, 1), same=False),
    Window((2, 3), (2, 1), (1, 1), same=True),
    Window((3, 2), (1, 3), (1, 1), same=False),
    Window((3, 3), (1, 1), (2, 3), same=True),
    Window((2, 2), (2, 2), (3, 1), same=False),
    Window((1, 1), (2, 2), (1, 1), same=True),
    Window((7, 6), (1, 1), (1, 1), same=True),
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_patches_of_a_convolution(window: Window, images: int, groups: int) -> None:
    activation = np.random.default_rng(0).standard_normal((images, 7, 6, 4)).astype(np.float32)
    columns = window.kernel[0] * window.kernel[1] * 4 // groups
    layer_input = LayerInput(PROBE, "patches", groups, columns, window, groups, 1)
    by_group = np.split(plain_patches(activation, window), groups, axis=3)
    expected = np.stack([part.reshape(len(part), -1) for part in by_group], axis=1)
    np.testing.assert_array_equal(see(layer_input, activation), expected)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("multiplier", [1, 3])
def test_patches_of_a_depthwise_convolution(window: Window, multiplier: int) -> None:
    activation = np.random.default_rng(0).standard_normal((2, 7, 6, 4)).astype(np.float32)
    taps = window.kernel[0] * window.kernel[1]
    layer_input = LayerInput(PROBE, "depthwise", 4 * multiplier, taps, window, 1, multiplier)
    patches = plain_patches(activation, window).reshape(-1, taps, 4)
    expected = np.stack([patches[:, :, output // multiplier] for output in range(4 * multiplier)], axis=1)
    np.testing.assert_array_equal(see(layer_input, activation), expected)


@pytest.mark.parametrize("parts", [1, 3])
def test_pixels_are_the_last_axis_in_runs(parts: int) -> None:
    activation = np.random.default_rng(0).standard_normal((2, 5, 12)).astype(np.float32)
    expected = activation.reshape(10, parts, 12 // parts)
    np.testing.assert_array_equal(
        see(LayerInput(PROBE, "pixels", parts, 12 // parts, None, 1, 1), activation), expected
    )


def test_some_places_are_a_choice_of_all_of_them() -> None:
    window = Window((3, 3), (1, 1), (1, 1), same=True)
    layer_input = LayerInput(PROBE, "patches", 1, 18, window, 1, 1)
    activation = np.random.default_rng(0).standard_normal((2, 6, 6, 2)).astype(np.float32)
    everything = {row.tobytes() for row in see(layer_input, activation)}
    some = see(layer_input, activation, most=20)
    assert some.shape == (20, 1, 18)
    assert len({row.tobytes() for row in some} & everything) == 20
    np.testing.assert_array_equal(some, see(layer_input, activation, most=20))
    assert not np.array_equal(some, see(layer_input, activation, most=20, seed=1))


# From here on with the interpreter: rows of the weight times the layer input, and the bias, are the output.


def write(content: bytes, folder: Path) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(content)
    return path


def sample_of(runner: OpenModel) -> tuple[str | None, dict[str, Floats]]:
    interface = runner.interface()
    key = interface.signatures[0].key
    return key, gather_samples(interface, None, {}, 1, 5)[key].batch(0, 1)


def products(matrix: Floats, x: Floats) -> Floats:
    """(places, rows): each row of the weight with the observations of its part."""
    parts = x.shape[1]
    by_part = matrix.reshape(parts, len(matrix) // parts, -1)
    return np.einsum("ipn,prn->ipr", x.astype(np.float64), by_part).reshape(len(x), -1)


def run_and_predict(path: Path) -> tuple[Floats, Floats, float]:
    """The output as the interpreter has it and as the observations foretell it, and the output's step."""
    model, weight, layer = parts_of(path)
    runner = OpenModel(path, Kernels.NO_DELEGATE, 1, preserve_all_tensors=True)
    key, batch = sample_of(runner)
    runner.run(key, {name: values[0] for name, values in batch.items()})
    tensors = model.subgraphs[layer.operator.subgraph].tensors
    output, probe = probe_of(tensors[layer.output]), layer_input_of(model, layer)
    x = see(probe, probe.probe.read(runner))
    matrix = real_rows(model, weight, layer.rows)
    assert matrix is not None
    predicted = products(matrix[:], x)
    if layer.bias is not None:
        predicted = predicted + real_bias(model, layer.bias)
    return output.read(runner), predicted, output.scale if tensors[layer.output].type != "FLOAT32" else 0.0


PLAIN_FIXTURES = [
    "conv_2d_strided_dilated_float32",
    "conv_2d_grouped_float32",
    "conv_2d_uint8",
    "conv_2d_int4",
    "depthwise_conv_2d_uint8",
    "dequantize_int8",
    "cast_bfloat16",
    "fully_connected_int4",
    "fully_connected_odd_int4",
    "outside_float32",
]
RELU_FIXTURES = [
    "conv_2d_float32",
    "conv_2d_int8",
    "conv_2d_int16x8",
    "depthwise_conv_2d_float32",
    "depthwise_conv_2d_int8",
    "fully_connected_float32",
    "fully_connected_int8",
    "fully_connected_per_tensor_int8",
    "fully_connected_int16x8",
]


@pytest.mark.parametrize("name", [*PLAIN_FIXTURES, *RELU_FIXTURES])
def test_rows_times_observations_are_the_output(name: str) -> None:
    output, predicted, step = run_and_predict(FOLDER / f"{name}.tflite")
    if name in RELU_FIXTURES:
        predicted = np.maximum(predicted, 0)
    output = output.reshape(predicted.shape)
    if step:  # the output is rounded to its step, and cut off where its codes end
        inside = (output > output.min()) & (output < output.max())
        np.testing.assert_allclose(output[inside], predicted[inside], rtol=1e-4, atol=1.01 * step)
        assert inside.mean() > 0.2
    else:
        np.testing.assert_allclose(output, predicted, rtol=1e-4, atol=1e-5)
    assert output.std() > 0


CRAFTED = {
    "convolution, stride, batch": convolution((3, 9, 8, 4), (6, 3, 2, 4), (3, 4, 7, 6), stride=(2, 1)),
    "convolution, same, dilation": convolution((2, 7, 8, 2), (4, 3, 3, 2), (2, 7, 8, 4), same=True, dilation=(2, 3)),
    "convolution, same, stride": convolution((1, 8, 9, 2), (4, 3, 3, 2), (1, 4, 3, 4), same=True, stride=(2, 3)),
    "convolution, groups": convolution((2, 6, 6, 6), (9, 3, 3, 2), (2, 4, 4, 9)),
    "depthwise": depthwise((2, 7, 8, 3), (1, 3, 2, 3), (2, 7, 8, 3), same=True),
    "depthwise, multiplier": depthwise((1, 7, 7, 3), (1, 3, 3, 6), (1, 3, 3, 6), stride=(2, 2)),
    "depthwise, dilation": depthwise((2, 9, 9, 2), (1, 3, 3, 4), (2, 9, 9, 4), same=True, dilation=(2, 2)),
    "dense, flattened": dense((2, 3, 3, 4), (5, 36), (2, 5)),
    "dense, last axis": dense((3, 8), (4, 8), (3, 4)),
    "product": batch_matmul((2, 5, 8), (8, 7), (2, 5, 7)),
    "product, transposed": batch_matmul((2, 5, 8), (1, 7, 8), (2, 5, 7), adj_y=True),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_rows_times_observations_are_the_output(name: str, tmp_path: Path) -> None:
    output, predicted, _ = run_and_predict(write(CRAFTED[name], tmp_path))
    np.testing.assert_allclose(output.reshape(predicted.shape), predicted, rtol=1e-4, atol=1e-4)
    assert output.std() > 0


@pytest.mark.parametrize("name", ["transpose_conv_float32", "transpose_conv_int8"])
def test_transposed_convolutions_add_up_overlapping_products(name: str) -> None:
    path = FOLDER / f"{name}.tflite"
    output, predicted, step = run_and_predict(path)
    (_, height, width, channels), (rows, *kernel, _) = output.shape, parts_of(path)[1].tensor.shape
    assert channels == rows
    side = int(len(predicted) ** 0.5)
    stride = height // side
    cut = max((side - 1) * stride + kernel[0] - height, 0) // 2
    canvas = np.zeros((height + kernel[0], width + kernel[1], rows))
    products_at = predicted.reshape(side, side, rows, *kernel)
    for y, x, row, down, right in np.ndindex(products_at.shape):
        canvas[y * stride + down, x * stride + right, row] += products_at[y, x, row, down, right]
    expected = canvas[cut : cut + height, cut : cut + width]
    inside = (output[0] > output.min()) & (output[0] < output.max()) if step else np.ones(expected.shape, bool)
    np.testing.assert_allclose(output[0][inside], expected[inside], rtol=1e-4, atol=max(1.01 * step, 1e-5))
    assert inside.mean() > 0.9


def test_a_wrong_tap_would_be_noticed(tmp_path: Path) -> None:
    """The comparison above is no tautology: with rows of another order it fails."""
    path = write(CRAFTED["convolution, stride, batch"], tmp_path)
    model, weight, layer = parts_of(path)
    output, predicted, _ = run_and_predict(path)
    matrix = real_rows(model, weight, layer.rows)
    assert matrix is not None
    assert np.abs(output.reshape(predicted.shape) - predicted[:, ::-1]).max() > 0.1
