"""The pages of results, made from the rows: what each table and each sentence that holds figures says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from .measure import CODERS, MORE_CODERS
from .results import INT8, INT8_DATA, ORIGINAL, SAME, SAME_DATA, TOOL, Entry, Model, Results, smallest
from .rivals import differs, published, statement
from .tables import OUTCOME, error, megabytes, outcome, percent, prose, signed, table, times

TEMPLATE = Path(__file__).with_name("results.template.md")
_MOST_SHOWN = 4
"""Models in the tables of README.md and docs/index.md."""

_TRAINING = ("TFMOT, retrained", "TensorFlow's converter")
"""Tools that need more than the `.tflite` file."""

CODER_WORDS = {"zip9": "zip -9", "gzip6": "gzip -6", "deflate12": "deflate 12", "xz": "xz"}


def page(results: Results, curves: dict[str, str]) -> str:
    """The text of docs/results.md. curves: path of a picture by the name of its model."""
    parts: dict[str, Callable[[], str]] = {
        "integer_gain": lambda: integer_gain(results).capitalize(),
        "float_same_data": lambda: ours(results, SAME_DATA, is_float=True),
        "float_same": lambda: ours(results, SAME, is_float=True),
        "float_int8_data": lambda: ours(results, INT8_DATA, is_float=True),
        "float_int8": lambda: ours(results, INT8, is_float=True),
        "integer_data": lambda: ours(results, SAME_DATA, is_float=False),
        "integer": lambda: ours(results, SAME, is_float=False),
        "winners": lambda: winners(results),
        "beside": lambda: beside(results),
        "published": lambda: published(results),
        "published_statement": lambda: statement(results),
        "differs": lambda: differs(results),
        "retrained": lambda: retrained(results),
        "curves": lambda: "\n\n".join(
            f"![{name}: times smaller against points lost]({path})" for name, path in curves.items()
        ),
        "speed": lambda: speed(results),
        "growth": lambda: growth(results),
        "ablations": lambda: ablations(results),
        "floor": lambda: floor(results),
        "samples_words": lambda: samples_words(results),
        "what": lambda: what(results),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]](), text)


def ours(results: Results, method: str, *, is_float: bool) -> str:
    """What one of this tool's methods makes of each model of a kind."""
    entries = ((model, model.entry(method)) for model in results.models if model.is_float == is_float)
    failures = {
        model.name
        for model in results.models
        for row in model.failures
        if (row["tool"], row["method"]) == (TOOL, method) and model.is_float == is_float
    }
    rows = [(model.name, *outcome(entry)) for model, entry in entries if entry is not None]
    left = f"\n\nLeft alone, because it would lose too much or gain too little: {', '.join(sorted(failures))}."
    return table(("model", *OUTCOME), rows) + (left if failures else "")


def integer_gain(results: Results) -> str:
    """The range of what integer models gain."""
    found = [entry.times() for model in results.models if not model.is_float for entry in model.of(TOOL)
             if entry.method in (SAME, SAME_DATA)]  # fmt: skip
    return f"the gain is smaller, {min(found):.1f} to {max(found):.1f} times." if found else "the gain is smaller."


def _best(entries: list[Entry]) -> Entry:
    """The smallest that loses hardly anything, else the one that loses least."""
    return smallest(tuple(entries)) or max(entries, key=lambda entry: entry.points)


def _by_tool(model: Model) -> Iterator[Entry]:
    """The best entry of each tool, in the order of the rows."""
    for tool in dict.fromkeys(entry.tool for entry in model.compared):
        yield _best(list(model.of(tool)))


def beside(results: Results) -> str:
    """A table for each float model."""
    tables = []
    for model in results.models:
        if model.is_float and len({entry.tool for entry in model.compared}) > 1:
            rows = [(e.tool, e.method, *outcome(e, e == model.smallest)) for e in _by_tool(model)]
            tables.append(f"### {model.name}\n\n" + table(("tool", "method", *OUTCOME), rows))
    return "\n\n".join(tables) or "Not measured yet."


def winners(results: Results) -> str:
    """For how many models this tool's zip is the smallest within half a point, and where a peer's is."""
    several = [m for m in results.models if len({e.tool for e in m.compared}) > 1 and any(m.of(TOOL)) and m.smallest]
    if not several:
        return ""
    lost = [
        f"{m.name} ({m.smallest.tool}, {m.smallest.method})" for m in several if m.smallest and m.smallest.tool != TOOL
    ]
    won = (
        f"This tool makes the smallest zip within half a point of {len(several) - len(lost)} of {len(several)} models."
    )
    return prose(won + (f" Another tool does of {'; '.join(lost)}." if lost else ""))


