"""The page: one file with all that it needs."""

import json
from importlib.resources import files
from typing import Any

import itables
import jinja2

from unipool.charts import page_script, page_spec
from unipool.report.figures import Figure

HERE = files("unipool.report")
THEIRS = files(itables)


def page(
    *, figures: list[Figure], tables: dict[str, dict[str, Any]], **facts: Any
) -> str:
    """Fill in the template.

    Args:
        figures: those with nothing to show are left out.
        tables: by name.
        facts: all else that ``report.html`` names.

    Returns:
        HTML; all text of the facts is escaped.
    """
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    template = environment.from_string(_text("report.html"))
    return template.render(
        style=_text("report.css"),
        script=_within_script(_text("report.js")),
        vega=_within_script(page_script()),
        datatables=_within_script(
            (THEIRS / "html/dt_bundle.js").read_text(encoding="utf-8")
        ),
        charts={one.name: _json(page_spec(one.page)) for one in figures if one.page},
        tables={name: _json(table) for name, table in tables.items() if table["rows"]},
        **facts,
    )


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """Spell JSON that can stand in a script element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _within_script(code: str) -> str:
    """Break what would end a script element; within strings it means the same."""
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")
