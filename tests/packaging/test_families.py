"""docs/families.md: each paper of the survey has one place, and what it names is there."""

import csv
import inspect
import json
import re
from functools import reduce
from pathlib import Path

import pytest

import ensemble_lab as lab
from recipes import bibliography, write_families
from recipes.write_families import FAMILIES, LEVELS, Family, faults, rows_of, written

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAPERS, PLACES = rows_of(write_families.BIBLIOGRAPHY), rows_of(write_families.PLACES)
PAGE = (ROOT / "docs/families.md").read_text(encoding="utf-8")
# The design's map, level by level.
MAP = {
    "answers": "voting, cascades, big-little, model selection, routing, bandits, committees",
    "tokens": "speculative decoding, big-little decoding, contrastive and ensemble decoding",
    "training": "bagging, boosting, stacking, negative correlation, distillation, training on"
    " another model's output, GAN, dual transformers, submodels, mixture of experts",
    "systems": "split and distributed inference, serving several models",
}


def test_the_page_is_what_the_command_writes():
    assert written(PAPERS, PLACES) == PAGE


def test_bibliography_places_package_and_notebooks_agree():
    assert len(PAPERS) == 212
    assert faults(PAPERS, PLACES) == []


def test_each_paper_is_on_the_page_once_under_its_family():
    sections = re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]
    rows = {part.splitlines()[0].lower(): part.count("\n| ") for part in sections}
    for family in FAMILIES:  # less the head of the table
        here = sum(row["family"] == family.name for row in PLACES)
        assert rows[family.name.lower()] == here + bool(here)
    for paper in PAPERS:
        assert PAGE.count(f"[{paper['title']}]({paper['urls'].split()[0]})") == 1, paper["key"]


def test_families_are_those_of_the_map_in_the_order_of_the_levels():
    assert {of: ", ".join(f.name for f in FAMILIES if f.level == of) for of in LEVELS} == MAP
    titles = re.findall(r"^##+ (.*)$", PAGE, flags=re.MULTILINE)
    expected = [t for of in MAP for t in (of, *MAP[of].split(", "))]
    assert [title.lower() for title in titles] == [title.lower() for title in expected]


def test_what_is_awaited_is_said_where_it_is_awaited():
    for family in FAMILIES:
        start = "\n".join(write_families.section(family, [], {}))
        assert ("Not built yet." in start) == (not family.names)
        number = family.notebook.split("_")[0]
        assert (f"Notebook {number} is not written yet." in start) == family.notebook.isdigit()
        assert (f"in notebook [{number}](../" in start) != family.notebook.isdigit()
        assert all(f"`lab.{name}`" in start for name in family.names.split())


def test_links_inside_the_page_lead_somewhere():
    for path in re.findall(r"\]\((\.\./[^)]+|bibliography\.csv)\)", PAGE):
        assert (ROOT / "docs" / path).exists(), path
    headings = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^##+ (.*)$", PAGE, flags=re.MULTILINE)
    }
    anchors = re.findall(r"\]\(#([^)]+)\)", PAGE)
    assert len(anchors) == len(FAMILIES) and set(anchors) <= headings


def changed(key, **cells):
    """The places with other cells in one row."""
    assert any(row["key"] == key for row in PLACES)
    return [row | cells if row["key"] == key else row for row in PLACES]


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (PLACES[1:], "hu2023mosel: this paper has no row"),
        ([*PLACES, PLACES[5]], "kolawole2024revisiting: a row without a paper, or its second"),
        ([*PLACES, PLACES[5] | {"key": "nobody2020none"}], "nobody2020none: a row without a paper"),
        (changed("hu2023mosel", names="GruopRouter"), "ensemble_lab has no 'GruopRouter'"),
        (changed("hu2024routerbench", names="metrics.aqi"), "ensemble_lab has no 'metrics.aqi'"),
        (changed("hu2023mosel", notebook="03_router"), "there is no notebook '03_router'"),
        (changed("hu2023mosel", notebook="08_bagging"), "uses none of GroupRouter"),
        (changed("hu2023mosel", status="mapped"), "runnable needs a public name"),
        (changed("hu2023mosel", names=""), "runnable needs a public name"),
        (changed("hu2023mosel", family="modality"), "no family is called 'modality'"),
        (changed("mao2023green", note=""), "mao2023green: say why"),
        (changed("mao2023green", note="see `lab.Greener`"), "ensemble_lab has no 'Greener'"),
        (changed("mao2023green", notebook="08_bagging"), "nothing that runs in it"),
        (changed("mao2023green", note="not built yet: notebook 03"), "notebook 03 is there now"),
    ],
)
def test_planted_faults_are_named(places, said):
    assert any(said in sentence for sentence in faults(PAPERS, places))


def test_faults_of_families_and_of_the_bibliography_are_named():
    gone = [*FAMILIES, Family("guessing", "answers", "Guess", "01_voting")]
    assert faults(PAPERS, PLACES, gone) == [
        "guessing: ensemble_lab has no 'Guess'",
        "guessing: notebook '01_voting' uses none of Guess",
    ]
    for names in ("", "MajorityVote"):
        came = [*FAMILIES, Family("guessing", "answers", names, "01")]
        assert faults(PAPERS, PLACES, came) == ["guessing: notebook 01 is there now; say what runs"]
    twice = [*PAPERS, PAPERS[0]]
    assert "hu2023mosel: two papers have this key" in faults(twice, PLACES)