def retrained(results: Results) -> str:
    """Models that were made by training, beside ours."""
    texts = []
    for model in results.models:
        made = [entry for entry in model.compared if entry.row["tool"] == "made elsewhere"]
        if made:
            mine = list(model.of(TOOL))
            rows = [(e.tool, e.method, *outcome(e, e == model.smallest), f"{_seconds(e):,.0f}") for e in (*made, *mine)]
            texts.append(
                f"{model.name}, {model.samples} samples:\n\n" + table(("tool", "method", *OUTCOME, "seconds"), rows)
            )
    return "\n\n".join(texts) or "None."


def _seconds(entry: Entry) -> float:
    return float(entry.row["settings"].get("seconds", entry.row["processor"]))


def speed(results: Results) -> str:
    """Processor seconds and memory by size."""
    sizes = list(dict.fromkeys(row["model"] for row in results.speed))
    ways = list(dict.fromkeys((row["tool"], row["method"]) for row in results.speed))
    cells = {(row["model"], row["tool"], row["method"]): row for row in results.speed}

    def rows(key: str, digits: Callable[[float], str]) -> Iterator[tuple[str, ...]]:
        for way in ways:
            found = (cells.get((size, *way), {}) for size in sizes)
            yield *way, *(digits(row[key]) if key in row else "–" for row in found)

    head = ("tool", "method", *sizes)
    seconds = table(head, rows("processor", lambda value: f"{value:,.1f}"))
    memory = table(head, rows("memory", lambda value: f"{value / 1e6:,.0f}"))
    return f"Seconds of processor time:\n\n{seconds}\n\nMB of memory:\n\n{memory}"


def growth(results: Results) -> str:
    """How this tool's time grows with the file."""
    told = []
    for method in dict.fromkeys(row["method"] for row in results.speed if row["tool"] == TOOL):
        rows = [row for row in results.speed if (row["tool"], row["method"]) == (TOOL, method) and "processor" in row]
        rows.sort(key=lambda row: row["bytes"])
        steps = [
            f"{b['processor'] / a['processor']:.1f} times from {a['model']} to {b['model']}" for a, b in pairwise(rows)
        ]
        if steps:
            told.append(prose(f"- {method}: {', '.join(steps)}."))
    return "How the time grows:\n\n" + "\n".join(told) if told else ""


def ablations(results: Results) -> str:
    """Agreement at one size, with each part left out and with other samples."""
    texts = []
    for model in results.models:
        entries = [entry for entry in model.entries if entry.row["tool"] == "parts of this tool"]
        if entries:
            rows = [
                (e.method, times(e.times()), percent(e.agreement), f"{e.agreement_error:.2f}", *outcome(e)[1:3])
                for e in entries
            ]
            texts.append(
                f"### {model.name}\n\n" + table(("method", "times smaller", "agreement, %", "±", "points", "±"), rows)
            )
    return "\n\n".join(texts) or "Not measured yet."


def floor(results: Results) -> str:
    """How far each coder is above the entropy of the codes, in percent."""
    rows = []
    for model in results.models:
        for method in (SAME_DATA, INT8_DATA):
            entry = model.entry(method)
            if entry is not None:
                least = sum(entry.row["floor"].values())
                above = (f"{100 * (entry.row['sizes'][coder] / least - 1):+.0f}" for coder in (*CODERS, *MORE_CODERS))
                rows.append((model.name, method.partition(",")[0], f"{least / 1e3:,.1f}", *above))
    head = ("model", "method", "floor, kB", *(f"{CODER_WORDS[coder]}, %" for coder in (*CODERS, *MORE_CODERS)))
    return table(head, rows)


def samples_words(results: Results) -> str:
    """What the samples can tell."""
    errors = [entry.error for model in results.models for entry in model.of(TOOL)]
    span = f"one standard error is {min(errors):.1f} to {max(errors):.1f} points here, " if errors else ""
    return prose(f"- **Few samples.** {span.capitalize()}so that a difference smaller than two of them may be chance.")


def what(results: Results) -> str:
    """The models and their samples."""
    rows = [
        (
            m.name,
            megabytes(m.original["sizes"]["file"]),
            megabytes(m.original["sizes"]["zip9"]),
            f"{m.accuracy:.1f}",
            f"{m.samples:,}",
        )
        for m in results.models
    ]
    return table(("model", "file, MB", "zip, MB", "accuracy, %", "samples"), rows)


