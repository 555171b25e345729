"""Weights written in the bits of a chip: only what is written last stays, whatever was tried before."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fixture_models import FOLDER

from tflite_cluster.clustering.palette import code_bits
from tflite_cluster.model.analysis import analyse
from tflite_cluster.model.patch import PatchedCopy
from tflite_cluster.model.read import open_model
from tflite_cluster.search.allocation import price_at_sqnr
from tflite_cluster.search.encodings import RescaledCodes
from tflite_cluster.search.job import make_job
from tflite_cluster.search.palette import PaletteCodes
from tflite_cluster.targets.chips import find_chip


@pytest.mark.parametrize("name", ["conv_2d_int8", "depthwise_conv_2d_int8", "fully_connected_int8"])
def test_scales_come_back_once_own_scales_cost_less(name: str, tmp_path: Path) -> None:
    path = FOLDER / f"{name}.tflite"
    model = open_model(path)
    analysis = analyse(model)
    (weight,) = analysis.weights
    encode = find_chip("ethos-u").encode(analysis, [weight])
    job = make_job(model, weight, encode)
    assert isinstance(job.encoding, PaletteCodes)
    assert job.encoding.vectors is not None
    on_grid = RescaledCodes(job.encoding.place, job.encoding.vectors)
    with PatchedCopy(model, tmp_path / "out.tflite") as copy:
        on_grid.assign(job.matrix, price_at_sqnr(job, 20.0)).write(copy)
        assert copy.read_span(job.encoding.vectors.weight) != model.bytes_of(job.encoding.vectors.weight)
        job.assign(price_at_sqnr(job, 200.0)).write(copy)
        assert copy.read() == path.read_bytes()


@pytest.mark.parametrize("sqnr", [12.0, 25.0])
def test_bits_are_those_of_the_codes_that_are_written(sqnr: float, tmp_path: Path) -> None:
    model = open_model(FOLDER / "conv_2d_int8.tflite")
    analysis = analyse(model)
    (weight,) = analysis.weights
    job = make_job(model, weight, find_chip("ethos-u").encode(analysis, [weight]))
    with PatchedCopy(model, tmp_path / "out.tflite") as copy:
        found = job.assign(price_at_sqnr(job, sqnr))
        found.write(copy)
        codes = weight.decode(memoryview(copy.read_span(weight.span)))
        assert code_bits(codes) == pytest.approx(found.priced.entropy)
