"""New files that take their place in one step or go away, whatever happens to the process that writes them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from .errors import ModelError, OutputError

try:
    import fcntl
except ImportError:  # on Windows, where a file that is open cannot be removed
    fcntl = None  # type: ignore[assignment]

_PREFIX: Final = ".tflite-cluster-"
_SUFFIX: Final = ".tmp"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; raises OSError if it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class NewFile:
    """A file under a name of its own beside its destination: `path` and `file`, open for reading and writing.

    Gone with `discard`, unless `commit` put it in place. A process that is killed cannot remove its file: each holds a
    lock on its own while it lives, and what nobody holds any more is removed before another is made in that folder.
    """

    def __init__(self, destination: Path) -> None:
        """Raises OutputError if the file cannot be made."""
        check_name(destination)
        self.destination = destination
        with self.writing():
            self.destination = Path(os.path.realpath(destination))  # through a symlink, to the file that it names
        # The name is known before the file is there, so that it is removed however early the process is stopped.
        self.path = self.destination.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
        self.file: BinaryIO | None = None
        try:
            with self.writing():
                remove_stale(self.path.parent)
                self._create()
        except BaseException:
            self.discard()
            raise

    def _create(self) -> None:
        while self.file is None or not self.path.exists():  # it may be taken for stale until it is locked
            if self.file is not None:
                self.file.close()
            self.file = open(self.path, "x+b")  # noqa: SIM115  (closed by `discard`)
            if fcntl is not None:
                with contextlib.suppress(OSError):  # a file system without locks, on which nothing is taken for stale
                    fcntl.flock(self.file, fcntl.LOCK_SH)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turn errors of the system into OutputError."""
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self.destination} cannot be written: {error.strerror}; nothing was changed") from error

    def commit(self) -> None:
        """Put the file at its destination, on disk before it gets there."""
        assert self.file is not None
        with self.writing():
            self.file.flush()
            os.fsync(self.file.fileno())
            with contextlib.suppress(FileNotFoundError):  # what it replaces keeps its permissions
                self.path.chmod(stat.S_IMODE(self.destination.stat().st_mode))
            if fcntl is None:
                self.file.close()
            self.path.replace(self.destination)

    def discard(self) -> None:
        """Close the file, and remove it if it was not committed."""
        if self.file is not None:
            with contextlib.suppress(OSError):  # what could not be written is dropped with the file
                self.file.close()
        with contextlib.suppress(OSError):  # such as a disk that can only be read by now
            self.path.unlink(missing_ok=True)


def check_name(path: Path) -> None:
    """Refuse what no file can be called; raises OutputError."""
    try:
        possible = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise OutputError(f"{str(path)!r} holds characters that no file name can have: give another name")


def check_there(path: Path) -> None:
    """Refuse an input that is not there, before any output is looked at; raises ModelError."""
    try:
        path.stat()
    except OSError as error:
        raise ModelError(f"{path.name}: cannot be read: {error.strerror}") from error
    except ValueError as error:  # a name that no file can have
        raise ModelError(f"{path.name}: cannot be read: {error}") from error


def check_place(path: Path, force: bool) -> None:
    """Refuse a place where no file can be put, or without `force` one that is taken; raises OutputError."""
    check_name(path)
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a folder: give the name of a file in it")
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is not a regular file")
        if path.exists() and not force:
            raise OutputError(f"{path} exists: use --force to replace it")
        folder = Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
        if not folder.is_dir():
            raise OutputError(f"the folder {folder} does not exist: create it first")
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def named_output(source: str | Path, suffix: str) -> Path:
    """The name of a model with a suffix before its extension, in the same folder."""
    path = Path(source)
    return path.with_name(f"{path.stem}{suffix}{path.suffix}") if path.name else path


def refuse_shared(inputs: Iterable[Path | str | None], outputs: Mapping[str, Path | None]) -> None:
    """Refuse, before any work is done, an output that would take the place of an input or of another output.

    Raises OutputError.
    """
    taken = {_place(path) for path in inputs if path is not None}
    for name, path in outputs.items():
        if path is not None and (place := _place(path)) in taken:
            raise OutputError(f"{path} is another file of this run: give {name} another name")
        if path is not None:
            taken.add(place)


def _place(path: Path | str) -> str:
    """Where a path leads, through links; as it is where that cannot be told, which whoever opens it says."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):
        return os.fspath(path)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file, or leave what is there; raises OutputError."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file, or leave what is there; raises OutputError."""
    new = NewFile(path)
    try:
        with new.writing():
            assert new.file is not None
            new.file.write(content)
        new.commit()
    finally:
        new.discard()


def remove_stale(folder: Path) -> None:
    """Remove what processes that were killed have left in a folder."""
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with contextlib.suppress(OSError):  # locked, someone else's, or gone by now
            if fcntl is None:
                path.unlink()
            elif path.is_dir():
                _remove_stale_folder(path)
            else:
                with path.open("r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if os.path.samestat(os.fstat(file.fileno()), path.stat()):  # else its owner has made it anew
                        path.unlink()


def _remove_stale_folder(path: Path) -> None:
    with _opened_folder(path) as descriptor:
        if os.fstat(descriptor).st_uid == os.getuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)


@contextlib.contextmanager
def _opened_folder(path: Path) -> Iterator[int]:
    """A descriptor of a folder, to lock it by."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for files that nobody asked for, where the system wants them; gone in the end.

    That of a process which is killed goes before another is made, as with `NewFile`.
    """
    remove_stale(Path(tempfile.gettempdir()))
    with contextlib.ExitStack() as stack:
        while True:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=_PREFIX, suffix=_SUFFIX)))
            with contextlib.suppress(OSError):  # taken for stale before it was locked, or a file system without locks
                if fcntl is not None:
                    fcntl.flock(stack.enter_context(_opened_folder(folder)), fcntl.LOCK_SH)
            if folder.is_dir():
                break
        yield folder


@contextlib.contextmanager
def as_file(source: str | Path | bytes) -> Iterator[Path]:
    """A model as a file: a temporary one where only its content is given."""
    if not isinstance(source, bytes):
        yield Path(source)
        return
    with temporary_folder() as folder:
        path = folder / "model.tflite"
        path.write_bytes(source)
        yield path
