"""`tflite-cluster pack MODEL OUT`: a model as a standard zip or gzip file, as small as deflate gets."""

from __future__ import annotations

from pathlib import Path

import click

from .options import FILE, until_nobody_reads


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("source", metavar="MODEL.tflite", type=FILE)
@click.argument("destination", metavar="OUT.zip|OUT.gz", type=FILE)
@click.option("--force", is_flag=True, help="Replace an existing archive.")
@click.option("-q", "--quiet", is_flag=True, help="Print errors only.")
def command(source: Path, destination: Path, force: bool, quiet: bool) -> int:
    """Pack a model into a zip or gzip file that any unzip or gunzip reads.

    libdeflate at level 12 makes clustered models 3 to 7 % smaller than zip -9 does. The same model always gives the
    same bytes.
    """
    from ..api.pack import pack

    packed = pack(source, destination, force=force)
    if not quiet:
        print_packed(packed.destination, packed.packed_bytes, packed.file_bytes)
    return 0


def print_packed(archive: Path, packed: int, size: int) -> None:
    """Say how large an archive is beside the model in it."""
    from ..report.names import printable

    with until_nobody_reads():
        click.echo(f"{printable(str(archive))}: {packed:,} bytes ({packed / size:.1%} of the model's {size:,})")
