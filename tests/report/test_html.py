from __future__ import annotations

import html
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.results import CHECKED, CLUSTERED, POINTS, RESULTS, SCORES, SEARCH, WRITTEN, sized

from tflite_cluster.cli import main
from tflite_cluster.config import Config
from tflite_cluster.fidelity.accuracy import Accuracy
from tflite_cluster.fidelity.verdict import NoiseFloor
from tflite_cluster.report.histograms import Histogram, histograms
from tflite_cluster.report.html import Origin, to_html
from tflite_cluster.result import Result, SizePair, Strategy
from tflite_cluster.search.points import Search
from tflite_cluster.search.quality import Quality
from tflite_cluster.targets.chips.chip import HandedOff

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits.tflite"
FIXTURES = Path(__file__).parents[1] / "fixtures"
HOSTILE = "<script>document.title='x'</script>\"'&$a_b$\x1b[31m\ud800"
ORIGIN = Origin("tflite-cluster in.tflite out.tflite", "2026-11-28 10:00 UTC", "0" * 64)
HISTOGRAM = Histogram(HOSTILE, "value", -1.0, 1.0, (1, 5, 9, 2), ((-0.5, 6), (0.25, 11)), 2)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def hostile() -> Result:
    tensors = tuple(replace(tensor, name=HOSTILE, operator=HOSTILE) for tensor in CLUSTERED)
    return replace(RESULTS["searched"], source=HOSTILE, tensors=tensors)


@pytest.mark.slow
@pytest.mark.parametrize("kind", RESULTS)
def test_every_kind_of_result(kind: str) -> None:
    page = to_html(RESULTS[kind], [HISTOGRAM], kind in WRITTEN, ORIGIN)
    assert page == to_html(RESULTS[kind], [HISTOGRAM], kind in WRITTEN, ORIGIN)
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href|src)="([^"]*)"', page)) <= {f"#{name}" for name in ids}
    assert "mathdefault" not in page
    assert ("No model was written:" in page) == (kind not in WRITTEN)
    assert page.count("<svg") == page.count('role="img"')


def test_an_infinite_ratio_stands_without_a_unit() -> None:
    """Nothing of the signal may be left, or nothing of the noise: a word, which is no number of decibels."""
    lost, same = (replace(SCORES, sqnr_db=ratio, raw_sqnr_db=ratio) for ratio in (-math.inf, math.inf))
    points = tuple(replace(point, quality=replace(point.quality, sqnr=-math.inf)) for point in POINTS)
    strategy = Strategy("searched", replace(SEARCH, points=points, chosen=points[0]))
    for output, word in ((lost, "none"), (same, "exact")):
        fidelity = replace(CHECKED, outputs=(output,), noise_floor=NoiseFloor(8, (output,)))
        page = to_html(replace(RESULTS["searched"], fidelity=fidelity, strategy=strategy), [], True, ORIGIN)
        assert f"SQNR {word} (" in page
        assert not re.search(r"\b(none|exact|nan|-?inf)(\s|<[^>]*>)*dB", page)


def test_what_could_not_be_done_is_said() -> None:
    strategy = replace(RESULTS["searched"].strategy, left_out=("the layers are not observed",))
    assert "Left out: the layers are not observed" in to_html(
        replace(RESULTS["searched"], strategy=strategy), [], True, ORIGIN
    )


class Heard(HTMLParser):
    """What those who do not see the page get to know of it."""

    def __init__(self) -> None:
        super().__init__()
        self.language = ""
        self.headings: list[int] = []
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.summaries: list[str] = []
        self.captions: list[str] = []
        self.tables = self.rows = self.heads_of_rows = self.figures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        outside = [(name, more) for name, more in self.open if more.get("role") == "img"]
        if tag == "html":
            self.language = given["lang"] or ""
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "svg":
            self.figures += 1
            assert given["aria-hidden"] == "true"
            ((_, img),) = outside
            assert len(img["aria-label"] or "") > 20
        if tag == "th":
            assert given["scope"] in ("col", "row")
            self.heads_of_rows += given["scope"] == "row"
        self.rows += tag == "tr"
        self.tables += tag == "table"
        if tag == "summary":
            self.summaries.append("")
        if tag == "caption":
            self.captions.append("")
        if tag not in ("meta", "wbr", "br"):
            self.open.append((tag, given))

    def handle_endtag(self, tag: str) -> None:
        while self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self.open]
        if "summary" in tags:
            self.summaries[-1] += data
        if "caption" in tags:
            self.captions[-1] += data


