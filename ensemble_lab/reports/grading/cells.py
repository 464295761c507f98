"""Texts as cells of a CSV file that is opened in a spreadsheet."""

FORMULA = tuple("=+-@\t\r\n")  # what a cell begins with that a spreadsheet would compute


def as_cell(text: str) -> str:
    """The text, with a ' before it where a spreadsheet would compute it.

    >>> as_cell("=1+1"), as_cell("anna")
    ("'=1+1", 'anna')
    """
    return f"'{text}" if text.lstrip("'").startswith(FORMULA) else text


def of_cell(cell: str) -> str:
    """The text of which `as_cell` made a cell.

    >>> of_cell("'=1+1")
    '=1+1'
    """
    return cell[cell.startswith("'") :] if cell.lstrip("'").startswith(FORMULA) else cell
