"""Where a folder lies now that was moved, or mounted elsewhere, together with another one."""

from __future__ import annotations

from actors.storage.storage import Storage


def moved_along(folder: Storage, *, old: Storage, new: Storage) -> Storage:
    """Where `folder` is after `old` was moved to `new`: the places above both that have other names decide.

    `/a/runs/x` that is now `/b/runs/x` says that `/a` became `/b`, so `/a/cache` is `/b/cache`. What lay outside of
    the place that moved stays where it was.
    """
    while old != new:
        (above_old, name), (above_new, name_now) = old.place(), new.place()
        if name != name_now or not name:
            break
        old, new = above_old, above_new
    inside = old.name_of(folder)
    return folder if inside is None else new.folder(inside)
