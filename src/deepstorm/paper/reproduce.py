"""Run parts of the reproduction, keep what they find, and write the page of all that is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from deepstorm.api.reconstruct import package_versions
from deepstorm.errors import InputError
from deepstorm.files import file_checksum
from deepstorm.models.zoo import open_network
from deepstorm.paper.claims import compared
from deepstorm.paper.context import Context, PaperPart
from deepstorm.paper.findings import Finding
from deepstorm.paper.page import section
from deepstorm.paper.registry import PARTS
from deepstorm.paper.store import Key, Store
from deepstorm.reports.pages import write_page

PAGE = "index.html"
PAGE_TITLE = "Deep-STORM: the paper and this package"
CLAIMS = "claims"
CLAIMS_TITLE = "Every claim of the paper"


def chosen_parts(names: Sequence[str]) -> list[PaperPart]:
    """Return the parts of these names, in the order of the paper; ``all`` stands for all.

    Raises
    ------
    InputError
        If a name is not known.
    """
    known = [part.name for part in PARTS]
    unknown = [name for name in names if name not in (*known, "all", CLAIMS)]
    if unknown:
        raise InputError(
            f"no figure or table is called '{unknown[0]}'; choose among {', '.join(known)}, "
            f"{CLAIMS} and all"
        )
    return [part for part in PARTS if part.name in names or "all" in names]


def reproduce(
    names: Sequence[str], folder: Path, context: Context, *, again: bool = False
) -> dict[str, Finding]:
    """Run parts that are not done yet, compare with the paper, and write the page.

    Parameters
    ----------
    names : sequence of str
        Names of parts, or ``all``; ``claims`` alone compares what is there.
    folder : Path
        Keeps the results; made where it is missing.
    context : Context
    again : bool
        Whether parts that are done with the same settings, inputs and versions are run again.

    Returns
    -------
    dict
        All findings in the folder by the name of their part, and the claims.

    Raises
    ------
    InputError
        If a name is not known, or the folder or a network cannot be used.
    """
    chosen = chosen_parts(names)
    keys = {part.name: made_with(part, context) for part in PARTS}
    store = Store(folder)
    for part in chosen:
        key, kept = keys[part.name], store.read(part.name)
        if kept is not None and kept[0] == key and not again:
            context.say(f"{part.name}: done before")
            continue
        context.say(f"{part.name}: {part.title}")
        store.write(part.name, *_done(part, key, context))
    return _gathered(store, context)


def _done(part: PaperPart, key: Key, context: Context) -> tuple[Key, Finding]:
    """Run a part; one that cannot run says why, and is tried again the next time."""
    try:
        return key, part.run(context)
    except InputError as error:
        context.say(f"{part.name}: not done: {error}")
        return key | {"failed": True}, Finding(missing=str(error))


def made_with(part: PaperPart, context: Context) -> Key:
    """Return all that decides a part's result, plain and ready for JSON."""
    files = {name: context.file(*name.split("/")) for name in part.sources}
    key: Key = {
        "settings": part.settings(context.quick).model_dump(mode="json"),
        "quick": context.quick,
        "networks": {name: open_network(name).checksum for name in context.networks},
        "original": str(context.original) if context.original is not None else None,
        "data": {name: file_checksum(path) for name, path in files.items() if path is not None},
        "versions": package_versions(),
    }
    result: Key = json.loads(json.dumps(key))
    return result


def _gathered(store: Store, context: Context) -> dict[str, Finding]:
    """Compare all that is in the folder with the paper, and write the page."""
    kept = {part.name: store.read(part.name) for part in PARTS}
    there = {name: entry for name, entry in kept.items() if entry is not None}
    findings = {name: finding for name, (_, finding) in there.items()}
    findings[CLAIMS] = compared(findings, context.ours)
    quick = any(key["quick"] for key, _ in there.values())
    about = {"quick": quick, "parts": sorted(there), "versions": package_versions()}
    store.write(CLAIMS, about, findings[CLAIMS])
    sections = [section(CLAIMS_TITLE, findings[CLAIMS], about)]
    sections += [
        section(part.title, there[part.name][1], there[part.name][0])
        for part in PARTS
        if part.name in there
    ]
    write_page(store.folder / PAGE, PAGE_TITLE, sections, overwrite=True)
    return findings
