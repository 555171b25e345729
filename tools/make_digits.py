"""Make the example model: a small network for handwritten digits, as float32 and as full integer `.tflite`.

The images are the 1,797 digits of 8x8 pixels that scikit-learn carries in its wheel. One fifth of them is held out
from training and written beside the models, so that every command of the documentation can be tried at once.
Seeds are fixed and TensorFlow's operators deterministic: on one kind of processor the same bytes come out each time.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SEED = 20
TEST_IMAGES = 360
EPOCHS = 60
BATCH = 32
PIXEL_MAX = 16.0
MAX_SHIFT = 1


@dataclass(frozen=True)
class Digits:
    """Images as float32 [n, 8, 8, 1] between 0 and 1, labels as int64 [n]."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def load_data() -> Digits:
    """Split the digits into training and held-out images, each class in its due share."""
    bunch = load_digits()
    images = (bunch.images / PIXEL_MAX).astype(np.float32)[..., np.newaxis]
    train_x, test_x, train_y, test_y = train_test_split(
        images, bunch.target, test_size=TEST_IMAGES, stratify=bunch.target, random_state=SEED
    )
    return Digits(train_x, train_y, test_x, test_y)


def build_network() -> tf.keras.Model:
    """Convolutions, depthwise convolutions and fully connected layers: about 43,000 weights."""
    layers = tf.keras.layers

    def normalised(layer: tf.keras.layers.Layer) -> list[tf.keras.layers.Layer]:
        return [layer, layers.BatchNormalization(), layers.ReLU()]

    return tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 1), name="image"),
            *normalised(layers.Conv2D(32, 3, padding="same", use_bias=False)),
            *normalised(layers.DepthwiseConv2D(3, padding="same", use_bias=False)),
            *normalised(layers.Conv2D(64, 1, use_bias=False)),
            layers.MaxPooling2D(),
            *normalised(layers.Conv2D(48, 3, padding="same", use_bias=False)),
            *normalised(layers.DepthwiseConv2D(3, padding="same", use_bias=False)),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="digits",
    )


def shifted(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Move each image by up to one pixel in both directions; blank pixels come in at the edges."""
    padded = np.pad(images, ((0, 0), (MAX_SHIFT, MAX_SHIFT), (MAX_SHIFT, MAX_SHIFT), (0, 0)))
    height, width = images.shape[1:3]
    corners = generator.integers(0, 2 * MAX_SHIFT + 1, size=(len(images), 2))
    return np.stack([image[y : y + height, x : x + width] for image, (y, x) in zip(padded, corners, strict=True)])


def train(digits: Digits) -> tf.keras.Model:
    """Train with a cosine learning rate; every epoch sees the images shifted afresh."""
    tf.keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    generator = np.random.default_rng(SEED)
    network = build_network()
    steps = EPOCHS * -(-len(digits.train_x) // BATCH)
    network.compile(
        optimizer=tf.keras.optimizers.Adam(tf.keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        loss="sparse_categorical_crossentropy",
    )
    for _ in range(EPOCHS):
        network.fit(shifted(digits.train_x, generator), digits.train_y, batch_size=BATCH, verbose=0)
    return network


def convert_float(network: tf.keras.Model) -> bytes:
    """Convert as it is: float32 weights, activations, input and output."""
    return bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())


def convert_int8(network: tf.keras.Model, images: np.ndarray) -> bytes:
    """Quantise everything to int8, the weights per output channel, with the ranges that `images` show."""
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def accuracy(model: bytes, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of `images` that the `.tflite` model labels rightly, run as one batch."""
    interpreter = Interpreter(model_content=model)
    given = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(given["index"], images.shape)
    interpreter.allocate_tensors()
    if given["dtype"] == np.int8:
        scale, zero_point = given["quantization"]
        images = np.clip(np.round(images / scale) + zero_point, -128, 127).astype(np.int8)
    interpreter.set_tensor(given["index"], images)
    interpreter.invoke()
    scores = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return float(np.mean(scores.argmax(axis=1) == labels))


def main() -> None:
    """Train, convert, write the three files and print what they weigh and how well they do."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "examples", help="directory to fill")
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)

    digits = load_data()
    network = train(digits)
    models = {
        "digits.tflite": convert_float(network),
        "digits-int8.tflite": convert_int8(network, digits.train_x[:300]),
    }
    for name, model in models.items():
        (folder / name).write_bytes(model)
        right = accuracy(model, digits.test_x, digits.test_y)
        print(f"{name}: {len(model):,} bytes, {right:.2%} of {len(digits.test_y)} held-out images right")
    np.savez_compressed(folder / "digits.samples.npz", x=digits.test_x, y=digits.test_y)


if __name__ == "__main__":
    main()
