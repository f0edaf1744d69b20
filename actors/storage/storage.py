"""One folder, local or at any `pyarrow.fs` URI, with atomic writes.

Knows files, not what is in them. A `Storage` is plain data (its location), so it travels to workers as it is. What is
written below a private local folder is private too.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

import pyarrow as pa
from pyarrow import fs

from actors.storage.full_disk import full_disk_line
from actors.storage.locations import RAW_SCHEMES, base_and_query, full_location
from actors.storage.scratch import scratch_folder
from actors.storage.temporary_files import TEMPORARY, prefix_of, temporary_name
from operators.contract.errors import InputError, RunError
from operators.contract.redaction import redacted

MAX_MOVED_BYTES = 4 << 30
"""S3 moves a file by copying it inside the store, which it does up to 5 GB; a larger one passes through here."""
COPY_BYTES = 64 << 20
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
_WHOLE = "allow_delayed_open"
_DISK = fs.LocalFileSystem()


@dataclass(frozen=True)
class Storage:
    """A folder. `location` is an absolute local path or a URI such as `s3://bucket/prefix?region=eu-west-1`.

    It may hold the keys of a bucket, so messages and files get `shown`.
    """

    location: str

    @classmethod
    def at(cls, location: str | os.PathLike[str]) -> Storage:
        """The folder at a path or URI; a relative local path is taken from the current folder.

        Raises: InputError for a path or URI that no folder can have.
        """
        return cls(full_location(os.fspath(location)))

    @property
    def shown(self) -> str:
        """The location without the secrets in it, for messages and files."""
        return redacted(self.location)

    @property
    def is_local(self) -> bool:
        return "://" not in self.location

    @cached_property
    def _fs_and_root(self) -> tuple[fs.FileSystem, str]:
        try:
            if self.is_local:
                return fs.LocalFileSystem(), self.location
            filesystem, root = fs.FileSystem.from_uri(_as_opened(self.location))
        except (ValueError, OSError) as error:
            raise InputError(f"cannot open the storage location {self.shown!r}: {error}") from error
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
            raise RunError(f"{name[:200]!r} leads out of {self.shown}; see who wrote it there")
        root = self._fs_and_root[1]
        return str(PurePosixPath(root, inner)) if name else root

    def uri(self, name: str = "") -> str:
        """The absolute path or URI of `name`, which opens it; for messages and files there is `shown_uri`."""
        if not name:
            return self.location
        base, query = ("", "") if self.is_local else base_and_query(self.location)
        if self.is_local:
            return f"{self.location.rstrip('/')}/{name}"
        return f"{base.rstrip('/')}/{name if base.startswith(RAW_SCHEMES) else quote(name)}{query}"

    def shown_uri(self, name: str = "") -> str:
        """The absolute path or URI of `name` without secrets, for messages and files."""
        return redacted(self.uri(name))

    def folder(self, name: str) -> Storage:
        """The folder `name` inside this one."""
        return Storage(self.uri(name))

    def place(self) -> tuple[Storage, str]:
        """The folder that holds this one, and its name there."""
        base, query = ("", "") if self.is_local else base_and_query(self.location)
        root, _, name = (base or self.location).rpartition("/")
        if self.is_local:
            return Storage(root or "/"), name
        return Storage(root + query), name if base.startswith(RAW_SCHEMES) else unquote(name)

    def beside(self, suffix: str) -> Storage:
        """The folder next to this one whose name is longer by a suffix."""
        root, name = self.place()
        return root.folder(f"{name}{suffix}")

    def name_of(self, inner: Storage) -> str | None:
        """The name by which `folder` gives a folder inside this one; None for any other."""
        (root, query), (base, other) = (
            (each.location, "") if each.is_local else base_and_query(each.location) for each in (self, inner)
        )
        prefix = f"{root.rstrip('/')}/"
        if query != other or not base.startswith(prefix):
            return None
        name = base.removeprefix(prefix)
        return name if self.is_local or root.startswith(RAW_SCHEMES) else unquote(name)

    def make_private(self) -> None:
        """Make a local folder that only its user may read; one that is there already stays as it is.

        Raises: InputError where no folder can be made there.
        """
        folder = Path(self.location)
        if not self.is_local or folder.is_dir():
            return
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        except OSError as error:
            if full_disk_line(error):
                raise
            raise InputError(f"{self.location} cannot be a folder: {error.strerror}; choose another path") from error

    def make_folder_of(self, path: str) -> None:
        """Make the folders that a file at a path of this filesystem lies in, as private as the folder above them."""
        parent = PurePosixPath(path).parent
        if not self.is_local:
            self.filesystem.create_dir(str(parent), recursive=True)
            return
        missing = [each for each in (parent, *parent.parents) if not os.path.lexists(each)]
        above = Path(parent if not missing else missing[-1].parent)
        mode = PRIVATE_FOLDER if missing and _is_private(above) else 0o777
        for folder in reversed(missing):
            Path(folder).mkdir(mode=mode, exist_ok=True)

    def keep_private(self, path: str) -> None:
        """Let a file that was written by its path be as private as the folder that it lies in."""
        if self.is_local and _is_private(Path(path).parent):
            Path(path).chmod(PRIVATE_FILE)

    def exists(self, name: str = "") -> bool:
        return bool(self._type(name) != fs.FileType.NotFound)

    def is_file(self, name: str = "") -> bool:
        return bool(self._type(name) == fs.FileType.File)

    def names(self, name: str = "") -> list[str]:
        """Names of the files and folders directly in a folder, sorted; empty where there is no folder."""
        selector = fs.FileSelector(self.path(name), allow_not_found=True)
        try:
            infos = self.filesystem.get_file_info(selector)
        except NotADirectoryError:
            return []
        return sorted(info.base_name for info in infos if not info.base_name.startswith(TEMPORARY))

    def read_bytes(self, name: str) -> bytes:
        """A whole file. Raises: FileNotFoundError also where the folder of the file is itself a file."""
        try:
            with self.filesystem.open_input_stream(self.path(name)) as stream:
                return bytes(stream.read())
        except NotADirectoryError as error:
            raise FileNotFoundError(str(error)) from error

    def read_text(self, name: str) -> str:
        return self.read_bytes(name).decode("utf-8")

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a whole file so that a reader sees either nothing, the old one or the new one."""
        self.write_pieces(name, [data])

    def write_pieces(self, name: str, pieces: Iterable[bytes | pa.Buffer]) -> None:
        """The same for a file whose bytes lie in several places."""
        with self._replacing(name) as temporary, self.filesystem.open_output_stream(temporary) as stream:
            for piece in pieces:
                stream.write(piece)

    @contextmanager
    def _replacing(self, name: str) -> Iterator[str]:
        """What is written to the path that this gives takes the file's place; where that fails, it goes."""
        target = PurePosixPath(self.path(name))
        temporary = str(target.with_name(temporary_name(target.name)))
        self.make_folder_of(str(target))
        try:
            yield temporary
            self.keep_private(temporary)
            self.filesystem.move(temporary, str(target))
        except BaseException:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                self.filesystem.delete_file(temporary)
            raise

    def write_text(self, name: str, text: str) -> None:
        self.write_bytes(name, text.encode("utf-8"))

    def rename(self, source: str, target: str) -> None:
        self.make_folder_of(self.path(target))
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

    def last_written(self, name: str = "") -> float:
        """When a file below a folder was last written, in seconds since 1970: 0 without one, infinity if unknown."""
        infos = self.filesystem.get_file_info(fs.FileSelector(self.path(name), recursive=True, allow_not_found=True))
        times = (math.inf if info.mtime is None else info.mtime.timestamp() for info in infos if info.is_file)
        return max(times, default=0.0)

    def written_at(self, name: str) -> float:
        """When one file was written, in seconds since 1970: infinity if unknown."""
        (info,) = self.filesystem.get_file_info([self.path(name)])
        return math.inf if info.mtime is None else info.mtime.timestamp()

    def delete_temporary(self, *, older_than_s: float = 0.0) -> None:
        """Delete the half-written files below this folder that killed writers left, where they are old enough."""
        infos = self.filesystem.get_file_info(fs.FileSelector(self.path(), recursive=True, allow_not_found=True))
        before = time.time() - older_than_s
        for info in infos:
            is_old = info.mtime is None or info.mtime.timestamp() <= before
            if info.is_file and info.base_name.startswith(TEMPORARY) and is_old:
                self.filesystem.delete_file(info.path)

    def delete_temporary_of(self, *names: str) -> None:
        """Delete the half-written files that killed writers of these files left directly in this folder."""
        prefixes = tuple(map(prefix_of, names))
        for info in self.filesystem.get_file_info(fs.FileSelector(self.path(), allow_not_found=True)):
            if info.is_file and info.base_name.startswith(prefixes):
                self.filesystem.delete_file(info.path)

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
        with scratch_folder() as copy:
            self.download(str(copy))
            yield str(copy)

    @contextmanager
    def writable(self) -> Iterator[str]:
        """The path to write plain files to: this folder itself, or for a URI one whose files go there at the end."""
        if self.is_local:
            yield self.location
            return
        with scratch_folder() as draft:
            yield str(draft)
            self.upload(str(draft))

    def download(self, target: str) -> None:
        """Copy every file below this folder into a local one."""
        fs.copy_files(self.path(), target, source_filesystem=self.filesystem, destination_filesystem=_DISK)

    def upload(self, source: str) -> None:
        """Copy every file below a local folder into this one."""
        fs.copy_files(source, self.path(), source_filesystem=_DISK, destination_filesystem=self.filesystem)

    @contextmanager
    def scratch(self) -> Iterator[Storage]:
        """This folder, empty, and gone with the use of it, also after a fault."""
        self.delete()
        try:
            yield self
        finally:
            self.delete()

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
        with (
            self._replacing(name) as temporary,
            self.filesystem.open_output_stream(temporary) as sink,
            pa.ipc.new_file(sink, table.schema) as writer,
        ):
            writer.write_table(table)


def _is_private(folder: Path) -> bool:
    return not folder.stat().st_mode & 0o077


def _as_opened(location: str) -> str:
    """A URI of S3 that sends a small file whole when it is closed: an upload in parts, as pyarrow begins for each file
    else, takes two requests more, and one that a killed writer leaves open is stored and charged for unseen."""
    if not location.startswith("s3://") or _WHOLE in location:
        return location
    return f"{location}{'&' if '?' in location else '?'}{_WHOLE}=true"
