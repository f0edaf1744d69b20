"""Where a result comes from: the code, the packages and the machines that made it."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from actors.cluster.nodes import Node
from actors.models.cpu_features import processor
from autodp_ray.result import Hardware, NodeKind

_PACKAGES = ("autodp-ray", "ray", "torch", "transformers", "peft", "accelerate", "pyarrow", "httpx2", "xgrammar")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape a run."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def git_commit(file: str = __file__) -> str | None:
    """The commit of the code that runs, where it runs from a checkout; with `-dirty` where that was changed since.

    Code that only lies inside somebody else's repository, as an installed package does, has no commit of it.
    """
    git = ["git", "-C", str(Path(file).parent)]
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", Path(file).name], capture_output=True, check=True)
        done = subprocess.run([*git, *describe], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def hardware(nodes: Iterable[Node]) -> Hardware:
    """This machine's processor, and the nodes of the cluster by kind, the largest first."""
    kinds = Counter((node.num_gpus, node.num_cpus, node.accelerator) for node in nodes)
    ordered = sorted(kinds.items(), key=lambda item: (-item[0][0], -item[0][1], item[0][2] or ""))
    return Hardware(
        processor=processor(),
        nodes=tuple(
            NodeKind(num_nodes=count, num_cpus=cpus, num_gpus=gpus, accelerator=accelerator)
            for (gpus, cpus, accelerator), count in ordered
        ),
    )
