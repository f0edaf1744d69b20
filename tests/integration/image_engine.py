"""The image built and run by buildah and runc, with nothing but packages of Debian and Python.

The base image is Debian's own root with its own Python, so no registry of images is asked. Packages come by the
settings of pip on this machine: a mirror, wheels on its disk, certificates. TORCH_INDEX in the environment is the
Dockerfile's argument of that name: the index that has torch.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.dockerfile import ROOT, stages

NEEDED = ("buildah", "runc", "debootstrap", "nsenter", "ip")
SUITE = "bookworm"
PACKAGES = "python3,python3-venv"
"""What the base image has beside Debian's essential packages."""
BASE = """
FROM scratch
ADD root.tar /
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
RUN ln -s /usr/bin/python3 /usr/local/bin/python
"""
CERTIFICATES = "/mnt/certificates.pem"
ISOLATION = ("--isolation", "oci", "--runtime", "runc", "--network", "host")


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a store of its own, so that images of the same names elsewhere on the machine stay as they are."""

    store: tuple[str, ...]
    """How buildah is told of that store."""
    name: str


@dataclass(frozen=True, slots=True)
class Container:
    """A container of an image, by the name that buildah gave it."""

    image: Image
    name: str
    options: tuple[str, ...]
    """Of `buildah run`: volumes, variables."""
    inside: tuple[str, ...]
    """What a command is prefixed with, such as the way into a network of its own."""

    def command(self, *words: str) -> list[str]:
        """A command in it, as the image's user."""
        call = ("buildah", *self.image.store, "run", *ISOLATION, *self.options, self.name, "--")
        return [*self.inside, *call, *words]

    def run(self, *words: str) -> str:
        return run(*self.command(*words))


@contextmanager
def built(target: str, folder: Path) -> Iterator[Image]:
    """A target's image, gone at the end with all that was made for it."""
    store = ("--root", str(folder / "store"), "--runroot", str(folder / "running"))
    base = next(stage.base for stage in stages().values() if stage.name == f"{target}-base")
    try:
        _make_base(base, folder, store)
        variables, places = pip_settings()
        settings = [f"--env={name}={value}" for name, value in variables.items()]
        settings += [f"--volume={source}:{place}:ro" for source, place in places.items()]
        if "TORCH_INDEX" in os.environ:
            settings.append(f"--build-arg=TORCH_INDEX={os.environ['TORCH_INDEX']}")
        build = ("buildah", *store, "build", *ISOLATION, "--pull-never", "--target", target, "--tag", target)
        run(*build, *settings, str(ROOT))
        yield Image(store, target)
    finally:
        run("buildah", *store, "rmi", "--all", "--force")


@contextmanager
def container(image: Image, *options: str, inside: Sequence[str] = ()) -> Iterator[Container]:
    """A container in whose network nobody resolves names, and says so at once."""
    call = ("buildah", *image.store, "from", "--pull-never", "--shm-size", "2g", "--dns", "127.0.0.1", image.name)
    name = run(*call).strip()
    try:
        yield Container(image, name, options, tuple(inside))
    finally:
        run("buildah", *image.store, "rm", name)


def pip_settings() -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Environment variables of pip on this machine, and the local files and folders of its settings with their places.

    The certificates have another place in the image, since a package of Debian writes their file anew.
    """
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "debug"], capture_output=True, text=True, check=True
    )
    values = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    named = re.findall(r"^\s*(/\S+), exists: True", listed.stdout, flags=re.M)
    named += re.findall(r"(?:file://|['\s])(/[\w./-]+)", values.stdout)
    variables = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    whole = {path.removesuffix("/simple") for path in named}  # the files of an index lie beside it
    places = {path: path for path in sorted(whole) if os.path.exists(path)}
    for certificates in re.findall(r"cert='(.*)'", values.stdout):
        places[certificates] = variables["PIP_CERT"] = CERTIFICATES
    return variables, places


def run(*command: str) -> str:
    """What a command prints. Raises: AssertionError with the end of what it says where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def _make_base(tag: str, folder: Path, store: Sequence[str]) -> None:
    root, archive = folder / "root", folder / "root.tar"
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root))
    run("tar", "--directory", str(root), "--exclude", "./dev/*", "--create", "--file", str(archive), ".")
    shutil.rmtree(root)
    (folder / "Dockerfile").write_text(BASE, encoding="utf-8")
    run("buildah", *store, "build", *ISOLATION, "--tag", f"docker.io/library/{tag}", str(folder))
    archive.unlink()
