"""A run's folder: its lock, config.json, journal, splits and result.

Knows the layout and who may write there. Knows nothing of what the phases compute.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from actors.storage.folder_lock import folder_lock
from actors.storage.moved import moved_along
from actors.storage.storage import Storage
from autodp_ray.cluster.ray import storage_locations
from autodp_ray.config.run_config import Config
from autodp_ray.memo_folder import COMPLETION_FILES, memo_folder
from autodp_ray.reporting.explanation import Explanation
from autodp_ray.result import RunResult
from autodp_ray.run_contents import CONFIG, EXPLANATION, LOCK, REPORT, RESULT, clear_run, require_empty
from autodp_ray.runs.exports import exported_files
from autodp_ray.runs.provenance import git_commit, versions
from autodp_ray.runs.settings import differences, restored_config, settings_of, shown_override
from operators.contract.errors import InputError
from operators.contract.redaction import HIDDEN, redacted

log = logging.getLogger(__name__)
_Found = TypeVar("_Found")


class RunFolder:
    """One run's folder, local or at a URI."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; the lock goes with the process, however it ends.

        Raises: InputError where another run holds it.
        """
        if self.storage.is_local:
            self.storage.make_private()
        busy = f"{self.storage.location} is in use by another run; wait for it, stop it, or choose another folder"
        with folder_lock(self.storage, LOCK, busy=busy):
            if self.storage.is_local and self.is_started:
                self.storage.delete_temporary()  # nobody else writes here now
            yield

    @property
    def is_started(self) -> bool:
        return self.storage.exists(CONFIG)

    def open(
        self,
        config: Config,
        *,
        config_path: str | None,
        strategies: str | None,
        cache: Storage,
        overrides: Sequence[str] = (),
        comparison: Mapping[str, object] | None = None,
    ) -> None:
        """Write config.json, or check that the one that is there is the same.

        Raises: InputError where the folder holds a run of another config, or anything but a run.
        """
        body = settings_of(config, strategies, comparison)
        if self.is_started:
            theirs = self.describe()["settings"]
            kind = "comparison" if self.is_comparison else "run"
            if self.is_comparison != (comparison is not None):
                raise InputError(f"{self.storage.location} holds a {kind} already; choose another folder")
            if theirs != body:
                changed = ", ".join(sorted(differences(theirs, body))) or "its settings"
                raise InputError(
                    f"{self.storage.location} holds a {kind} of another config ({changed} differ); "
                    "choose another folder, or start over with --fresh"
                )
            return
        require_empty(self.storage)
        description = {
            "run_id": uuid.uuid4().hex[:16],
            "settings": body,
            "config_path": None if config_path is None else redacted(config_path),
            "overrides": [shown_override(each) for each in overrides],
            "location": self.storage.shown,
            "cache": cache.shown,
            "versions": versions(),
            "git_commit": git_commit(),
        }
        self.storage.write_text(CONFIG, json.dumps(description, ensure_ascii=False, indent=2))

    def describe(self) -> dict[str, object]:
        """config.json as it was written.

        Raises: InputError where the folder holds no run.
        """
        if not self.is_started:
            raise InputError(f"{self.storage.location} holds no run (there is no {CONFIG}); check the path")
        try:
            body = json.loads(self.storage.read_bytes(CONFIG))
        except ValueError:
            body = None
        if not isinstance(body, dict) or not {"run_id", "settings", "config_path", "cache"} <= body.keys():
            raise InputError(f"{self.storage.uri(CONFIG)} is not a run's; choose another folder")
        return body

    @property
    def is_comparison(self) -> bool:
        """Whether policies are compared in it, which is no run that could be resumed, applied or explained."""
        settings = self.describe()["settings"]
        assert isinstance(settings, dict)
        return "comparison" in settings

    def require_run(self) -> None:
        """Raises: InputError where the folder holds a comparison."""
        if self.is_comparison:
            raise InputError(
                f"{self.storage.location} holds a comparison, not a run: the same autodp compare command goes on with "
                "it, and autodp report shows it once it is finished"
            )

    @property
    def run_id(self) -> str:
        """Tells this run's own work in the cache from that of others."""
        return str(self.describe()["run_id"])

    def config(self) -> Config:
        """The run's resolved config.

        Raises: InputError where this version of the code does not understand it.
        """
        settings = self.describe()["settings"]
        assert isinstance(settings, dict)
        return restored_config(
            settings["config"],
            config_path=self.config_path(),
            overrides=self.overrides(),
            source=self.storage.shown_uri(CONFIG),
        )

    def config_path(self) -> str | None:
        """The config file that the run was started with, as it was given."""
        path = self.describe()["config_path"]
        assert path is None or isinstance(path, str)
        return path

    def overrides(self) -> tuple[str, ...]:
        """What `--set` changed, without secrets; nothing where an earlier version started the run."""
        found = self.describe().get("overrides", [])
        assert isinstance(found, list)
        return tuple(str(each) for each in found)

    def cache_storage(self, config: Config) -> Storage:
        """Where the run's cache lies, wherever it is resumed from; where both were moved, it is where they are now.

        Secrets of its URI come from the run's own, or from the config.
        """
        described = self.describe()
        cache = Storage.at(str(described["cache"]))
        started_at = Storage.at(str(described.get("location", self.storage.shown)))  # earlier versions do not say it
        cache = moved_along(cache, old=started_at, new=self.storage)
        if HIDDEN in cache.location and config.storage is not None:
            return storage_locations(config.storage)[1]
        return cache

    def given_strategies(self) -> str | None:
        settings = self.describe()["settings"]
        assert isinstance(settings, dict)
        strategies = settings["strategies"]
        assert strategies is None or isinstance(strategies, str)
        return strategies

    def result(self) -> RunResult | None:
        """result.json, or None where there is none yet.

        Raises: InputError where it is damaged, or another version's.
        """
        return self._found(RESULT, RunResult.from_json, again="autodp run --resume")

    def write_result(self, result: RunResult) -> None:
        self.storage.write_text(RESULT, redacted(result.to_json()))

    def explanation(self) -> Explanation | None:
        """explain.json, or None where there is none.

        Raises: InputError where it is damaged, or another version's.
        """
        return self._found(EXPLANATION, Explanation.from_json, again="autodp explain")

    def _found(self, name: str, parse: Callable[[str], _Found], *, again: str) -> _Found | None:
        if not self.storage.exists(name):
            return None
        try:
            return parse(self.storage.read_text(name))
        except ValueError:
            raise InputError(
                f"{self.storage.uri(name)} is damaged, or of another version; delete it and make it anew from the "
                f"journal with {again} {self.storage.location}"
            ) from None

    def write_explanation(self, explanation: Explanation) -> None:
        self.storage.write_text(EXPLANATION, redacted(explanation.to_json()))

    @property
    def report_uri(self) -> str:
        return self.storage.shown_uri(REPORT)

    def write_report(self, html: str) -> None:
        self.storage.write_text(REPORT, redacted(html))

    def clear(self) -> None:
        """Delete what a run wrote, and nothing else; the lock stays.

        Raises: InputError where the folder is not empty and holds no run, or its config.json is not a run's.
        """
        if not self.is_started:
            require_empty(self.storage)
            return
        self.describe()
        for name in COMPLETION_FILES:  # where they are remembered beside the storage, for this run alone
            (memo_folder(self.storage) / name).unlink(missing_ok=True)
        if left := clear_run(self.storage, exported=exported_files(self.storage)):
            log.warning("%s: %d files are no run's and stay, such as %s", self.storage.shown, len(left), left[0])
