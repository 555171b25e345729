"""For mkdocs: the site tells its version, and holds the schemas, which lie beside the folder of the documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from tflite_cluster import __version__

_SCHEMAS = Path(__file__).parents[1] / "schema"


def on_config(config: Any) -> Any:
    """Put the version behind the name."""
    config.site_name = f"{config.site_name} {__version__}"
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the schemas."""
    for schema in sorted(_SCHEMAS.glob("*.json")):
        files.append(File.generated(config, f"schema/{schema.name}", abs_src_path=str(schema)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Lead links to the schemas to where they are in the site."""
    return markdown.replace("](../schema/", "](schema/")
