from __future__ import annotations

import subprocess
import sys

import pytest

import deepstorm


@pytest.mark.parametrize("name", deepstorm.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(deepstorm, name) is not None


def test_public_names_are_sorted_and_listed() -> None:
    assert sorted(deepstorm.__all__) == list(deepstorm.__all__)
    assert set(deepstorm.__all__) <= set(dir(deepstorm))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = deepstorm.nonsense


@pytest.mark.parametrize("module", ["deepstorm", "deepstorm.cli.app", "deepstorm.api.evaluate"])
def test_importing_costs_no_torch(module: str) -> None:
    code = f"import {module}, sys; sys.exit('torch' in sys.modules or 'napari' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
