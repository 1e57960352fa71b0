"""A set is the old one or the new one, whatever happens while it is written."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepstorm.errors import InputError
from deepstorm.files import check_writable, output_set, written_whole
from faults import at_each, before_call, before_line, contents, disk_is_full, interrupt

NAMES = ("image.tif", "sub/table.csv", "record.json")
MODULES = ("files.py", "publishing.py", "locks.py", "contextlib.py")
OLD = {name: b"old " + name.encode() for name in NAMES[:2]}  # the old run left no record
NEW = {name: b"new " + name.encode() for name in NAMES}


def _prepare(root: Path, number: int) -> Path:
    folder = root / str(number)
    (folder / "sub").mkdir(parents=True)
    for name, text in OLD.items():
        (folder / name).write_bytes(text)
    return folder


def write_set(folder: Path, names: tuple[str, ...] = NAMES) -> None:
    """Write a set in place of another one."""
    with output_set([folder / name for name in names], overwrite=True) as outputs:
        (outputs.workspace / "sums").write_text("half")
        for name in names:
            outputs.staged(folder / name).write_bytes(NEW[name])


def test_a_full_disk_at_every_call(tmp_path: Path) -> None:
    faults = at_each(
        lambda number, folder: before_call(number, folder, disk_is_full),
        lambda number: _prepare(tmp_path, number),
        write_set,
    )
    places = []
    for place, folder, error in faults:
        places.append(place)
        assert error is not None, place
        assert contents(folder) == OLD, place
    assert len(places) > 20
    assert contents(tmp_path / str(len(places))) == NEW


@pytest.mark.parametrize("names", [NAMES, NAMES[:1]])
def test_a_signal_at_every_line(
    tmp_path: Path, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # hundreds of runs wait for no disk
    expected = OLD | {name: NEW[name] for name in names}
    faults = at_each(
        lambda number, folder: before_line(number, MODULES, interrupt),
        lambda number: _prepare(tmp_path, number),
        lambda folder: write_set(folder, names),
        step=11,
    )
    seen = set()
    for place, folder, error in faults:
        assert isinstance(error, KeyboardInterrupt), place
        found = contents(folder)
        assert found in (OLD, expected), place
        seen.add(tuple(found.values()))
        assert not list(folder.rglob(".*")), place
    assert len(seen) == 2, "some signals came before, some after"


# Runs in a process of its own: each trial dies in a fork, then another run looks at what is left.
KILLED = """
import json, os, sys
from pathlib import Path
from faults import before_call, contents, is_killed
from test_files_faults import OLD, NEW, NAMES, _prepare, write_set
from deepstorm.files import check_writable, output_set

root, look = Path(sys.argv[1]), sys.argv[2]
os.fsync = lambda descriptor: None  # a kill does not stop the system from writing
found, number, code = [], 0, 9
while code == 9:
    folder = _prepare(root, number)
    child = os.fork()
    if child == 0:
        with before_call(number, folder, is_killed):
            write_set(folder)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if look == "check":
        for name in reversed(NAMES):
            check_writable(folder / name, overwrite=True)
    elif look == "other":
        try:
            with output_set([folder / NAMES[1]], overwrite=True) as outputs:
                raise KeyError
        except KeyError:
            pass
    else:
        write_set(folder)
    for name in NAMES:
        check_writable(folder / name, overwrite=True)
    left = contents(folder)
    left.pop(".image.tif.partial/sums", None)  # for a run that resumes this one
    found.append("old" if left == OLD else "new" if left == NEW else str(left))
    number += 1
print(json.dumps(found))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs die in forks")
@pytest.mark.parametrize("look", ["check", "other", "write"])
def test_a_kill_at_every_call_is_mended_by_the_next_run(tmp_path: Path, look: str) -> None:
    script = [sys.executable, "-c", KILLED, str(tmp_path), look]
    paths = [str(Path(__file__).parent), *sys.path]
    done = subprocess.run(
        script,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) > 20
    assert set(found) <= {"old", "new"}
    if look != "write":
        assert found == sorted(found, reverse=True), "old until the set is published, then new"
        assert found.count("new") > 4


@pytest.mark.skipif(os.name == "nt", reason="limits of size are Unix's")
def test_a_file_that_may_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    folder = _prepare(tmp_path, 0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setitem(NEW, NAMES[1], bytes(8192))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_set(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert contents(folder) == OLD


def test_a_file_that_is_open_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to rename or replace a file that a program has open."""
    folder, rename = _prepare(tmp_path, 0), os.replace

    def refusing(source: Path, target: Path) -> None:
        if Path(source).name == "table.csv":
            raise PermissionError(errno.EACCES, "Permission denied", str(source), 5, str(target))
        rename(source, target)

    monkeypatch.setattr(os, "replace", refusing)
    with pytest.raises(InputError, match=r"kept as .*image_2\.tif.*table_2\.csv.*record_2\.json"):
        write_set(folder)
    kept = {
        "image_2.tif": NEW["image.tif"],
        "sub/table_2.csv": NEW["sub/table.csv"],
        "record_2.json": NEW["record.json"],
    }
    assert contents(folder) == OLD | kept
    with pytest.raises(InputError, match=r"image_3\.tif"):
        write_set(folder)


def test_a_file_that_others_made_meanwhile(tmp_path: Path) -> None:
    def work() -> None:
        with written_whole(tmp_path / "out.csv") as partial:
            partial.write_text("mine")
            (tmp_path / "out.csv").write_text("theirs")

    with pytest.raises(InputError, match=r"out\.csv' cannot be replaced .*kept as .*out_2\.csv"):
        work()
    assert contents(tmp_path) == {"out.csv": b"theirs", "out_2.csv": b"mine"}


def test_a_disk_that_stays_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where renaming back fails, too, the next run makes the set whole."""
    folder, rename = _prepare(tmp_path, 0), os.replace
    renamed = []

    def refusing(source: Path, target: Path) -> None:
        renamed.append(source)
        if len(renamed) > 3:
            disk_is_full()
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refusing)
        with pytest.raises(OSError, match="No space left"):
            write_set(folder)
    check_writable(folder / NAMES[1], overwrite=True)
    assert contents(folder) == NEW


def test_leftovers_of_a_dead_run_go(tmp_path: Path) -> None:
    for name in (".out.new.csv", ".out.old.csv", ".out.csv.lock"):
        (tmp_path / name).touch()
    with contextlib.suppress(KeyError), written_whole(tmp_path / "out.csv"):
        raise KeyError
    assert contents(tmp_path) == {}
