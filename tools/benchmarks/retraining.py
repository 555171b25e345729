"""Cluster the digits network with retraining, as TensorFlow Model Optimization does it, and list what comes out.

python tools/benchmarks/retraining.py OUT
python tools/benchmark.py OUT/models.toml --out results.jsonl

It needs tensorflow, tf_keras, tensorflow-model-optimization and scikit-learn, which may be those of another environment
than that of the second command. The network is trained as `tools/make_digits.py` has it, clustered by
`cluster_weights`, trained further on the same images, stripped and converted. The converter's own quantisation of the
network is listed too. OUT gets the models, the samples and a list of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # the clustering knows no other
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tensorflow as tf
import tensorflow_model_optimization as tfmot
from make_digits import BATCH, SEED, Digits, convert_float, convert_int8, load_data, shifted, train

RATE, EPOCHS = 1e-4, 20
"""Of the training that follows: slower than the first, as the guide advises."""

CALIBRATION = 300


def retrained(network: tf.keras.Model, digits: Digits, values: int, start: str) -> tf.keras.Model:
    """The network with its weights clustered and trained further."""
    clustering = tfmot.clustering.keras
    tf.keras.utils.set_random_seed(SEED)
    clustered = clustering.cluster_weights(
        cloned(network),
        number_of_clusters=values,
        cluster_centroids_init=clustering.CentroidInitialization[start],
    )
    generator = np.random.default_rng(SEED)
    clustered.compile(optimizer=tf.keras.optimizers.Adam(RATE), loss="sparse_categorical_crossentropy")
    for _ in range(EPOCHS):
        clustered.fit(shifted(digits.train_x, generator), digits.train_y, batch_size=BATCH, verbose=0)
    return clustering.strip_clustering(clustered)


def cloned(network: tf.keras.Model) -> tf.keras.Model:
    """A copy with its weights."""
    copy = tf.keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    return copy


def convert_dynamic(network: tf.keras.Model) -> bytes:
    """int8 weights, float activations."""
    converter = tf.lite.TFLiteConverter.from_keras_model(network)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return bytes(converter.convert())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    digits = load_data()
    network = train(digits)
    (out / "digits.tflite").write_bytes(convert_float(network))
    np.savez_compressed(out / "calibration.npz", x=digits.train_x[:CALIBRATION], y=digits.train_y[:CALIBRATION])
    np.savez_compressed(out / "evaluation.npz", x=digits.test_x, y=digits.test_y)
    ways: dict[tuple[str, str], Callable[[], bytes]] = {
        ("TFMOT, retrained", f"{values} values, {start.lower().replace('_', ' ')}"): (
            lambda values=values, start=start: convert_float(retrained(network, digits, values, start))
        )
        for start in ("LINEAR", "KMEANS_PLUS_PLUS")
        for values in (8, 16, 32)
    }
    ways["TensorFlow's converter", "int8 weights"] = lambda: convert_dynamic(network)
    ways["TensorFlow's converter", "int8 weights and activations"] = lambda: convert_int8(
        network, digits.train_x[:CALIBRATION]
    )
    lines = [
        "[[model]]",
        'name = "Digits"',
        'path = "digits.tflite"',
        'data = "calibration.npz"',
        'labelled = "evaluation.npz"',
    ]
    for number, ((tool, method), make) in enumerate(ways.items()):
        begin = time.process_time()
        (out / f"{number}.tflite").write_bytes(make())
        seconds = time.process_time() - begin
        lines += ["", "[[model.made]]", f'tool = "{tool}"', f'method = "{method}"', f'path = "{number}.tflite"']
        lines.append(f"seconds = {seconds:.1f}")
        print(f"{tool}, {method}: {seconds:.1f} s", flush=True)
    (out / "models.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