def all_rows(results: Results) -> str:
    """The text of docs/results-all.md."""
    parts = [
        "# All rows\n\nEach model with each method, the smallest zip first. The smallest that loses no more than half "
        "a point is bold. [What the methods are](results.md#beside-other-tools).\n"
    ]
    head = ("tool", "method", *OUTCOME, "zip, kB", "gzip -6, kB", "file, kB", "seconds", "memory, MB")
    for model in results.models:
        entries = sorted(model.compared, key=lambda entry: entry.zip_bytes)
        rows = [
            (
                e.tool,
                e.method,
                *outcome(e, e == model.smallest),
                *(f"{e.row['sizes'][name] / 1e3:,.1f}" for name in ("zip9", "gzip6", "file")),
                f"{_seconds(e):,.1f}",
                f"{e.row['memory'] / 1e6:,.0f}",
            )
            for e in entries
        ]
        parts.append(f"## {model.name}\n\n{table(head, rows)}\n")
        failed = [f"- {row['tool']}, {row['method']}: {row['failed']}" for row in model.failures]
        if failed:
            parts.append("These made no model:\n\n" + "\n".join(failed) + "\n")
    versions = sorted({f"{row['tool']}: {row['version']}" for row in results.rows if row.get("version")})
    parts.append("## Versions\n\n" + "\n".join(f"- {each}" for each in versions) + "\n")
    return "\n".join(parts)


def readme_text(results: Results) -> str:
    """The table of README.md, of this tool's files and the best of any other tool, and two sentences beneath it."""
    rows = []
    for model in results.models:
        if model.is_float and model.entry(SAME_DATA) and model.entry(INT8_DATA) and len(rows) < _MOST_SHOWN:
            peers = [entry for entry in model.compared if entry.tool not in (ORIGINAL, TOOL, *_TRAINING)]
            best = smallest(tuple(peers))
            cells = [_short(model.entry(method)) for method in (SAME_DATA, SAME, INT8_DATA)]
            rows.append((f"{model.name} ({model.samples:,})", *cells, _short(best) if best else "–"))
    head = (
        "model, float32 (samples)",
        "in place, with data",
        "in place, no data",
        "`--store int8`, with data",
        "best other tool",
    )
    others = f"Best other tool: the smallest zip that loses at most half a point, of {_listed(peer_names(results))}."
    integers = f"Of integer models, {integer_gain(results)}"
    return f"{table(head, rows)}\n\n" + prose(f"{others} {integers}{_quantiser(results)}")


def peer_names(results: Results) -> list[str]:
    """The tools, other than this one, that were measured on every kind of model."""
    found = (entry.tool for model in results.models for entry in model.compared)
    return [name for name in dict.fromkeys(found) if name != TOOL and name not in _TRAINING]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + "".join(names[-1:])


def _quantiser(results: Results) -> str:
    """What the quickest quantiser makes of a model, and what this tool makes of it."""
    for model in results.models:
        quick, mine = model.entry("int8, dynamic range", "litert-quantizer"), model.entry(INT8_DATA)
        if quick and mine and model.published:
            quick_words = f"{quick.times():.2f} times smaller ({signed(quick.points)} ± {error(quick.error)})"
            words = f"{mine.times():.2f} times ({signed(mine.points)} ± {error(mine.error)})"
            return (
                f" A quantiser is faster: litert-quantizer's int8 makes {model.name} {quick_words} in "
                f"{_seconds(quick):.1f} seconds of processor time, this tool's `--store int8` {words} in "
                f"{_seconds(mine):,.0f}."
            )
    return ""


def _short(entry: Entry | None) -> str:
    return "–" if entry is None else f"{entry.times():.2f} ({signed(entry.points)} ± {error(entry.error)})"


def index_text(results: Results) -> str:
    """The table of docs/index.md, and the most that its files lose."""
    rows, points = [], []
    for model in results.models:
        same, int8 = model.entry(SAME_DATA), model.entry(INT8_DATA)
        if model.is_float and same and int8 and len(rows) < _MOST_SHOWN:
            rows.append((model.name, times(same.times()), times(int8.times())))
            points += [same.points, int8.points]
    most = max(0.0, *(-each for each in points)) if points else 0.0
    return (
        table(("float32 model", "in place", "`--store int8`"), rows)
        + f"\n\nNone of these files lost more than {most:.1f} points of accuracy, on samples that the tool did not see."
    )
