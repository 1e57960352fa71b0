from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from deepstorm.models import zoo

Run = Callable[..., tuple[int, str, str]]


def test_models_are_listed(run: Run) -> None:
    code, out, _ = run("models", "--json")
    assert code == 0
    card = json.loads(out)["native"]
    assert card["network"]["kind"] == "native"
    assert card["validity"]["pixel_size_nm"] == [50, 200]
    assert isinstance(card["scores"], dict)
    code, out, _ = run("models")
    assert code == 0
    assert "native" in out


def test_validity_and_scores_of_networks_are_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = zoo.embedded_cards()["native"]
    scored = card.model_copy(update={"scores": {"fig4_nmse_percent": 12.3456}})
    monkeypatch.setattr(zoo, "embedded_cards", lambda: {"native": scored})
    _, out, _ = run("models")
    low, high = card.validity["local_density_per_um2"]
    assert "local_density_per_um2" in out
    assert f"{low:g}–{high:g}" in out
    assert "12.35" in out
    _, out, _ = run("models", "--json")
    assert json.loads(out)["native"]["scores"] == {"fig4_nmse_percent": 12.3456}
