"""What things are called in the report, and how numbers are spelled."""

import pandas as pd

COSTS = {
    "backend_parameters": "Parameters of the backend",
    "train_seconds": "Training, seconds",
    "extract_seconds_shared": "Extraction, its share, seconds",
    "extract_seconds": "Extraction, all of it, seconds",
    "embed_seconds": "Embedding, seconds",
    "score_seconds": "Scoring, seconds",
    "cache_bytes": "Cache, bytes",
    "train_memory_bytes": "Memory of the training, bytes",
    "activation_bytes": "Activations of a batch, bytes",
}
OF_SYSTEM = ("corpus", "view", "backbone", "backend", "scoring")
PARTS = {
    "trained": "Trained on",
    "backbone": "Backbone",
    "backend": "Backend",
    "scoring": "Scoring",
}
"""What a system's name is made of."""

_METRICS = {
    "eer": "EER",
    "eer_star": "EER*",
    "cllr": "Cllr",
    "min_cllr": "min Cllr",
    "published_eer": "published EER",
    "published_eer_star": "published EER*",
    "published_min_dcf": "published minDCF",
}


def metric_title(metric: str) -> str:
    """Spell a metric's name: ``min_dcf_p01`` is minDCF(0.01)."""
    for start, title in (("min_dcf_p", "minDCF"), ("act_dcf_p", "actDCF")):
        digits = metric.removeprefix(start)
        if digits != metric and digits.isdigit():
            return f"{title}(0.{digits})"
    return _METRICS.get(metric, metric.replace("_", " "))


def axis_title(metric: str) -> str:
    """Spell a metric's name with the unit it is shown in."""
    return metric_title(metric) + (" (%)" if is_percent(metric) else "")


def is_percent(metric: str) -> bool:
    """Say whether a metric is a rate that is shown in percent."""
    name = metric.removeprefix("published_")
    return name == "eer" or name.startswith("eer_")


def num_decimals(metric: str) -> int:
    """Say how many decimals are shown; the published cost is a hundredth of others."""
    if is_percent(metric):
        return 2
    return 5 if metric == "published_min_dcf" else 3


def shown(metric: str, value: float) -> float:
    """Give a metric in the unit it is shown in."""
    return 100 * value if is_percent(metric) else value


def spell_interval(metric: str, value: float, low: float, high: float) -> str:
    """Spell a metric with its interval."""
    if pd.isna(value):
        return "not known"
    digits, unit = num_decimals(metric), " %" if is_percent(metric) else ""
    text = f"{shown(metric, value):.{digits}f}{unit}"
    if pd.isna(low) or pd.isna(high):
        return text
    ends = (f"{shown(metric, end):.{digits}f}" for end in (low, high))
    return f"{text} [{', '.join(ends)}]"


def spell_cost(cost: str, value: float) -> str:
    """Spell a cost with its unit."""
    if pd.isna(value):
        return "not known"
    if cost.endswith("_bytes"):
        for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
            if value >= size:
                return f"{value / size:.3g} {unit}"
        return f"{value:.0f} bytes"
    if cost.endswith("_seconds") or "_seconds_" in cost:
        if value >= 7200:
            return f"{value / 3600:.1f} h"
        return f"{value / 60:.1f} min" if value >= 120 else f"{value:.3g} s"
    return f"{value:,.0f} parameters"


def trained_on(corpus: str, view: str) -> str:
    """Name a corpus with the view of it, as run folders do."""
    return corpus if view in ("full", "") else f"{corpus}@{view}"
