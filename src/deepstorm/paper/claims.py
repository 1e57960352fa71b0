"""Every number that the paper states of its method, beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deepstorm.paper.context import short_name
from deepstorm.paper.findings import Finding, Measured, Row, Table

BETTER, EQUAL, WORSE, UNKNOWN = "better", "equal", "worse", "not measured"


@dataclass(frozen=True, slots=True)
class Claim:
    """A number of the paper.

    Parameters
    ----------
    text : str
        What it says, with its unit.
    where : str
        Place in the paper.
    value : float
    half_digit : float
        Half a unit of the last digit that is printed; a difference below is none.
    figure : str
        ``part: name`` of the figure of ours that is compared; empty where none can be.
    larger_is_better : bool
    remark : str
        What to bear in mind, or why there is no figure.
    """

    text: str
    where: str
    value: float
    half_digit: float
    figure: str = ""
    larger_is_better: bool = False
    remark: str = ""

    def verdict(self, ours: Measured) -> str:
        """Decide: equal within half a printed digit or one spread over seeds, better or worse."""
        if ours.value is None:
            return WORSE if ours.failure else UNKNOWN
        difference = ours.value - self.value
        if abs(difference) <= max(self.half_digit, ours.spread or 0.0):
            return EQUAL
        return BETTER if (difference > 0) == self.larger_is_better else WORSE


GPU = "Needs an accelerator: Titan Xp in the paper."
MACHINE = "Another machine: an i7-8700 in the paper."
PAIRED = "Predictions and emitters paired one to one; two that are taken for one count as one."
NEAR = "The paper does not say how it counted: see the row before."
CLAIMS = (
    Claim("resolved distance at 1 emitter/µm² [nm]", "§3, Fig. 3", 19, 0.5, "fig3: image, 1/µm²"),
    Claim("resolved distance at 9 emitters/µm² [nm]", "§3, Fig. 3", 31, 0.5, "fig3: image, 9/µm²"),
    Claim("NMSE of the simulated microtubules [%]", "§3, Fig. 4", 37, 0.5, "fig4: NMSE", False,
          "Ours unregistered; the paper's 37 % is reached with the truth shifted along one "
          "axis, its published image has 48.8 % unregistered."),
    Claim(
        "the same registered [%]",
        "its published image",
        30.8,
        0.05,
        "fig4: NMSE registered",
        remark="Not printed: the error of the paper's published image with the truth shifted.",
    ),
    Claim("width of a line [nm]", "§3, supplement", 24, 0.5, "fig4: line width"),
    Claim(
        "width of a real filament [nm]",
        "Fig. 6f",
        67,
        0.5,
        "fig6: FWHM",
        remark="Another filament of a crop of the same kind of movie.",
    ),
    Claim("emitters found, trained on measured frames [%]", "§3, Fig. 7", 96, 0.5,
          "fig7: detection, measured", True, PAIRED),
    Claim("the same, an emitter near any prediction being found [%]", "§3, Fig. 7", 96, 0.5,
          "fig7: near a prediction, measured", True, NEAR),
    Claim("false positives, trained on measured frames [%]", "§3, Fig. 7", 1.6, 0.05,
          "fig7: false positives, measured", False, PAIRED),
    Claim("the same, a prediction near any emitter being right [%]", "§3, Fig. 7", 1.6, 0.05,
          "fig7: near no emitter, measured", False, NEAR),
    Claim("emitters found, trained on simulations [%]", "§3", 88, 0.5,
          "fig7: detection, simulated", True),
    Claim("false positives, trained on simulations [%]", "§3", 8.7, 0.05,
          "fig7: false positives, simulated"),
    Claim("robust to a mismatch in density of [/µm²]", "§3", 2, 0.5,
          "robustness: density mismatch", True),
    Claim("performs well up to a density of [/µm²]", "§4", 6, 0.5,
          "robustness: highest density", True),
    Claim("simulated movie on a CPU [s]", "Table 1", 123, 0.5, "table1: simulated", False, MACHINE),
    Claim("experimental movie on a CPU [s]", "Table 1", 715, 0.5, "table1: experimental", False,
          MACHINE),
    Claim("simulated movie on a GPU [s]", "Table 1", 4, 0.5, "table1: simulated, GPU", False, GPU),
    Claim("experimental movie on a GPU [s]", "Table 1", 27, 0.5, "table1: experimental, GPU",
          False, GPU),
    Claim("emitters per second, with a GPU", "§3", 20000, 5000, "table1: emitters per second",
          True, "Compared with what this machine reaches, with or without an accelerator."),
    Claim("times faster than FALCON on the same CPU", "Table 1", 1465 / 123, 0.05,
          "table1: times FALCON", True, "FALCON as implemented here."),
    Claim("times faster than CEL0 on the same CPU", "Table 1", 18677 / 123, 0.5,
          "table1: times CEL0", True, "CEL0 as implemented here, with fewer iterations."),
    Claim("trainable parameters of the paper's network [million]", "§2.1.1", 1.3, 0.1,
          "table1: million parameters", False, "The paper truncates 1.366 after one digit."),
    Claim("hours of training", "§2.1.3", 2, 0.5, "", False,
          "No network is trained here; the bundled ones took longer, see their cards."),
)  # fmt: skip


def compared(findings: Mapping[str, Finding], ours: str) -> Finding:
    """Set the paper's numbers beside those that were found.

    Parameters
    ----------
    findings : mapping
        By the name of the part.
    ours : str
        Network that the figures are of.
    """
    known = {
        f"{part}: {name}": figure
        for part, finding in findings.items()
        for name, figure in finding.figures.items()
    }
    rows: list[Row] = []
    for claim in CLAIMS:
        figure = known.get(claim.figure, Measured(None))
        rows.append(
            {
                "claim": claim.text,
                "where": claim.where,
                "paper": claim.value,
                "ours": figure.shown(),
                "verdict": claim.verdict(figure),
                "remark": claim.remark,
            }
        )
    note = (
        f"Ours: the network '{short_name(ours)}'. Equal: within half a unit of the last digit that "
        "the paper prints, or within one standard deviation over seeds; what was not run, or could "
        "not be measured, is not compared."
    )
    return Finding((Table("The paper's numbers", note, rows),))
