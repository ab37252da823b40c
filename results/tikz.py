"""Panels as LaTeX: a figure of pgfplots axes, as the study's plots were made.

The text is complete between \\begin{figure} and \\end{figure}, for \\input in a document that loads
pgfplots and xcolor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from results.panels import BAR, Grid, Panel, Series, bar_positions, labels

_HEAD = r"""% In the preamble: \usepackage{xcolor,pgfplots} \pgfplotsset{compat=1.16}
\begin{figure}[t]
\centering"""
_ESCAPES = {
    "\\": r"\textbackslash{}",
    **{c: "\\" + c for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}
_MARKS = {"o": "*", "s": "square*", "^": "triangle*", "D": "diamond*"}
_MARKS["v"] = "triangle*, mark options={rotate=180}"

# Options of the axes and of the plots of each kind, beside those of all.
_AXES: dict[str, list[str]] = {
    "lines": [],
    "bars": ["ybar=0pt", "bar shift=0pt"],
    "stacked": ["ybar stacked", "bar width=0.7"],
    "horizontal": [
        "xbar stacked",
        "bar width=0.7",
        "y dir=reverse",
        "scale only axis",
        "y tick label style={align=right, text width=0.33\\linewidth}",
    ],
    "steps": [],
}
_PLOTS = {
    "lines": "{colour}, line width=1pt, mark={mark}, mark size=1.5pt",
    "bars": "draw=none, fill={colour}",
    "stacked": "draw=none, fill={colour}",
    "horizontal": "draw=none, fill={colour}",
    "steps": "const plot, {colour}, fill={colour}, fill opacity=0.25",
}


def tikz(grid: Grid, legend: str) -> str:
    """The figure of all panels, row by row, as LaTeX; `legend` names it in the document.

    Raises ValueError for a panel of another kind than those below, or with reference lines.

    >>> panel = Panel("a_b", "lines", "stage", "units", [1], [Series("dynamic", [20.5])])
    >>> print(tikz([[panel]], "stages"))  # doctest: +ELLIPSIS
    % In the preamble: ...
    \\begin{figure}[t]
    \\centering
    \\definecolor{dynamic}{HTML}{D55E00}
    \\begin{tikzpicture}
    \\begin{axis}[
      title={a\\_b},
      ...
    ]
    \\addlegendimage{...}
    \\addlegendentry{dynamic}
    \\addplot[...] coordinates {(1,20.5)};
    \\end{axis}
    \\end{tikzpicture}
    <BLANKLINE>
    \\pgfplotslegendfromname{stages}
    \\end{figure}
    <BLANKLINE>
    """
    _require_known(grid)
    named = labels(grid)
    lines = [_HEAD]
    lines += [f"\\definecolor{{{_name(s)}}}{{HTML}}{{{s.colour[1:]}}}" for s in named.values()]
    columns = max(len(row) for row in grid)
    for row in grid:
        panels = [panel for panel in row if panel]
        for panel in panels:
            first = panel is next(p for r in grid for p in r if p)
            lines += _axis(panel, columns, legend, list(named.values()) if first else [])
            lines += ["\\hfill"] if panel is not panels[-1] else []
        lines.append("")
    return "\n".join([*lines, f"\\pgfplotslegendfromname{{{legend}}}", "\\end{figure}", ""])


def _require_known(grid: Grid) -> None:
    for panel in (panel for row in grid for panel in row if panel):
        if panel.kind not in _PLOTS or panel.references:
            raise ValueError(
                f"panel {panel.title!r}, a {panel.kind} plot, cannot be written as LaTeX: "
                f"expected {', '.join(_PLOTS)}, and no reference lines"
            )


def escape(text: str) -> str:
    """Text in which LaTeX reads every character as itself.

    >>> escape("50 % of a_b")
    '50 \\\\% of a\\\\_b'
    """
    return "".join(_ESCAPES.get(c, c) for c in text)


def _name(series: Series) -> str:
    """The name of a series' colour: letters and digits."""
    return "".join(c for c in series.label if c.isalnum() and c.isascii()) or "values"


