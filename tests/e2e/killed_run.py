"""Run the command line with small blocks that are saved at once: python killed_run.py ARGUMENTS."""

from __future__ import annotations

import os

from deepstorm.cli.app import main
from deepstorm.reconstruction import predictor, resuming, streaming

resuming.SAVE_EVERY_S = 0.0
resuming.MOST_SHARE = 1e9
streaming.VALUES_PER_BLOCK = int(os.environ["TEST_VALUES_PER_BLOCK"])
predictor.VALUES_PER_PIECE = int(os.environ["TEST_VALUES_PER_PIECE"])
main()
