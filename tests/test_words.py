"""The words that people type into a search lead to the page on troubleshooting."""

import json
import re
from urllib.parse import quote

import pytest
import test_browser
from playwright.sync_api import expect
from sphinx.search.en import SearchEnglish

pytestmark = pytest.mark.slow

browser = test_browser.browser
TITLE = "Troubleshooting"
WORDS = [
    "10th",
    "125th",
    "254th",
    "4093rd",
    "API Key Error: Simulation Not Running",
    "macOS 26",
    "pyswmm<=1.5.1",
    "THREADS",
    "OpenMP",
    "overwritten",
    "same folder",
    "stuck",
    "freezes",
    "deadlock",
    "hangs forever",
    "not faster",
    "same score",
    "list stays empty",
    "hyperthreading",
    "PicklingError",
    "mymodule.rule",
    "pystorms 2",
    "PYSTORMS_CACHE",
]


@pytest.fixture(scope="module")
def index(site):
    """Return the words of the site's search, each with the pages that it stands on."""
    text = (site / "searchindex.js").read_text("utf-8")
    stored = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    names, found = stored["docnames"], {}
    for table in (stored["terms"], stored["titleterms"]):
        for word, pages in table.items():
            pages = [pages] if isinstance(pages, int) else pages
            found.setdefault(word, set()).update(names[page] for page in pages)
    return found


def search(index, query):
    """Return the pages that hold all words of a query, as the site's search does."""
    language = SearchEnglish({})
    words = [word for word in re.findall(r"\w+", query.lower()) if not word.isdigit()]
    stems = [language.stem(word) for word in words if word not in language.stopwords]
    assert stems
    return set.intersection(*(index.get(stem, set()) for stem in stems))


@pytest.mark.parametrize("words", WORDS)
def test_the_index_has_the_words_that_people_type(words, index):
    assert "troubleshooting" in search(index, words)


def test_the_index_finds_no_page_for_what_is_nowhere(index):
    assert search(index, "hippopotamus") == set()


@pytest.mark.skipif(test_browser.CHROMIUM is None, reason="no Chromium here")
def test_the_search_of_the_site_finds_the_words_that_people_type(browser, site):
    missing = []
    with test_browser.open_page(browser) as page:
        for words in WORDS:
            page.goto(f"{(site / 'search.html').as_uri()}?q={quote(words)}")
            expect(page.locator("#search-results h2")).to_have_text("Search Results")
            if TITLE not in page.locator("#search-results li a").all_text_contents():
                missing.append(words)
    assert missing == []
