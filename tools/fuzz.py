"""Fuzz the reader, guided by coverage: whatever the bytes, soon a model comes out or an error of the package.

python tools/fuzz.py                # a minute
python tools/fuzz.py 1800 --corpus folder   # half an hour; what was found is kept in the folder, and gone on from

Exit code 0 if nothing was found, also where atheris is not installed, which is then said (`pip install atheris`; it has
no wheels for every system). A finding is written to crash-… (or timeout-…, oom-…) in the working folder, and shown.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

try:
    import atheris
except ImportError:
    print("not fuzzed: atheris is not installed here")
    sys.exit(0)

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

with atheris.instrument_imports(include=["tflite_cluster.model", "tflite_cluster.samples.hints", "tflite"]):
    from tflite_cluster.errors import TfliteClusterError
    from tflite_cluster.model.analysis import analyse
    from tflite_cluster.model.layers import real_rows
    from tflite_cluster.model.read import open_model
    from tflite_cluster.model.storing.store import require_movable
    from tflite_cluster.samples.hints import input_hints

from support.mutations import MUTATIONS  # noqa: E402

LONGEST = 1 << 16
SECONDS_EACH = 5
"""Of the processor for one input; a machine that pauses is no finding."""

HANGING = 300
"""Seconds by the clock after which an input is taken to hang."""

MEGABYTES = 1_500


def read(data: bytes) -> None:
    """All that is done with a model before it is clustered."""
    try:
        model = open_model(data)
        analysis = analyse(model)
    except TfliteClusterError:
        return
    input_hints(model)
    for weight in analysis.weights:
        raw = model.bytes_of(weight.span)
        codes = weight.decode(raw)
        if weight.storage.encode(codes, raw) != raw and not weight.storage.is_float:  # a NaN may lose its payload
            raise AssertionError(f"{weight.tensor.name}: other bytes after decoding and encoding")
        layer = analysis.layer(weight)
        if layer is not None:
            matrix = real_rows(model, weight, layer.rows)
            if matrix is not None:
                matrix[:]
    with contextlib.suppress(TfliteClusterError):
        require_movable(model, [weight for weight in analysis.weights if analysis.int8_obstacle(weight) is None])


def timed_read(data: bytes) -> None:
    """`read`, in time."""
    start = time.process_time()
    read(data)
    taken = time.process_time() - start
    if taken > SECONDS_EACH:
        raise AssertionError(f"{taken:.1f} s for {len(data)} bytes")


def mutate(data: bytes, longest: int, seed: int) -> bytes:
    """Change words and regions as tools/mutate.py does, or whatever libFuzzer thinks of."""
    dice = random.Random(seed)
    if len(data) < 8 or dice.random() < 0.5:
        return bytes(atheris.Mutate(data, longest))
    changed = bytearray(data)
    dice.choice(MUTATIONS)(dice, changed)
    return bytes(changed[:longest])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", type=int, nargs="?", default=60, help="how long (default: 60)")
    parser.add_argument("--corpus", type=Path, help="a folder to keep inputs in that reach something new")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        corpus = options.corpus or Path(temporary)
        corpus.mkdir(exist_ok=True)
        for path in (ROOT / "tests" / "fixtures").glob("*.tflite"):
            shutil.copy(path, corpus)
        limits = [f"-max_len={LONGEST}", f"-timeout={HANGING}", f"-rss_limit_mb={MEGABYTES}"]
        atheris.Setup(
            [sys.argv[0], str(corpus), f"-max_total_time={options.seconds}", *limits], timed_read, custom_mutator=mutate
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
