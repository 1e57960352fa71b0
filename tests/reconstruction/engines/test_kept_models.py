from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deepstorm.models.card import NetworkCard
from deepstorm.models.checkpoint import save_network
from deepstorm.models.native import NativeNetwork
from deepstorm.models.network import Network
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction.engines import kept_models
from deepstorm.reconstruction.engines.kept_models import KeptModels, converted

FILES = {"network.xml": b"<net/>", "network.bin": bytes(range(256)), "empty": b""}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kept_models, "_user_cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Ask for a converted network, and tell how often one was converted so far."""
    made = []
    monkeypatch.setattr(kept_models, "version", lambda package: f"{package} 1")

    def convert(network: Network) -> dict[str, bytes]:
        made.append(network)
        return FILES

    def ask(network: TrainedNetwork, *decisive: str, runtime: str = "openvino") -> int:
        assert converted(network, runtime, convert, *decisive) == FILES
        return len(made)

    return ask


def kept_file(cache: Path) -> Path:
    (path,) = cache.iterdir()
    return path


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    kept = KeptModels(tmp_path / "new" / "folder")
    assert kept.read("a") is None
    kept.write("a", FILES)
    assert kept.read("a") == FILES
    assert kept.read("b") is None


def test_a_network_is_converted_once(file: TrainedNetwork, conversions: Callable[..., int]) -> None:
    assert conversions(file) == 1
    assert conversions(file) == 1
    assert conversions(TrainedNetwork.open(file.path)) == 1


def test_a_network_in_memory_is_not_kept(
    trained: TrainedNetwork, cache: Path, conversions: Callable[..., int]
) -> None:
    assert conversions(trained) == 1
    assert conversions(trained) == 2
    assert not cache.exists()


def test_whatever_decides_the_result_makes_another_conversion(
    file: TrainedNetwork,
    network: NativeNetwork,
    card: NetworkCard,
    conversions: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert conversions(file) == 1
    assert conversions(file, "plain") == 2
    assert conversions(file, "plain", "sharp") == 3
    assert conversions(file, runtime="onnx") == 4
    other = tmp_path / "other.safetensors"
    save_network(other, network, card.model_copy(update={"name": "other"}))
    assert conversions(TrainedNetwork.open(other)) == 5
    monkeypatch.setattr(kept_models, "version", lambda package: f"{package} 2")
    assert conversions(file) == 6
    monkeypatch.setattr(kept_models, "_code_checksum", lambda: "new code")
    assert conversions(file) == 7


def test_the_checksum_of_the_code_changes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_models, "PACKAGE", tmp_path)
    (tmp_path / "models").mkdir()
    empty = kept_models._code_checksum()
    (tmp_path / "models" / "native.py").write_text("divisor = 4")
    assert kept_models._code_checksum() != empty


@pytest.mark.parametrize("pattern", kept_models.DECISIVE)
def test_the_code_that_decides_is_there(pattern: str) -> None:
    assert list(kept_models.PACKAGE.glob(pattern))


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept: kept[:-1] + bytes([kept[-1] ^ 1]),
        lambda kept: bytes([kept[0] ^ 1]) + kept[1:],
        lambda kept: kept[: len(kept) // 2],
        lambda kept: kept[:10],
        lambda kept: b"",
        lambda kept: kept + b"more",
    ],
)
def test_what_is_damaged_is_replaced(
    file: TrainedNetwork,
    cache: Path,
    conversions: Callable[..., int],
    damage: Callable[[bytes], bytes],
) -> None:
    conversions(file)
    path = kept_file(cache)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert conversions(file) == 2
    assert path.read_bytes() == whole
    assert conversions(file) == 2


@pytest.mark.parametrize("blocked", ["a file in its place", "a folder for the file"])
def test_a_cache_that_cannot_be_used_is_ignored(
    file: TrainedNetwork, cache: Path, conversions: Callable[..., int], blocked: str
) -> None:
    if blocked == "a file in its place":
        cache.write_text("no folder")
    else:
        conversions(file)
        path = kept_file(cache)
        path.unlink()
        path.mkdir()
    before = conversions(file)
    assert conversions(file) == before + 1


def test_a_full_disk_leaves_nothing_behind(
    file: TrainedNetwork,
    cache: Path,
    conversions: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(path: Path, content: bytes) -> int:
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    assert conversions(file) == 1
    assert list(cache.iterdir()) == []


def test_what_was_not_used_for_longest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptModels(tmp_path)
    for age, key in enumerate("cba"):
        kept.write(key, FILES)
        path = tmp_path / (key + kept_models.SUFFIX)
        os.utime(path, (1000 - age, 1000 - age))
    assert kept.read("a") == FILES  # now the latest, though it was the oldest
    monkeypatch.setattr(kept_models, "MOST_BYTES", 3 * path.stat().st_size)
    kept.write("d", FILES)
    assert {key for key in "abcd" if kept.read(key)} == {"a", "c", "d"}


def test_a_file_that_is_too_large_by_itself_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_models, "MOST_BYTES", 10)
    KeptModels(tmp_path).write("a", FILES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ["off", "OFF"])
def test_it_can_be_switched_off(
    file: TrainedNetwork,
    cache: Path,
    conversions: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    word: str,
) -> None:
    monkeypatch.setenv("DEEPSTORM_CACHE", word)
    assert conversions(file) == 1
    assert conversions(file) == 2
    assert not cache.exists()


IS_WINDOWS = sys.platform == "win32"


@pytest.mark.skipif(IS_WINDOWS, reason="where other systems keep caches")
def test_the_cache_is_where_the_platform_keeps_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    home = tmp_path / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "deepstorm"
    assert kept_models._user_cache() == home
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/folder")  # not valid by its specification
    assert kept_models._user_cache() == home
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert kept_models._user_cache() == tmp_path / "caches" / "deepstorm"


RUN_TWICE = """
import sys
import numpy as np
from deepstorm.models.trained_network import TrainedNetwork
from deepstorm.reconstruction.reconstructor import Reconstructor
from deepstorm.io.movies.movie import ArrayMovie

movie = np.random.default_rng(0).poisson(100, (3, 16, 16)).astype(np.uint16)
network = Reconstructor(TrainedNetwork.open(sys.argv[1]), "cpu")
network.reconstruct(ArrayMovie(movie), 100, localize=True)
print("torch" in sys.modules)
"""


def test_pytorch_is_only_imported_where_nothing_is_kept(
    file: TrainedNetwork, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    places = {"XDG_CACHE_HOME": str(tmp_path / "x"), "LOCALAPPDATA": str(tmp_path / "x")}
    imported = []
    for _ in range(2):
        finished = subprocess.run(
            [sys.executable, "-c", RUN_TWICE, str(file.path)],
            env=os.environ | places,
            capture_output=True,
            text=True,
            check=True,
        )
        imported.append(finished.stdout.strip())
    assert imported == ["True", "False"]
