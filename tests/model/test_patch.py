from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.fixture_models import FOLDER

from tflite_cluster.errors import ModelError, OutputError
from tflite_cluster.model.draft import check_destination
from tflite_cluster.model.patch import PatchedCopy
from tflite_cluster.model.read import Model, open_model
from tflite_cluster.model.verify import Span

ORIGINAL = (FOLDER / "fully_connected_float32.tflite").read_bytes()
SPAN = Span(1000, 1100)
CONTENT = memoryview(b"\xa5" * SPAN.size)
PATCHED = ORIGINAL[: SPAN.start] + CONTENT.tobytes() + ORIGINAL[SPAN.stop :]

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX file modes and links")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.tflite"
    path.write_bytes(ORIGINAL)
    return path


@pytest.fixture
def model(source: Path) -> Model:
    return open_model(source)


@pytest.fixture
def destination(tmp_path: Path) -> Iterator[Path]:
    """A place for the output; afterwards nothing else may have appeared beside it."""
    folder = tmp_path / "out"
    folder.mkdir()
    path = folder / "out.tflite"
    yield path
    assert set(folder.iterdir()) <= {path, folder / "link.tflite"}


def write(model: Model, destination: Path) -> None:
    with PatchedCopy(model, destination) as copy:
        copy.write(SPAN, CONTENT)
        copy.check()
        copy.commit(force=True)


def test_only_the_written_span_changes(model: Model, source: Path, destination: Path) -> None:
    write(model, destination)
    assert destination.read_bytes() == PATCHED
    assert source.read_bytes() == ORIGINAL


def test_a_span_put_back_is_as_if_it_was_never_written(model: Model, destination: Path) -> None:
    other = Span(2000, 2010)
    with PatchedCopy(model, destination) as copy:
        copy.write(SPAN, CONTENT)
        copy.write(other, CONTENT[: other.size])
        assert copy.spans == {SPAN, other}
        assert copy.read_span(SPAN) == CONTENT
        copy.restore(SPAN)
        assert copy.spans == {other}
        assert copy.read_span(SPAN) == ORIGINAL[SPAN.start : SPAN.stop]
        copy.restore(other)
        copy.restore(other)
        copy.check()
        assert copy.read() == ORIGINAL


def test_the_path_leads_to_all_that_was_written(model: Model, destination: Path) -> None:
    with PatchedCopy(model, destination) as copy:
        for content in (CONTENT, memoryview(bytes(len(CONTENT)))):
            copy.write(SPAN, content)
            assert copy.path.read_bytes()[SPAN.start : SPAN.stop] == content
        unchanged = copy.path.stat().st_mtime_ns
        assert copy.path.stat().st_mtime_ns == unchanged


def test_every_flush_gives_the_file_another_time(model: Model, destination: Path) -> None:
    """Whoever keeps the file open tells by its time that it has to be read again."""
    with PatchedCopy(model, destination) as copy:
        times = []
        for _ in range(50):
            copy.write(SPAN, CONTENT)
            copy.flush()
            times.append(copy.path.stat().st_mtime_ns)
    assert len(set(times)) == len(times)


def test_an_output_that_appeared_meanwhile_is_kept(model: Model, destination: Path) -> None:
    with PatchedCopy(model, destination) as copy:
        destination.write_bytes(b"someone else's")
        with pytest.raises(OutputError, match="--force"):
            copy.commit(force=False)
    assert destination.read_bytes() == b"someone else's"


def test_the_copy_can_be_read_before_it_is_put_in_place(model: Model, destination: Path) -> None:
    with PatchedCopy(model, destination) as copy:
        copy.write(SPAN, CONTENT)
        assert copy.read() == PATCHED
        assert copy.path.parent == destination.parent
        assert not destination.exists()


