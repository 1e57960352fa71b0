"""Two processes on CPUs train as one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from deepstorm.api.train import train
from deepstorm.errors import InputError
from deepstorm.training.course.distributed import ALONE, Team
from deepstorm.training.course.folder import STATE_NAME
from deepstorm.training.course.loss_log import read_losses
from deepstorm.training.examples.protocol import Batch

# Three examples for two processes: their shares differ, and so do the emitters in them.
RECIPE = """
name = "tiny"
steps = 2
precision = "float32"
validate_every = 2
validation_batches = 3
[network]
kind = "native"
width = 4
deep_width = 8
upsampling = 2
[examples]
kind = "simulated"
patch_px = 12
scenes = 3
frames_per_scene = 1
[schedule]
kind = "cosine"
"""
PROGRAM = """
import sys
import torch
from deepstorm.api.train import train
torch.set_num_threads(1)
train(sys.argv[1], sys.argv[2], output=sys.argv[3], on_step=lambda step, loss: print(step))
"""


def team_of_two(arguments: list[str], port: int) -> list[tuple[int, str]]:
    """Run the program in two processes; return how each ended and what it printed."""
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    results = [process.communicate(timeout=120) for process in processes]
    for process, (_, errors) in zip(processes, results, strict=True):
        assert process.returncode == 0, errors
    return [(process.returncode, out) for process, (out, _) in zip(processes, results, strict=True)]


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    alone, team = tmp_path / "alone", tmp_path / "team"
    train(recipe, alone)
    arguments = [str(recipe), str(team), str(tmp_path / "team.safetensors")]
    printed = [out for _, out in team_of_two(arguments, free_port())]
    assert printed == ["1\n2\n", ""]  # the first process alone reports
    assert {path.name for path in team.iterdir()} == {path.name for path in alone.iterdir()}
    assert (tmp_path / "team.safetensors").exists()
    one, two = (load_file(folder / STATE_NAME) for folder in (alone, team))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        if "exp_avg" in name:  # gradients, averaged over the two steps
            scale = float(tensor.abs().max())
            torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-4 * scale)
        else:
            torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-5)
    (row_alone,), (row_team,) = read_losses(alone), read_losses(team)
    np.testing.assert_allclose(row_team, row_alone, rtol=1e-5)


def test_shares_are_the_batch() -> None:
    frames = np.arange(5, dtype=np.float32)[:, None]
    shares = [Team(rank, 2).share(Batch(frames, 2 * frames)).frames for rank in range(2)]
    assert sorted(np.concatenate(shares).ravel()) == [0, 1, 2, 3, 4]
    assert ALONE.share(Batch(frames, frames)).frames is frames


def test_more_processes_than_examples_are_refused() -> None:
    frames = np.zeros((3, 1), np.float32)
    with pytest.raises(InputError, match="4 processes cannot share batches of 3 examples"):
        Team(1, 4).share(Batch(frames, frames))


def test_one_process_follows_its_own_loss() -> None:
    loss = torch.tensor(2.0, requires_grad=True)
    followed, whole = ALONE.shared_loss(loss, torch.tensor(7.0))
    assert followed is loss
    assert whole == 2.0
