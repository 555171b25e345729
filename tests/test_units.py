from __future__ import annotations

import pytest

from tflite_cluster.units import parse_bytes, parse_share


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1", 1),
        ("1200", 1200),
        ("12B", 12),
        ("1.5kB", 1500),
        ("1.2MB", 1_200_000),
        ("2 GB", 2 * 10**9),
        ("4GiB", 4 * 2**30),
        ("1 KiB", 1024),
        ("0.5mib", 2**19),
        ("1e3", 1000),
    ],
)
def test_bytes(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize(
    "text",
    ["", " ", "MB", "many", "-1", "0", "0.1", "-2MB", "1TB", "1M", "1GBB", "nan", "inf", "1e400", "1 2MB", "1,5MB"],
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("25%", 250),
        ("100%", 1000),
        ("12.55%", 125),
        ("4x", 250),
        ("4X", 250),
        ("1.5x", 666),
        ("300", 300),
        ("1kB", 1000),
    ],
)
def test_share(text: str, share: int) -> None:
    assert parse_share(text, 1000) == share


@pytest.mark.parametrize(
    "text",
    [
        "",
        "25",
        "0.25",
        "%",
        "x",
        "0x",
        "half",
        "a%",
        "nan%",
        "inf%",
        "nanx",
        "-4x",
        "-25%",
        "0%",
        "infx",
        "4xx",
        "1e-400x",
        "1e-320x",
        "1e308%",
    ],
)
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a size.*25% or 4x"):
        parse_share(text, 1000)
