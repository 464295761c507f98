"""What can be read out of a report's page."""

import json
import re


def figures_in(page):
    """(traces, layout) of each figure that the page draws."""
    decode = json.JSONDecoder().raw_decode
    for call in re.finditer(r'Plotly\.newPlot\(\s*"[^"]*",\s*', page):
        traces, end = decode(page, call.end())
        yield traces, decode(page, re.compile(r"\s*,\s*").match(page, end).end())[0]


def copies_of_plotly(page):
    """How often plotly.js is there: a banner starts each copy."""
    return len(re.findall(r"plotly\.js v\d", page))


def check_loads_nothing(page):
    """Fail if the page asks the network for anything."""
    loads = r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"']?(?:https?:)?//"
    assert not re.findall(loads, page)
    assert not re.findall(r"@import\s+url|<script[^>]*type=\"module\"", page)
