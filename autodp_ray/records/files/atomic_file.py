"""A file that is written as it streams and appears whole, or not at all."""

from __future__ import annotations

import lzma
from contextlib import suppress
from pathlib import PurePosixPath

import pyarrow as pa

from actors.storage.storage import Storage
from actors.storage.temporary_files import temporary_name


class AtomicFile:
    """`name` in a folder, under a temporary name until `commit`, there or in another folder; compressed where a
    compression is named."""

    def __init__(
        self, folder: Storage, name: str, *, compression: str | None = None, meanwhile: Storage | None = None
    ) -> None:
        target = PurePosixPath(folder.path(name))
        place = target.parent if meanwhile is None else PurePosixPath(meanwhile.path())
        self._folder = folder
        self._name = name
        self._filesystem = folder.filesystem
        self._temporary = str(place / temporary_name(target.name))
        for path in (str(target), self._temporary):
            folder.make_folder_of(path)
        self._plain = self._filesystem.open_output_stream(self._temporary)
        self.stream: pa.NativeFile = _compressed(self._plain, compression)

    def write(self, data: bytes) -> None:
        self.stream.write(data)

    def close(self) -> None:
        """Finish the bytes; the file stays under its temporary name."""
        for stream in (self.stream, self._plain):
            if not stream.closed:
                stream.close()

    def commit(self) -> None:
        self.close()
        self._folder.keep_private(self._temporary)
        self._folder.rename(str(PurePosixPath(self._temporary).relative_to(self._folder.path())), self._name)

    def discard(self) -> None:
        """Leave nothing behind, also on a full disk, where closing fails: the error before it is the one to tell."""
        with suppress(OSError):
            self.close()
        with suppress(OSError):
            self._filesystem.delete_file(self._temporary)


def _compressed(stream: pa.NativeFile, compression: str | None) -> pa.NativeFile:
    if compression is None:
        return stream
    if compression == "xz":
        return pa.PythonFile(lzma.LZMAFile(stream, "w"), mode="w")
    return pa.CompressedOutputStream(stream, compression)