def test_nothing_is_written_while_something_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(write_families, "WRITTEN", tmp_path / "families.md")
    rows = {write_families.BIBLIOGRAPHY: PAPERS, write_families.PLACES: PLACES[1:]}
    monkeypatch.setattr(write_families, "rows_of", rows.get)
    with pytest.raises(SystemExit, match="hu2023mosel: this paper has no row"):
        write_families.main()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("citation", "expected"),
    [
        (
            "Kim, A. and Lee, B., 3 May 2024 (v2), Small: A Title, With a Comma, ICLR 2024",
            ("Kim, A. and Lee, B", "Small: A Title, With a Comma", "ICLR 2024"),
        ),
        (
            "A Kim, B Lee, 2023, Is It Large? arXiv preprint arXiv:2301.00001",
            ("A Kim, B Lee", "Is It Large?", "arXiv preprint arXiv:2301.00001"),
        ),
        ("Ann Kim, May 14, 2024, News of 2024", ("Ann Kim", "News of 2024", "")),
    ],
)
def test_a_citation_is_taken_apart(citation, expected):
    assert bibliography.parts(citation, "") == expected


def test_a_citation_that_cannot_be_taken_apart_is_named():
    with pytest.raises(ValueError, match=r"'No date here' has no date.*BY_HAND"):
        bibliography.parts("No date here", "")


def test_keys_and_years_of_odd_rows():
    row = {"citation": "Łucja Łaz, {}, Ümit: B", "year": "", "urls": "https://arxiv.org/abs/2308.1"}
    rows = [row | {"citation": row["citation"].format(2023), "sections": "x"}] * 3
    made = bibliography.entries(rows)
    assert [m["key"] for m in made] == ["laz2023umit", "laz2023umitb", "laz2023umitc"]
    long = ", ".join(["Ann Kim"] * 100)
    assert bibliography.shortened(long).endswith("Kim and others")
    assert len(bibliography.shortened(long)) < 180


def test_the_bibliography_has_whole_facts_and_no_abstracts():
    for paper in PAPERS:
        assert paper["title"] and paper["authors"] and paper["urls"].startswith("http")
        assert re.fullmatch(r"(19|20)\d\d|", paper["year"])
        assert all(len(cell) < 300 for name, cell in paper.items() if name != "urls")


def test_the_recipe_writes_the_file_that_a_list_gives(tmp_path, monkeypatch):
    monkeypatch.setattr(bibliography, "WRITTEN", tmp_path / "made.csv")
    with (tmp_path / "bibliography.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("sections", "citation", "year", "urls"))
        table.writerow(("voting", "A Kim, 2023, Vote, ICML 2023", "2023", "https://example.org"))
    bibliography.main(["--raw", str(tmp_path)])
    assert (tmp_path / "made.csv").read_text(encoding="utf-8") == (
        "key,title,authors,year,venue,urls,sections\n"
        "kim2023vote,Vote,A Kim,2023,ICML 2023,https://example.org,voting\n"
    )


def head(paper):
    """A title up to its first colon or comma, in lower case."""
    return re.split(r"[:,]", paper["title"])[0].lower()


def is_cited(paper, names, notebook):
    """Whether a name's module has the paper's title or number, or its notebook has the title."""
    found = [inspect.unwrap(reduce(getattr, name.split("."), lab)) for name in names.split()]
    sources = [Path(inspect.getsourcefile(one)).read_text(encoding="utf-8") for one in found]
    number = re.search(r"\d{4}\.\d{5}", paper["urls"])
    if notebook:
        sources.append((ROOT / f"notebooks/{notebook}.ipynb").read_text(encoding="utf-8"))
    return any(
        head(paper) in " ".join(source.lower().split()) or (number and number[0] in source)
        for source in sources
    )


SAME_WORK = {"hu2024mars"}  # RouterBench under its first title


@pytest.mark.parametrize(
    "row", [row for row in PLACES if row["status"] == "runnable"], ids=lambda row: row["key"]
)
def test_what_runs_names_its_paper_in_its_module_or_notebook(row):
    [paper] = [paper for paper in PAPERS if paper["key"] == row["key"]]
    assert row["key"] in SAME_WORK or is_cited(paper, row["names"], row["notebook"])


def test_a_name_of_another_paper_does_not_count_as_cited():
    papers = {paper["key"]: paper for paper in PAPERS}
    assert not is_cited(papers["kang2017neurosurgeon"], "MajorityVote", "01_voting")
    assert not is_cited(papers["zhao2024eagle"], "GroupRouter", "")


def papers_of(notebook):
    """Title and link of each paper in a notebook's list."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    for part in re.findall(r"^### Papers\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL):
        yield from re.findall(r"\*([^*\n]+)\*(?:\]\((\S+?)\))?", part)


def plain(title):
    return re.sub(r"[^a-z0-9]", "", title.lower())


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebooks_papers_are_those_of_the_bibliography(notebook):
    by_title = {plain(paper["title"]): paper["urls"] for paper in PAPERS}
    by_number = {
        number: plain(paper["title"])
        for paper in PAPERS
        for number in re.findall(r"\d{4}\.\d{5}", paper["urls"])
    }
    listed = list(papers_of(notebook))
    assert listed, "the notebook lists no papers"
    for title, link in listed:
        number = re.search(r"\d{4}\.\d{5}", link)
        if plain(title) in by_title and link:
            assert (number[0] if number else link) in by_title[plain(title)]
        if number and number[0] in by_number:
            assert plain(title) == by_number[number[0]]
