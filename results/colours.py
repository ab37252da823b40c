"""The colours and markers of all figures."""

from __future__ import annotations

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = {
    "dynamic": "#D55E00",
    "static": "#0072B2",
    "joint": "#009E73",
    "residual": "#BBBBBB",
    "dead": "#333333",
    "different": "#CC79A7",
    "same": "#E69F00",
}
# The factors and classes whose colours parts of the variance have.
LIKE = {"static_only": "static", "dynamic_only": "dynamic", "both": "joint", "neither": "residual"}
# Of anything else.
OTHER = "#555555"
MARKERS = {"dynamic": "o", "static": "s", "different": "^", "same": "D"}
MARKERS |= {"joint": "D", "residual": "v"}
# Of lines behind the data, and of intervals on bars.
GREY, DARK = "#888888", "#333333"
