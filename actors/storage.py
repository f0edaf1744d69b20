"""One folder, local or at any `pyarrow.fs` URI, with atomic writes.

Knows files, not what is in them. A `Storage` is plain data (its location), so it travels to workers as it is.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pyarrow as pa
from pyarrow import fs

from operators.errors import InputError, RunError

MAX_MOVED_BYTES = 4 << 30
"""S3 moves a file by copying it inside the store, which it does up to 5 GB; a larger one passes through here."""
COPY_BYTES = 64 << 20
_DISK = fs.LocalFileSystem()


@dataclass(frozen=True)
class Storage:
    """A folder. `location` is an absolute local path or a URI such as `s3://bucket/prefix`."""

    location: str

    @classmethod
    def at(cls, location: str | os.PathLike[str]) -> Storage:
        """The folder at a path or URI; a relative local path is taken from the current folder."""
        text = os.fspath(location)
        if "://" in text and not text.startswith("file://"):
            return cls(text.rstrip("/"))
        return cls(str(Path(text.removeprefix("file://")).expanduser().absolute()))

    @property
    def is_local(self) -> bool:
        return "://" not in self.location

    @cached_property
    def _fs_and_root(self) -> tuple[fs.FileSystem, str]:
        try:
            if self.is_local:
                return fs.LocalFileSystem(), self.location
            filesystem, root = fs.FileSystem.from_uri(self.location)
        except (ValueError, OSError) as error:
            raise InputError(f"cannot open the storage location {self.location!r}: {error}") from error
        return filesystem, root

    def __getstate__(self) -> dict[str, str]:
        return {"location": self.location}

    def __setstate__(self, state: dict[str, str]) -> None:
        object.__setattr__(self, "location", state["location"])

    @property
    def filesystem(self) -> fs.FileSystem:
        return self._fs_and_root[0]

    def path(self, name: str = "") -> str:
        """The path of `name` inside this folder, as its filesystem spells it.

        Raises: RunError for a name that leads out of the folder: some come from files that others may have written.
        """
        inner = PurePosixPath(name)
        if inner.is_absolute() or ".." in inner.parts:
            raise RunError(f"{name[:200]!r} leads out of {self.location}; see who wrote it there")
        root = self._fs_and_root[1]
        return str(PurePosixPath(root, inner)) if name else root

    def uri(self, name: str = "") -> str:
        """The absolute path or URI of `name`, for messages and result files."""
        return f"{self.location}/{name}" if name else self.location

    def folder(self, name: str) -> Storage:
        """The folder `name` inside this one."""
        return Storage(f"{self.location.rstrip('/')}/{name}")

    def place(self) -> tuple[Storage, str]:
        """The folder that holds this one, and its name there."""
        root, _, name = self.location.rpartition("/")
        return Storage(root or "/"), name

    def exists(self, name: str = "") -> bool:
        return bool(self._type(name) != fs.FileType.NotFound)

    def names(self, name: str = "") -> list[str]:
        """Names of the files and folders directly in a folder, sorted; empty where there is none."""
        selector = fs.FileSelector(self.path(name), allow_not_found=True)
        infos = self.filesystem.get_file_info(selector)
        return sorted(info.base_name for info in infos if not info.base_name.startswith(".tmp-"))

    def read_bytes(self, name: str) -> bytes:
        with self.filesystem.open_input_stream(self.path(name)) as stream:
            return bytes(stream.read())

    def read_text(self, name: str) -> str:
        return self.read_bytes(name).decode("utf-8")

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a whole file so that a reader sees either nothing, the old one or the new one."""
        target = PurePosixPath(self.path(name))
        temporary = str(target.with_name(f".tmp-{uuid.uuid4().hex}"))
        self.filesystem.create_dir(str(target.parent), recursive=True)
        with self.filesystem.open_output_stream(temporary) as stream:
            stream.write(data)
        self.filesystem.move(temporary, str(target))

    def write_text(self, name: str, text: str) -> None:
        self.write_bytes(name, text.encode("utf-8"))

    def rename(self, source: str, target: str) -> None:
        self.filesystem.create_dir(str(PurePosixPath(self.path(target)).parent), recursive=True)
        if self.is_local or self.filesystem.get_file_info(self.path(source)).size <= MAX_MOVED_BYTES:
            self.filesystem.move(self.path(source), self.path(target))
            return
        with (
            self.filesystem.open_input_stream(self.path(source)) as old,
            self.filesystem.open_output_stream(self.path(target)) as new,
        ):
            shutil.copyfileobj(old, new, COPY_BYTES)
        self.filesystem.delete_file(self.path(source))

    def move_folder(self, source: str, target: str, *, last: str) -> None:
        """Move a folder: by one rename where it is local, else file by file, the one named `last` at the end.

        Object stores cannot rename a folder, so there the arrival of `last` is what says that the folder is whole.

        Raises: OSError where a local target is there already, or the source is not.
        """
        if self.is_local:
            self.rename(source, target)
            return
        for name in sorted(self.files(source), key=lambda name: name == last):
            self.rename(f"{source}/{name}", f"{target}/{name}")
        self.delete(source)

    def files(self, name: str = "") -> list[str]:
        """Paths of all files below a folder, relative to it, sorted; empty where there is none."""
        return self._below(name, fs.FileType.File)

    def delete_empty_folders(self, name: str) -> None:
        """Delete a folder and those in it, as far as no file is left in them."""
        parents = {parent for file in self.files(name) for parent in PurePosixPath(name, file).parents}
        kept = {"" if str(parent) == "." else str(parent) for parent in parents}
        folders = [name, *(str(PurePosixPath(name, inner)) for inner in self._below(name, fs.FileType.Directory))]
        for folder in sorted(folders, key=len, reverse=True):
            if folder not in kept and self._type(folder) == fs.FileType.Directory:
                self.filesystem.delete_dir(self.path(folder))

    def _below(self, name: str, kind: fs.FileType) -> list[str]:
        root = PurePosixPath(self.path(name))
        infos = self.filesystem.get_file_info(fs.FileSelector(str(root), recursive=True, allow_not_found=True))
        return sorted(str(PurePosixPath(info.path).relative_to(root)) for info in infos if info.type == kind)

    def _type(self, name: str) -> fs.FileType:
        return self.filesystem.get_file_info(self.path(name)).type

    @contextmanager
    def readable(self) -> Iterator[str]:
        """The path of this folder as plain files: the folder itself, or of a URI a copy that is gone at the end."""
        if self.is_local:
            yield self.location
            return
        with tempfile.TemporaryDirectory(prefix="autodp-") as copy:
            self.download(copy)
            yield copy

    @contextmanager
    def writable(self) -> Iterator[str]:
        """The path to write plain files to: this folder itself, or for a URI one whose files go there at the end."""
        if self.is_local:
            yield self.location
            return
        with tempfile.TemporaryDirectory(prefix="autodp-") as draft:
            yield draft
            self.upload(draft)

    def download(self, target: str) -> None:
        """Copy every file below this folder into a local one."""
        fs.copy_files(self.path(), target, source_filesystem=self.filesystem, destination_filesystem=_DISK)

    def upload(self, source: str) -> None:
        """Copy every file below a local folder into this one."""
        fs.copy_files(source, self.path(), source_filesystem=_DISK, destination_filesystem=self.filesystem)

    def delete(self, name: str = "") -> None:
        """Delete a file or a whole folder; nothing happens where there is none.

        Whole folders are only for those that this program made for itself; a folder that a user may have put files in
        is cleared by what is ours in it (`autodp_ray/run_contents.py`).
        """
        kind = self._type(name)
        if kind == fs.FileType.Directory:
            self.filesystem.delete_dir(self.path(name))
        elif kind == fs.FileType.File:
            self.filesystem.delete_file(self.path(name))

    def read_buffer(self, name: str) -> pa.Buffer:
        """A whole file; memory-mapped where it is local."""
        if self.is_local:
            with pa.memory_map(self.path(name)) as source:
                return source.read_buffer()
        with self.filesystem.open_input_stream(self.path(name)) as stream:
            return stream.read_buffer()

    def read_table(self, name: str) -> pa.Table:
        """An Arrow IPC file; memory-mapped where it is local."""
        if self.is_local:
            with pa.memory_map(self.path(name)) as source:
                return pa.ipc.open_file(source).read_all()
        with self.filesystem.open_input_file(self.path(name)) as source:
            return pa.ipc.open_file(source).read_all()

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write one Arrow IPC file atomically."""
        target = PurePosixPath(self.path(name))
        temporary = str(target.with_name(f".tmp-{uuid.uuid4().hex}"))
        self.filesystem.create_dir(str(target.parent), recursive=True)
        with self.filesystem.open_output_stream(temporary) as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        self.filesystem.move(temporary, str(target))
