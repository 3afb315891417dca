"""README.md of a folder with narrow weights: what it is made of, and how near it is to that."""

import os

from numpy_erniem.conversion.report import Report
from numpy_erniem.quantization.agreement import LEAST_COSINE, Agreement

CARD_FILE = "README.md"


def card(report: Report, agreement: Agreement, stored: str) -> str:
    """The text of the card.

    Parameters
    ----------
    report : Report
        Of the conversion.
    agreement : Agreement
    stored : str
        One line on what the file holds.

    Returns
    -------
    str
    """
    source = os.path.basename(os.path.abspath(report.source)) or report.source
    lines = [
        f"# {source}, {agreement.precision}",
        "",
        f"Made of `{source}` by `erniem convert --dtype {agreement.precision}`. {stored}",
        "",
        "## How near it is to float32",
        "",
        *(f"- {line}" for line in str(agreement).splitlines()),
        "",
    ]
    if agreement.by_language:
        lines += ["| language | lowest cosine |", "|---|---|"]
        lines += [f"| {n} | {v:.5f} |" for n, v in sorted(agreement.by_language.items())]
        lines.append("")
    if agreement.keep_float:
        lines += ["Layers that are floats:", "", *(f"- `{n}`" for n in agreement.keep_float), ""]
    if agreement.layers:
        lines += ["| layer | relative error of its output, if it alone is narrow |", "|---|---|"]
        lines += [f"| `{name}` | {error:.4%} |" for name, error in agreement.layers.items()]
        lines.append("")
    if not agreement.is_enough:
        lines += [
            f"**A cosine is below {LEAST_COSINE}.** Check the result on texts of your own before "
            "it is used.",
            "",
        ]
    return "\n".join(lines)
