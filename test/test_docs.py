"""Documentation that can be checked: it builds without a warning, links lead somewhere, generated
pages are as in the code, and a page reads the same in a checkout, on a forge and as a site.
"""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from markdown import markdown
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMONMARK = MarkdownIt("commonmark").enable("table")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    tokens = COMMONMARK.parse(page.read_text())
    headings = [text.content for mark, text in pairwise(tokens)
                if mark.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build a copy's or the checkout's documentation, as `make docs` does."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)], cwd=folder,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def test_site_builds_without_a_warning_and_asks_no_other_server(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path)
    assert done.returncode == 0, done.stdout
    for page in tmp_path.rglob("*.html"):
        loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"([^\"]*)\"",
                            page.read_text())
        assert not [address for address in loaded if "//" in address], page


@pytest.mark.parametrize(("text", "said"), [
    ("[gone](nowhere.md)", "nowhere.md"),
    ("[gone](time.md#nowhere)", "nowhere"),
    ("[gone](/explanation/time.md)", "absolute"),
])
def test_a_wrong_link_ends_the_build(text: str, said: str, tmp_path: Path) -> None:
    copy = copy_of_docs(tmp_path)
    with (copy / "docs" / "explanation" / "flow.md").open("a") as page:
        page.write(f"\n{text}\n")
    done = build(copy, tmp_path / "site")
    assert done.returncode != 0
    assert said in done.stdout


def test_a_page_that_no_menu_names_ends_the_build(tmp_path: Path) -> None:
    copy = copy_of_docs(tmp_path)
    (copy / "docs" / "orphan.md").write_text("# Orphan\n")
    done = build(copy, tmp_path / "site")
    assert done.returncode != 0
    assert "orphan.md" in done.stdout


def copy_of_docs(folder: Path) -> Path:
    """Copy what a site is built from, with links in place of big files."""
    copy = folder / "copy"
    for file in [ROOT / "mkdocs.yml", *(ROOT / "docs").rglob("*")]:
        target = copy / file.relative_to(ROOT)
        if file.suffix in (".md", ".yml"):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.read_text())
        elif file.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file)
    return copy


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        name, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each_page
def test_page_reads_the_same_on_a_forge_and_as_a_site(page: Path) -> None:
    # Markdown has dialects: a list or a block of code that is one here and none there.
    # (Paragraphs are not counted: one loose item makes a whole list loose in CommonMark only.)
    text = page.read_text()
    site = markdown(text, extensions=["fenced_code", "tables", "toc"])
    forge = COMMONMARK.render(text)

    def structure(html: str) -> Counter[str]:
        return Counter(re.findall(
            r"<(pre|li|ol|ul|table|td|th|h\d|img|a|em|strong|code|blockquote)\b", html))

    assert structure(site) == structure(forge)


def test_reference_is_as_in_the_code() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "reference.py"), "--check"],
                          text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", ["commands", "launch", "parameters"])
def test_reference_leaves_nothing_unexplained(page: str) -> None:
    rows = [line for line in (ROOT / "docs" / "reference" / f"{page}.md").read_text().splitlines()
            if line.startswith("| `")]
    assert rows
    assert not [row for row in rows if row.endswith("|  |")]


def test_safety_case_rests_on_tests_that_exist_and_faults_that_were_safe() -> None:
    text = (ROOT / "docs" / "explanation" / "safety-case.md").read_text()
    table = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    words = [set(re.findall(r"`([^`]+)`", line)) for line in table]
    tests = {word for found in words for word in found if word.startswith("test/")}
    patterns = {word for found in words for word in found} - tests
    assert len(table) == 16
    assert all(found & tests for found in words)
    assert not [test for test in tests if not (ROOT / test).is_file()]
    rows = json.loads((ROOT / "docs" / "results" / "faults.json").read_text())["rows"]
    assert not [name for name, row in rows.items() if not row["safe"]]
    assert not [p for p in patterns if not fnmatch.filter(rows, p)]
    named = {name for pattern in patterns for name in fnmatch.filter(rows, pattern)}
    assert set(rows) - named == set()


@pytest.mark.parametrize("page", ["mathematics", "safety-case", "laws"])
def test_files_that_a_page_names_are_there(page: str) -> None:
    text = (ROOT / "docs" / "explanation" / f"{page}.md").read_text()
    named = re.findall(r"`((?:lnn_ros|test|benchmark|docs)/[\w/]+\.(?:py|json|md))`", text)
    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]