@pytest.mark.slow
@pytest.mark.parametrize("kind", RESULTS)
def test_what_a_screen_reader_gets(kind: str) -> None:
    other = replace(HISTOGRAM, name="another")
    heard = Heard()
    heard.feed(to_html(RESULTS[kind], [HISTOGRAM, other], kind in WRITTEN, ORIGIN))
    assert heard.language == "en"
    assert heard.headings[:2] == [1, 2]
    assert heard.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(heard.headings))
    assert heard.figures >= 2
    assert len(heard.captions) == heard.tables
    assert all(heard.captions)
    assert heard.rows == heard.heads_of_rows + heard.tables
    assert len(set(heard.summaries)) == len(heard.summaries) >= heard.figures


def luminance(color: str) -> float:
    """As WCAG defines it."""
    shares = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_contrast(scheme: int) -> None:
    """Text stands out by 4.5 from the paper and from cards, and lines of figures by 3, as WCAG 2 asks for."""
    style = to_html(RESULTS["checked"], [], True, ORIGIN)
    root = re.findall(r":root \{(.*?)\}", style, re.S)[scheme]
    colors = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", root))
    for name, least in (
        *((text, 4.5) for text in ("ink", "good", "warn", "bad")),
        *((line, 3.0) for line in ("before", "after", "mark", "faint")),
    ):
        for ground in ("paper", "card"):
            one, other = sorted((luminance(colors[name]), luminance(colors[ground])))
            assert (other + 0.05) / (one + 0.05) >= least, (name, ground)


def drawn(search: Search, **settings: Any) -> str:
    """The section about the search."""
    result = replace(RESULTS["searched"], config=Config(**settings), strategy=Strategy("searched", search))
    page = to_html(result, [], True, ORIGIN)
    return page[page.index('id="search"') : page.index('id="layers"')]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "label", "limit"),
    [
        ({}, "expected loss, points", "limit by default"),
        ({"max_size": "4x"}, "expected loss, points", None),
        ({"max_drop": 0.5}, "expected loss, points", "limit set"),
        ({"max_drop": 0.5, "metric": "a:b"}, "expected loss, points", None),
        ({"min_agreement": 98}, "percent of agreement", "limit set"),
        ({"min_sqnr": 20}, "SQNR in dB", "limit set"),
    ],
)
def test_the_search_is_drawn_by_what_it_is_judged_by(settings: dict[str, Any], label: str, limit: str | None) -> None:
    section = drawn(SEARCH, **settings)
    assert f"zipped, by entropy against {label}" in section
    assert section.count(label) > 2
    assert re.findall("limit by default|limit set", section) == ([] if limit is None else [limit])


def test_bits_of_a_chip_are_not_those_of_a_zip() -> None:
    section = drawn(SEARCH, target="ethos-u")
    assert "bits per weight against" in section
    assert "zipped, by entropy" not in section


def test_what_was_lost_on_labelled_samples_is_drawn_with_its_error() -> None:
    assert "lost on these samples" not in drawn(SEARCH)
    accuracy = Accuracy("", 400, 390, 388, 3, 1)
    points = tuple(replace(point, quality=replace(point.quality, accuracy=accuracy)) for point in POINTS)
    section = drawn(replace(SEARCH, points=points, chosen=points[0]))
    assert "lost on these samples" in section
    assert "-0.50 ± 0.50 points" in section


def test_nothing_is_drawn_where_nothing_differs() -> None:
    exact = tuple(replace(point, quality=Quality(0.0, None, None, math.inf)) for point in POINTS)
    section = drawn(replace(SEARCH, points=exact, chosen=exact[0]))
    assert "<svg" not in section
    assert "0.5, chosen" in section
    unknown = tuple(replace(tensor, sqnr=math.inf, bits_before=None, bits_after=None) for tensor in CLUSTERED)
    page = to_html(replace(RESULTS["checked"], tensors=unknown, sizes=None), [], False, ORIGIN)
    assert "<svg" not in page


