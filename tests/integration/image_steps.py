"""The Dockerfile's steps in a fresh Debian root, for machines without a container engine.

    python -m tests.integration.image_steps FOLDER TARGET [NAME=VALUE of a build argument ...]

As root, on Linux, with debootstrap. A stage is a layer on overlayfs, so that no stage sees what another one did. The
base is Debian's own root with its own Python; packages come by the settings of pip on this machine (a mirror, wheels on
its disk, certificates). Prints the seconds and the size of each layer, and what the image's command and `autodp doctor`
say as its user. All mounts are those of this process, and gone with it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.dockerfile import ROOT, Stage, stages

SUITE = "bookworm"
PACKAGES = "python3,python3-venv"
"""What the base image has beside Debian's essential packages."""
OF_THE_SYSTEM, OF_THE_MACHINE = ("/proc", "/sys", "/dev"), ("/etc/resolv.conf", "/etc/hosts")
CERTIFICATES = "/mnt/certificates.pem"
OWN_MOUNTS = "AUTODP_OWN_MOUNTS"
IGNORED = shutil.ignore_patterns("__pycache__")
"""As .dockerignore says."""
CHECKS = (
    "autodp doctor /opt/autodp/configs/quickstart.yaml",
    "bash -lc 'ray --version && which autodp wget'",  # as KubeRay starts Ray and probes it
)


@dataclass(slots=True, kw_only=True)
class Layer:
    """A stage as far as it was carried out."""

    folders: list[Path]
    """What it consists of, the topmost first."""
    root: Path
    environment: dict[str, str]
    folder: str = "/"
    user: str = "0"
    arguments: dict[str, str] = field(default_factory=dict)


def pip_settings() -> tuple[dict[str, str], dict[str, str]]:
    """Environment variables of pip on this machine, and the local files and folders of its settings with their places.

    The certificates have another place in the root, since a package of Debian writes their file anew.
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


class Builder:
    """Carries out stages, each once."""

    def __init__(self, work: Path, arguments: Mapping[str, str]) -> None:
        self._work = work
        self._arguments = arguments
        self._built: dict[str, Layer] = {}
        self._pip, shared = pip_settings()
        self._shared = {path: path for path in (*OF_THE_SYSTEM, *OF_THE_MACHINE)} | shared

    def build(self, name: str) -> Layer:
        if name in self._built:
            return self._built[name]
        known = stages()
        stage = known[name]
        below = self.build(stage.base) if stage.base in known else self._debian()
        began = time.monotonic()
        layer = self._layer(name, below)
        for word, text in stage.lines:
            self._step(layer, stage, word, text)
        size = run("du", "-sm", str(layer.folders[0])).split()[0]
        print(f"{name}: {time.monotonic() - began:.0f} s, {size} MB", flush=True)
        self._built[name] = layer
        return layer

    def _debian(self) -> Layer:
        root = self._work / "debian"
        if not (root / "usr" / "local").exists() or (root / "debootstrap").exists():
            shutil.rmtree(root, ignore_errors=True)
            run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root))
        python = root / "usr" / "local" / "bin" / "python"
        if not python.is_symlink():
            python.symlink_to("/usr/bin/python3")  # where the official image has its own
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return Layer(folders=[root], root=root, environment={"PATH": path})

    def _layer(self, name: str, below: Layer) -> Layer:
        place = self._work / name
        shutil.rmtree(place, ignore_errors=True)
        upper, scratch, root = (place / part for part in ("layer", "work", "root"))
        for folder in (upper, scratch, root):
            folder.mkdir(parents=True)
        lower = ":".join(map(str, below.folders))
        run(
            "mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={scratch}", "overlay", str(root)
        )
        for source, target in self._shared.items():
            mount(Path(source), root / target.lstrip("/"), is_fixed=source not in OF_THE_SYSTEM)
        folders, environment = [upper, *below.folders], dict(below.environment)
        return Layer(folders=folders, root=root, environment=environment, folder=below.folder, user=below.user)

    def _step(self, layer: Layer, stage: Stage, word: str, text: str) -> None:
        expanded = expand(text, layer.environment | layer.arguments)
        match word:
            case "RUN":
                print(f"{stage.name}: RUN {text[:100]}", flush=True)
                self.run_inside(layer, text, user="0")
            case "COPY":
                self._copy(layer, expanded)
            case "ARG":
                name, _, default = text.partition("=")
                layer.arguments[name] = self._arguments.get(name, default)
            case "ENV":
                layer.environment |= dict(each.split("=", 1) for each in shlex.split(expanded))
            case "WORKDIR":
                layer.folder = expanded
                (layer.root / expanded.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "USER":
                layer.user = expanded

    def run_inside(self, layer: Layer, command: str, *, user: str) -> str:
        variables = self._pip | layer.environment | layer.arguments | {"HOME": "/root" if user == "0" else "/home/ray"}
        settings = [f"{name}={value}" for name, value in variables.items()]
        inner = f"cd {shlex.quote(layer.folder)} && {command}"
        chroot = ("chroot", f"--userspec={user}:{user}", str(layer.root))
        return run(*chroot, "/usr/bin/env", "-i", *settings, "sh", "-ec", inner)

    def _copy(self, layer: Layer, text: str) -> None:
        *words, target = text.split()
        source_root = ROOT
        if words[0].startswith("--from="):
            source_root = self.build(words.pop(0).removeprefix("--from=")).root
        ignored = IGNORED if source_root == ROOT else None
        inside = layer.root / os.path.join(layer.folder, target).lstrip("/")
        for word in words:
            source = source_root / word.lstrip("/")
            if source.is_dir():
                shutil.copytree(source, inside, symlinks=True, dirs_exist_ok=True, ignore=ignored)
            else:
                place = inside / source.name if target.endswith("/") else inside
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, place)


def expand(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda match: values.get(match[1], ""), text)


def mount(source: Path, target: Path, *, is_fixed: bool) -> None:
    """A file or folder of this machine in a root, which cannot change it where it is fixed."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # perhaps a link that leads nowhere inside
        target.touch()
    run("mount", "--rbind", str(source), str(target))
    if is_fixed:
        run("mount", "-o", "remount,bind,ro", str(target))


def run(*command: str) -> str:
    """What a command says. Raises: SystemExit with the end of it where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)[-300:]}\n{done.stdout[-3000:]}")
    return done.stdout


def main(folder: str, target: str, *arguments: str) -> None:
    builder = Builder(Path(folder).resolve(), dict(each.split("=", 1) for each in arguments))
    layer = builder.build(target)
    (command,) = stages()[target].all("CMD")
    for check in (shlex.join(json.loads(command)), *CHECKS):
        print(f"$ {check}\n{builder.run_inside(layer, check, user=layer.user)}", flush=True)


if __name__ == "__main__":
    if not os.environ.get(OWN_MOUNTS):
        private = (
            "unshare",
            "--mount",
            "--propagation",
            "private",
            sys.executable,
            "-m",
            "tests.integration.image_steps",
        )
        os.execvpe(private[0], [*private, *sys.argv[1:]], os.environ | {OWN_MOUNTS: "1"})
    main(*sys.argv[1:])
