"""What the README tells people to do can be done."""

import re
from pathlib import Path

import pytest
import yaml

from workflow.config import problems_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_it_begins_with_the_two_commands():
    commands = [
        line.split("#")[0].strip() for line in blocks(README, "sh")[0].split("\n")
    ]

    assert commands[:2] == ["make table", "make test"]


def test_its_config_is_without_mistakes():
    config = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
    (example,) = blocks(README, "yaml")
    for section, content in yaml.safe_load(example).items():
        if isinstance(content, dict):
            config[section] |= content
        else:
            config[section] = content

    assert problems_of(config, ROOT / "workflow/schemas/config.schema.yaml") == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8"))
    local = [link for link in links if not link.startswith("http")]

    assert [link for link in local if not (page.parent / link).exists()] == []


def test_every_page_is_linked_from_somewhere():
    text = "".join(page.read_text("utf-8") for page in PAGES)

    assert [page.name for page in PAGES[1:] if f"{page.name})" not in text] == []