def _axis(panel: Panel, columns: int, legend: str, entries: Iterable[Series]) -> list[str]:
    options = [*_options(panel, columns), *_AXES[panel.kind]]
    if panel.kind == "bars":
        options.append(f"bar width={_number(BAR / len(panel.series))}")
    heads = []
    for series in entries:
        heads.append(f"\\addlegendimage{{only marks, mark=square*, {_name(series)}}}")
        heads.append(f"\\addlegendentry{{{escape(series.label)}}}")
    if heads:
        options += [f"legend to name={legend}", "legend columns=-1", "legend style={draw=none}"]
    return [
        "\\begin{tikzpicture}",
        "\\begin{axis}[",
        *(f"  {option}," for option in options),
        "]",
        *heads,
        *_plots(panel),
        "\\end{axis}",
        "\\end{tikzpicture}",
    ]


def _options(panel: Panel, columns: int) -> list[str]:
    names, values = ("y", "x") if panel.horizontal else ("x", "y")
    options = [
        "title={" + "\\\\".join(map(escape, panel.title.split("\n"))) + "}",
        "title style={font=\\small, align=center}",
        f"xlabel={{{escape(panel.xlabel)}}}",
        f"ylabel={{{escape(panel.ylabel)}}}",
        "label style={font=\\small}",
        "tick label style={font=\\footnotesize}",
        f"width={_number(0.55 if panel.horizontal else 0.98 / columns)}\\linewidth",
        f"height={_number(1.8 + 0.45 * len(panel.positions)) if panel.horizontal else '4.5'}cm",
    ]
    if panel.ticks:
        at = [position for position, _ in panel.ticks]
        texts = ",".join(f"{{{escape(name)}}}" for _, name in panel.ticks)
        options += [
            f"{names}tick={{{','.join(map(_number, at))}}}",
            f"{names}ticklabels={{{texts}}}",
            f"{names}min={_number(min(at) - 0.5)}, {names}max={_number(max(at) + 0.5)}",
        ]
        if not panel.horizontal and len(at) > 2:
            options.append("x tick label style={rotate=30, anchor=east}")
    if panel.limits:
        low, high = panel.limits
        options.append(f"{values}min={_number(low)}, {values}max={_number(high)}")
    elif panel.kind != "lines":  # bars stand on zero, which pgfplots leaves out
        reach = (v for s in panel.series for v in (*s.values, *s.lo) if not math.isnan(v))
        options.append(f"{values}min={_number(min(0.0, *reach))}")
    return options


def _plots(panel: Panel) -> list[str]:
    lines = []
    for series, positions in zip(panel.series, bar_positions(panel), strict=True):
        style = _PLOTS[panel.kind].format(colour=_name(series), mark=_MARKS[series.marker])
        if len(series.lo):
            style += ", error bars/.cd, y dir=both, y explicit"
        end = " \\closedcycle" if panel.kind == "steps" else ""
        points = " ".join(_points(panel, series, list(positions)))
        lines.append(f"\\addplot[{style}] coordinates {{{points}}}{end};")
    return lines


def _points(panel: Panel, series: Series, positions: list[float]) -> Iterable[str]:
    values = list(series.values)
    if panel.kind == "steps":
        values.append(values[-1])  # the last edge
    if panel.kind in ("stacked", "horizontal"):  # pgfplots stacks by order: none may be left out
        values = [0.0 if math.isnan(value) else value for value in values]
    for k, (at, value) in enumerate(zip(positions, values, strict=True)):
        if not math.isnan(value):
            first, second = (value, at) if panel.horizontal else (at, value)
            yield f"({_number(first)},{_number(second)}){_interval(series, k)}"


def _interval(series: Series, k: int) -> str:
    """The interval of a point, by how far its ends are above and below."""
    if not len(series.lo) or math.isnan(series.lo[k]):
        return ""
    above, below = series.hi[k] - series.values[k], series.values[k] - series.lo[k]
    return f" += (0,{_number(above)}) -= (0,{_number(below)})"


def _number(value: float) -> str:
    return f"{float(value):.6g}" if abs(value) < 1e5 else f"{float(value):.0f}"
