"""All parts of the reproduction, in the order of the paper."""

from __future__ import annotations

from deepstorm.paper.context import PaperPart
from deepstorm.paper.fig2 import Figure2
from deepstorm.paper.fig3 import Figure3
from deepstorm.paper.fig4 import Figure4
from deepstorm.paper.fig6 import Figure6
from deepstorm.paper.fig7 import Figure7
from deepstorm.paper.robustness import Robustness
from deepstorm.paper.routing import Routing
from deepstorm.paper.table1 import Table1

PARTS: tuple[PaperPart, ...] = (
    Figure2(),
    Figure3(),
    Figure4(),
    Figure6(),
    Figure7(),
    Table1(),
    Robustness(),
    Routing(),
)
