from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from deepstorm.locks import drop_lock, signals_wait, take_lock

# Many processes take, hold and drop one lock, whose file comes and goes; each checks that it is
# alone by a file that only the holder may make.
CROWD = """
import os, sys
from pathlib import Path
from deepstorm.locks import drop_lock, take_lock

lock, alone, wins = Path(sys.argv[1]), sys.argv[2], 0
for _ in range(3000):
    held = take_lock(lock)
    if held is not None:
        os.close(os.open(alone, os.O_CREAT | os.O_EXCL))
        os.unlink(alone)
        drop_lock(lock, held)
        wins += 1
print(wins)
"""


def test_a_lock_is_held_once_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = take_lock(path)
    assert held is not None
    assert take_lock(path) is None
    drop_lock(path, held)
    assert not path.exists()
    again = take_lock(path)
    assert again is not None
    drop_lock(path, again, keeps_file=True)
    assert path.exists()


def test_a_crowd_never_shares_a_lock(tmp_path: Path) -> None:
    script = [sys.executable, "-c", CROWD, str(tmp_path / "lock"), str(tmp_path / "alone")]
    crowd = [subprocess.Popen(script, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    wins = [int(process.communicate()[0]) for process in crowd]
    assert [process.returncode for process in crowd] == [0, 0, 0]
    assert min(wins) > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Unix ends processes by signals")
def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from deepstorm.locks import take_lock\n"
        "take_lock(Path(sys.argv[1])); print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert take_lock(tmp_path / "lock") is None
        holder.kill()
    held = take_lock(tmp_path / "lock")
    assert held is not None
    drop_lock(tmp_path / "lock", held)


def test_signals_wait_until_a_step_is_done() -> None:
    done, before = [], signal.getsignal(signal.SIGTERM)

    def work() -> None:
        with signals_wait():
            signal.raise_signal(signal.SIGTERM)
            with signals_wait():
                signal.raise_signal(signal.SIGINT)
            done.append("step")

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        assert done == ["step"]
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_does_not_hide_an_error() -> None:
    def work() -> None:
        with signals_wait():
            signal.raise_signal(signal.SIGINT)
            raise ValueError

    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert isinstance(caught.value.__context__, ValueError)


def test_other_threads_get_no_signals_and_need_not_wait() -> None:
    seen = []

    def work() -> None:
        with signals_wait():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