def test_bars_are_the_largest_in_the_zip_and_the_rest_together() -> None:
    many = tuple(
        replace(CLUSTERED[0], name=f"weight {number}", shape=(number + 1, 8), bits_before=16.0, bits_after=2.0)
        for number in range(20)
    )
    page = to_html(replace(RESULTS["checked"], tensors=many), [], True, ORIGIN)
    bars = page[page.index('<ul class="bars">') : page.index("</ul>", page.index('<ul class="bars">'))]
    assert re.findall(r"<span>(weight \d+|\d+ others)</span>", bars) == [f"weight {at}" for at in range(19, 3, -1)] + [
        "4 others"
    ]
    assert "320 → 40 bytes" in bars
    widths = [float(width) for width in re.findall(r"width: ([0-9.]+)%", bars)]
    assert widths[0] == max(widths) == 100
    assert all(
        after == pytest.approx(before / 8, abs=0.1) for before, after in zip(widths[::2], widths[1::2], strict=True)
    )


def test_the_bytes_of_a_chip_come_first() -> None:
    page = to_html(RESULTS["checked"], [], True, ORIGIN, HandedOff("tflm", "file", 300_000, 172_000))
    assert "tflm: 300 → 172 kB (1.74× smaller); 166 → 46.1 kB zipped" in page
    assert page.index("For tflm") < page.index("Installed")


def test_the_page_explains_the_columns_of_its_tables() -> None:
    page = to_html(RESULTS["searched"], [], True, ORIGIN)
    for term in ("Multiplier", "Layers in order", "Expected loss, points", "Sensitivity", "Feedback dB"):
        assert re.search(rf"<th [^>]*>{term}</th>", page)
        assert re.search(rf"<dt>{term}</dt><dd>[^<]{{20,}}</dd>", page)
    assert "Sensitivity</dt>" not in to_html(RESULTS["checked"], [], True, ORIGIN)


def test_where_a_page_comes_from() -> None:
    page = to_html(
        RESULTS["checked"], [], True, Origin("tflite-cluster a.tflite '<b>'", "2026-01-02 03:04 UTC", "ab" * 32)
    )
    assert "tflite-cluster a.tflite &#39;&lt;b&gt;&#39;" in page
    assert "2026-01-02 03:04 UTC" in page
    assert "ab" * 32 in page


def test_a_model_that_zips_no_smaller_is_not_called_smaller() -> None:
    page = to_html(replace(RESULTS["checked"], sizes=sized(zip9=SizePair(1000, 1000))), [], False, ORIGIN)
    assert '<dd class="note">no smaller</dd>' in page
    assert "would not zip smaller" in page


def test_a_gain_too_small_for_what_changes_is_the_reason() -> None:
    search = RESULTS["searched"].strategy.search
    assert search is not None
    assert search.chosen is not None
    chosen = replace(search.chosen, quality=replace(search.chosen.quality, expected_loss=0.3, held_out_sqnr=20.0))
    result = replace(
        RESULTS["searched"],
        config=replace(RESULTS["searched"].config, clusters=None),
        sizes=sized(zip9=SizePair(1050, 1000)),
        strategy=Strategy("searched", replace(search, points=(chosen,), chosen=chosen)),
    )
    page = to_html(result, [], False, ORIGIN)
    assert "No model was written: it would zip only 1.050 times smaller, and it would be expected to lose 0.30" in page


def test_names_are_only_text() -> None:
    page = to_html(hostile(), [HISTOGRAM], True, ORIGIN)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page


def test_histograms_hold_what_the_files_hold(tmp_path: Path) -> None:
    for model in (EXAMPLE, FIXTURES / "conv_2d_int8.tflite"):
        assert main([str(model), str(tmp_path / "out.tflite"), "--clusters", "8", "--no-run", "--force", "-q"]) == 0
        found = histograms(model, tmp_path / "out.tflite")
        assert found
        for histogram in found:
            assert histogram.distinct == len(histogram.centroids) <= 8
            assert sum(histogram.counts) == sum(count for _, count in histogram.centroids)
    assert histograms(EXAMPLE, EXAMPLE) == ()