def test_without_commit_nothing_is_left(model: Model, destination: Path) -> None:
    with PatchedCopy(model, destination) as copy:
        copy.write(SPAN, CONTENT)
    assert not destination.exists()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_what_was_there_survives_a_failure(model: Model, destination: Path, error: type[BaseException]) -> None:
    def write_and_fail() -> None:
        with PatchedCopy(model, destination) as copy:
            copy.write(SPAN, CONTENT)
            raise error

    destination.write_bytes(b"old")
    with pytest.raises(error):
        write_and_fail()
    assert destination.read_bytes() == b"old"


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["open", "os.fsync", "Path.replace"])
def test_a_disk_that_fails_leaves_the_old_file(
    model: Model, destination: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination.write_bytes(b"old")
    monkeypatch.setattr(f"tflite_cluster.files.{step}", lambda *_, **__: no_space(), raising=step != "open")
    with pytest.raises(OutputError, match="No space left on device; nothing was changed"):
        write(model, destination)
    assert destination.read_bytes() == b"old"


class Unreadable(bytes):
    """The content of a file on a medium that fails."""

    __getitem__ = no_space  # type: ignore[assignment]


def test_copying_that_fails_leaves_the_old_file(model: Model, destination: Path) -> None:
    destination.write_bytes(b"old")
    with pytest.raises(OutputError, match="cannot be written"):
        write(replace(model, data=Unreadable(ORIGINAL)), destination)
    assert destination.read_bytes() == b"old"


@posix
def test_the_file_mode_honours_the_umask(model: Model, destination: Path) -> None:
    for mask, mode in [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)]:
        destination.unlink(missing_ok=True)
        before = os.umask(mask)
        try:
            write(model, destination)
        finally:
            os.umask(before)
        assert stat.S_IMODE(destination.stat().st_mode) == mode


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_a_file_that_is_replaced_keeps_its_permissions(model: Model, destination: Path, mode: int) -> None:
    destination.write_bytes(b"old")
    destination.chmod(mode)
    write(model, destination)
    assert destination.read_bytes() != b"old"
    assert stat.S_IMODE(destination.stat().st_mode) == mode


@posix
def test_a_link_is_kept_and_what_it_names_is_written(model: Model, destination: Path) -> None:
    link = destination.parent / "link.tflite"
    link.symlink_to(destination.name)
    write(model, link)
    assert link.is_symlink()
    assert destination.read_bytes() == PATCHED


def test_content_of_another_length_is_a_mistake(model: Model, destination: Path) -> None:
    with PatchedCopy(model, destination) as copy, pytest.raises(AssertionError):
        copy.write(SPAN, CONTENT[1:])


@pytest.mark.parametrize("position", [0, SPAN.start - 1, SPAN.stop, len(ORIGINAL) - 1])
def test_a_byte_changed_outside_the_spans_is_noticed(model: Model, destination: Path, position: int) -> None:
    with PatchedCopy(model, destination) as copy:
        copy.write(SPAN, CONTENT)
        copy.check()
        with copy.path.open("r+b") as file:
            file.seek(position)
            file.write(bytes([ORIGINAL[position] ^ 1]))
        with pytest.raises(ModelError, match=r"differs from it at byte|another length"):
            copy.check()


@pytest.mark.parametrize("length", [len(ORIGINAL) - 1, len(ORIGINAL) + 1])
def test_another_length_is_noticed(model: Model, destination: Path, length: int) -> None:
    with PatchedCopy(model, destination) as copy:
        copy.write(SPAN, CONTENT)
        copy.flush()
        os.truncate(copy.path, length)
        with pytest.raises(ModelError, match=r"differs from it at byte|another length"):
            copy.check()


def test_the_input_is_refused_as_output_under_any_name(source: Path) -> None:
    names = [source, source.parent / "." / source.name]
    if sys.platform != "win32":
        symbolic, hard = source.with_name("symbolic.tflite"), source.with_name("hard.tflite")
        symbolic.symlink_to(source)
        hard.hardlink_to(source)
        names += [symbolic, hard]
    for name in names:
        with pytest.raises(OutputError, match="the input itself"):
            check_destination(source, name, force=True)


@pytest.mark.parametrize("force", [False, True])
def test_what_cannot_be_an_output_is_refused(source: Path, force: bool) -> None:
    folder = source.parent
    for destination, why in [
        (folder, "is a folder"),
        (folder / "missing" / "out.tflite", "does not exist"),
        (source / "out.tflite", "does not exist"),
        (folder / ("x" * 300), "cannot be written"),
    ]:
        with pytest.raises(OutputError, match=why):
            check_destination(source, destination, force)


@posix
def test_a_device_is_refused_as_output(source: Path) -> None:
    with pytest.raises(OutputError, match="not a regular file"):
        check_destination(source, Path(os.devnull), force=True)


def test_an_existing_output_is_refused_unless_forced(source: Path) -> None:
    existing = source.with_name("existing.tflite")
    existing.touch()
    with pytest.raises(OutputError, match="--force"):
        check_destination(source, existing, force=False)
    check_destination(source, existing, force=True)
    check_destination(None, source.with_name("new.tflite"), force=False)


@pytest.mark.parametrize("name", ["missing.tflite", "missing/model.tflite", "\0"])
def test_a_missing_input_is_told_before_an_existing_output(name: str, source: Path) -> None:
    existing = source.with_name("existing.tflite")
    existing.touch()
    with pytest.raises(ModelError, match="cannot be read"):
        check_destination(source.parent / name, existing, force=False)


def test_a_folder_that_vanished_meanwhile_is_an_error_of_ours(model: Model, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write(model, tmp_path / "missing" / "out.tflite")
