"""Write `docs/bibliography.csv` from the survey's list of papers: facts only, one row a paper.

    python -m recipes.bibliography --raw DIR

`DIR/bibliography.csv` has the columns `sections`, `citation`, `year` and `urls`. A citation is free
text: mostly authors, a date, the title, where it appeared. Those in another order are in `BY_HAND`.
The key of a paper is the first author's family name, the year and the first word of the title.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import unicodedata
from pathlib import Path

from ensemble_lab.core.whole import write_whole

WRITTEN = Path(__file__).resolve().parents[1] / "docs/bibliography.csv"
COLUMNS = ("key", "title", "authors", "year", "venue", "urls", "sections")
MOST = 160  # characters of a list of authors; a longer one ends in "and others"

MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|NOV|Dec)[a-z]*"
DATE = (
    rf"(?:\d{{1,2}} )?{MONTH}(?: \d{{1,2}})?,? \d{{4}}(?: \(v\d\))?|"
    rf"(?:{MONTH} \d{{1,2}}, )?\(?(?:19|20)\d\d\)?(?: \(v\d\))?"
)
AUTHORS_DATE_REST = re.compile(rf"^(?P<authors>.*?)[,.]? ?\(?\b(?:{DATE})\)?[.,:]? ?(?P<rest>.+)$")
# Where it appeared begins with one of these words after a comma or a full stop.
VENUE = re.compile(
    r"[,.?]?[”\"]?,? (?=(?:In:? )?(?:19|20)\d\d (?:IEEE|\w+ )|In (?:\d|Proc|Annual|Multiple)|"
    r"arXiv[: ]|ICLR 20|ICML|ICPP|ICSOB|IEEE (?:Acc|Int|Trans|internet of)|Proc(?:eedings|\.) |"
    r"Advances in Neural|ACM Comput|Master'?s Thesis|Ph\.?D\.? [Tt]hesis|Chapter \d|SIGPLAN|"
    r"J\. Low|EdgeFM|EuroMLSys|PMLR|38th Conf|Network: |Neural Networks, Vol|Medical Image|"
    r"NVIDIA (?:Triton|Tech)|Menlo|Accenture$|CIO$|CRN$|Pitch Book$|Book$|Apache 2|Apress|"
    r"University of California|Department of|Generative AI in C|Building (?:LLMs for|Generative)|"
    r"Lecture Notes|OpenVINO™ tool|in Inter|in Proc|In: 6th|Yoshitomo)"
)
# Start of a citation: authors, and where the title begins when it is not after the date.
BY_HAND = {
    "AI: Alan Wake": ("01.AI: Alan Wake and others", "Yi-Lightning"),
    "Kim, S., Mangalam": (None, "Big little transformer decoder"),
    "Leviathan, Y.": (None, "Fast inference from transformers"),
    "Yiding Wang, Kai Chen": (None, "Tabi: An efficient"),
    "Kaya Y.": (None, "Shallow-deep networks"),
    "Ensemble Transformer for": (
        "Yoshitomo Matsubara, Luca Soldaini, Eric Lind, Alessandro Moschitti",
        "Ensemble Transformer for",
    ),
    "Yungeng Zhang": (None, "Learning Dual Transformer Network"),
    "Xian-Feng Han": (None, "Dual Transformer for Point"),
    "Mohammed Alhamid": (None, "Ensemble Models"),
    "Shuning Chang": (None, "Revisiting Vision Transformer"),
    "T. G. Dietterich": (None, "Ensemble methods in"),
    "Huang, G., Chen, D.": (None, "Multi-scale dense"),
    "Y. Matsubara, M. Levorato": (None, "Split computing and"),
    "L. Li, K. Ota": (None, "Deep learning for smart"),
    "C. Lo, Y.-Y. Su": (None, "A dynamic deep"),
    "Schwartz, R.": (None, "The right tool"),
    "Naftaly, U.": (None, "Optimal ensemble averaging"),
    "Y. Liu and X. Yao": (None, "Ensemble Learning via"),
    "Rui Wang, Qibing Bai": (None, "LightHuBERT"),
    "Y. Chen, X. Dai": (None, "Mobile-Former"),
    "Q. Sun, Z. Yin": (None, "Corex"),
    "Jashwant Raj": (None, "Cocktail: A"),
    "Francisco Romero": (None, "INFaaS"),
    "Praveen Joshi": (None, "Enabling All In-Edge"),
    "Daniele Jahier": (None, "CRIME"),
    "Cohere Toolkit": ("Cohere", "Cohere Toolkit"),
    "Vinod Vijay": (None, "Latency-Critical"),
    "Aarushi Kansal": (None, "Chapter 7: Monitoring"),
    "Lightning AI": ("Lightning AI", "Serve LLMs"),
    "Ryan Lucchese": (
        "Ryan Lucchese, Niki Birkner, Yaron Hagai, Virginia Adams",
        "A practitioner's guide",
    ),
    "Eldar Kurtic": (
        "Eldar Kurtic, Alexandre Marques, Shubhra Pandit, Mark Kurtz, Dan Alistarh",
        '"Give Me BF16',
    ),
    "Ali Rahmanian": ("Ali Rahmanian", "Edge Orchestration"),
}
# The list leaves these out.
TITLES = {
    "2403.07648": "Characterization of Large Language Model Development in the Datacenter",
}
# Names that are no person's: the whole name is in the key.
GROUPS = ("NVIDIA", "Apple", "Intel", "Cohere", "Deci Engineering Team", "LMDeploy Contributors",
          "Mastering LLM", "Lightning AI", "01.AI")  # fmt: skip
STOP = {"a", "an", "the", "on", "in", "is", "to", "of", "for", "from", "how", "why"}


def parts(citation, urls):
    """Authors, title and venue of a citation."""
    for start, (authors, title) in BY_HAND.items():
        if citation.startswith(start):
            at = citation.index(title)
            authors, rest = authors or citation[:at], citation[at:]
            break
    else:
        missing = [title for number, title in TITLES.items() if number in urls]
        if missing:
            return neat(citation), missing[0], ""
        found = AUTHORS_DATE_REST.match(citation)
        if not found:
            raise ValueError(f"{citation!r} has no date before its title; add it to BY_HAND")
        authors, rest = found["authors"], found["rest"]
    cut = VENUE.search(rest)
    title, venue = (rest[: cut.start()], rest[cut.end() :]) if cut else (rest, "")
    if cut and rest[cut.start()] == "?":
        title += "?"
    title = re.sub(rf", {MONTH} \d{{4}}$", "", title.strip(" ,.“”"))
    return neat(authors), neat(title), "" if venue.startswith(authors[:20]) else neat(venue)


def neat(text):
    """Without marks at both ends, footnote signs, and with single spaces."""
    text = re.sub(r"\s+", " ", re.sub(r"∗|(?<=[a-z])1(?=,)", "", text).replace(" ,", ","))
    text = text.strip(" ,.;:“”")
    return text.strip('"') if text.count('"') % 2 else text


def year_of(row):
    """The year; where the list has none, that of the paper's number at arXiv."""
    number = re.search(r"arxiv\.org/\w+/(\d\d)\d\d\.", row["urls"])
    return row["year"] or (f"20{number[1]}" if number else "")


