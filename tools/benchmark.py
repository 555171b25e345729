"""Measure how small, how faithful and how fast models become, by this tool and by others, on data of your own.

python tools/benchmark.py model.tflite --data calibration.npz --labelled evaluation.npz --out results.jsonl
python tools/benchmark.py models.toml --out results.jsonl
python tools/benchmark.py models.toml --out results.jsonl --methods "this tool/*" "litert-quantizer/*"

Both .npz files hold an array `x` whose first axis counts samples, as the model takes them; the second holds the right
classes as `y` too. A list of models is a TOML or JSON file: see benchmarks/subjects.py. Each model and method becomes a
line of JSON. A method that is in the file already is not run again, so that a run resumes where it stopped; one that
fails becomes a line with the reason. Every method runs in a process of its own, one after the other.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from benchmarks.command import main  # noqa: E402

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it started ends with it
    sys.exit(main(sys.argv[1:], __doc__))