@pytest.mark.slow
def test_codes_of_other_scales_are_told_as_real_values(tmp_path: Path) -> None:
    model, output = FIXTURES / "conv_2d_int8.tflite", tmp_path / "out.tflite"
    assert main([str(model), str(output), "--force", "-q"]) == 0
    (found,) = histograms(model, output)
    assert found.unit == "value"
    assert -1 < found.low < 0 < found.high < 1
    assert all(1.1 * found.low <= value <= 1.1 * found.high for value, _ in found.centroids)


@pytest.mark.slow
def test_from_the_command_line(tmp_path: Path) -> None:
    page, output = tmp_path / "report.html", tmp_path / "out.tflite"
    assert main([str(EXAMPLE), str(output), "--clusters", "8", "--no-run", "-q", "--report", str(page)]) == 0
    assert "Centroids of digits_1/dense_1/MatMul" in page.read_text(encoding="utf-8")


def test_all_that_is_missing_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("jinja2", "matplotlib", "PIL", "brotli"):
        monkeypatch.setitem(sys.modules, package, None)
    photos, output = tmp_path / "photos", tmp_path / "out.tflite"
    (photos / "cat").mkdir(parents=True)
    (photos / "cat" / "1.JPG").touch()
    wanted = ["--report", str(tmp_path / "report.html"), "--data", str(photos), "--coder", "brotli11"]
    assert main([str(EXAMPLE), str(output), "--max-size", "10kB", *wanted]) == 2
    assert (
        "not installed: jinja2 and matplotlib (for an HTML report), brotli (for the coder brotli11), "
        "Pillow (for images as samples); pip install 'tflite-cluster[codecs,images,report]'"
    ) in capsys.readouterr().err
    assert not output.exists()


def test_all_that_a_batch_lacks_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("jinja2", "joblib", "distributed", "brotli"):
        monkeypatch.setitem(sys.modules, package, None)
    recipes = [tmp_path / "one.toml", tmp_path / "other.toml"]
    for recipe in recipes:
        recipe.write_text('max-size = "4x"\ncoder = "brotli11"\n', encoding="utf-8")
    wanted = ["--page", "--scheduler", "tcp://127.0.0.1:9", *(f"--recipe={recipe}" for recipe in recipes)]
    assert main(["batch", str(EXAMPLE), "--out", str(tmp_path / "out"), *wanted]) == 2
    assert (
        "not installed: joblib (for a batch), distributed (for a Dask scheduler), jinja2 (for an HTML report), "
        "brotli (for the coder brotli11); pip install 'tflite-cluster[batch,codecs,distributed,report]'"
    ) in capsys.readouterr().err


def test_what_is_not_asked_for_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([str(EXAMPLE), str(tmp_path / "out.tflite"), "--clusters", "8", "--no-run", "--no-sizes", "-q"]) == 0
    assert main(["sweep", str(EXAMPLE), "--plot", str(tmp_path / "curve.svg")]) == 2
    assert "matplotlib (for a picture of a sweep); pip install 'tflite-cluster[report]'" in capsys.readouterr().err


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_in_a_browser(tmp_path: Path) -> None:
    """On a telephone, with all tables open: nothing sticks out, and the console has nothing to say."""
    page = to_html(hostile(), [HISTOGRAM] * 2, True, ORIGIN)
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<meta charset="utf-8"><iframe width="390" height="800" srcdoc="{html.escape(page)}"></iframe><script>'
        "onload = () => { const inner = document.querySelector('iframe').contentDocument;"
        "inner.querySelectorAll('details').forEach((each) => each.open = true);"
        "document.title = inner.documentElement.clientWidth + ' ' + inner.documentElement.scrollWidth; }</script>",
        encoding="utf-8",
    )
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command = [str(CHROMIUM), *flags, f"--user-data-dir={tmp_path / 'profile'}", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "CONSOLE" not in done.stderr
    found = re.search(r"<title>(\d+) (\d+)</title>", done.stdout)
    assert found is not None
    assert 300 < int(found[1]) == int(found[2])


@pytest.mark.slow
def test_what_a_search_found_out_about_each_layer() -> None:
    assert "Feedback dB" not in to_html(RESULTS["checked"], (), True, ORIGIN)
    text = to_html(RESULTS["searched"], (), True, ORIGIN)
    row = next(line for line in text.splitlines() if "<td>4.2</td>" in line)
    assert "<td>0.5</td>" in row