def shortened(authors):
    """A long list of authors, cut after a name."""
    authors = re.sub(r"Doctoral Thesis$", "", authors)
    if len(authors) <= MOST:
        return authors
    return authors[:MOST].rsplit(",", 1)[0] + " and others"


def family_name(authors):
    """The first author's family name, in whichever order the citation writes names.

    >>> [family_name(a) for a in ("Kim, S., Malik, J.", "C. Lo, Y. Su", "Bodun Hu", "Kaya Y., H")]
    ['Kim', 'Lo', 'Hu', 'Kaya']
    """
    for group in GROUPS:
        if authors.startswith(group):
            return group
    first = re.split(r"[,;&]| and ", authors)[0].replace(" et al", "").split()
    if re.fullmatch(r"[A-Z]\.?", first[-1]) and len(first) > 1:  # "Kaya Y.", "Aishwarya P S"
        return first[0]
    return first[-1]


def key_of(authors, year, title):
    """Name, year and first word of a title, in lower-case ASCII."""
    words = [w for w in re.findall(r"\w+", title.split(":")[0]) if w.lower() not in STOP]
    plain = f"{family_name(authors)}{year}{words[0]}".replace("Ł", "L").replace("ł", "l")
    plain = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", plain.lower())


def entries(rows):
    """The bibliography's rows, in the order of the list; a key that is taken gets a letter."""
    made = {}
    for row in rows:
        authors, title, venue = parts(row["citation"], row["urls"])
        year = year_of(row)
        key = plain = key_of(authors, year, title)
        while key in made:
            key = plain + chr(ord(key[-1]) + 1 if key != plain else ord("b"))
        cells = (key, title, shortened(authors), year, venue, row["urls"], row["sections"])
        made[key] = dict(zip(COLUMNS, cells, strict=True))
    return list(made.values())


def main(arguments=None):
    """Read the list and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, required=True, help="folder of bibliography.csv")
    raw = parser.parse_args(arguments).raw / "bibliography.csv"
    with raw.open(encoding="utf-8", newline="") as file:
        made = entries(csv.DictReader(file))
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(made)
    write_whole(WRITTEN, text.getvalue())
    print(f"{len(made)} papers in {WRITTEN}")


if __name__ == "__main__":
    main()
