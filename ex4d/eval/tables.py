"""The one renderer of the evaluation's tables: Markdown, aligned text and HTML. What stands in them comes as rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Table:
    """A head and rows of finished cells, the first of each row a name."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """For a page of the documentation."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)

    def text(self) -> str:
        """Aligned, for a terminal."""
        lines = [self.head, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.head))]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)

    def html(self) -> str:
        """For the report."""
        top = "".join(f"<th>{escape(cell)}</th>" for cell in self.head)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows)
        return f"<div class=wide><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"


def number(value: float, digits: int, unit: str = "") -> str:
    """A cell: ``value`` with so many digits and its unit, or a dash for NaN."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}{unit}"


def percent(share: float, digits: int = 1) -> str:
    """A cell: a share of 1 in per cent."""
    return number(100 * share, digits, " %")
