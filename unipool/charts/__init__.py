"""Charts: what they show is given in tables, how they look is decided here.

A chart is as wide as what it stands in. Where there is a choice (of the trial list, of
the metric ...), a chart brings its own selectors; with ``fixed`` it takes the given
values, and else the first ones, and has none, as a picture needs it.
"""

from unipool.charts.cost import cost_chart
from unipool.charts.det import DetCurve, det_chart, det_curve, det_curves_chart
from unipool.charts.errors import condition_chart, difference_chart, error_chart
from unipool.charts.layers import attention_chart, layer_chart, probe_chart
from unipool.charts.maps import map_chart
from unipool.charts.saving import Chart, page_script, page_spec, save_chart
from unipool.charts.scores import histogram, score_chart
from unipool.charts.stacking import empty_chart, stacked
from unipool.charts.training import training_chart

__all__ = [
    "Chart",
    "DetCurve",
    "attention_chart",
    "condition_chart",
    "cost_chart",
    "det_chart",
    "det_curve",
    "det_curves_chart",
    "difference_chart",
    "empty_chart",
    "error_chart",
    "histogram",
    "layer_chart",
    "map_chart",
    "page_script",
    "page_spec",
    "probe_chart",
    "save_chart",
    "score_chart",
    "stacked",
    "training_chart",
]
