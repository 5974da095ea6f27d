"""The parts of a page: one file, no scripts, nothing from elsewhere, every text escaped."""

import base64
import html
import io

from lm_keras.data.scrubbing import scrub

LONGEST = 240  # characters of an example
SCRUBBED = 100_000  # characters of it that are looked at: far more, so that no number is cut in two

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2em auto; padding: 0 1em; color: #222 }
h1 { font-size: 1.6em } h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ddd }
table { border-collapse: collapse; margin: .6em 2em .6em 0; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .15em 1em .15em 0; border-bottom: 1px solid #eee; vertical-align: top }
td.number, th.number { text-align: right; white-space: nowrap }
.row { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 1em }
img { max-width: 100% } p.note { color: #666; font-size: .9em } ul.findings li { margin: .3em 0 }
td.text { overflow-wrap: anywhere; white-space: pre-wrap }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(title, *parts):
    """A whole HTML document; `title` is plain text, the parts are HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_visible(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_visible(title)}</h1>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def section(heading, *parts):
    return f"<h2>{_visible(heading)}</h2>\n" + "\n".join(parts)


def side_by_side(*parts):
    return '<div class="row">' + "\n".join(f"<div>{part}</div>" for part in parts) + "</div>"


def paragraph(text, note=False):
    kind = ' class="note"' if note else ""
    return f"<p{kind}>{_visible(text)}</p>"


def bullets(lines):
    return '<ul class="findings">' + "".join(f"<li>{_visible(line)}</li>" for line in lines) + "</ul>"


def table(rows, head=()):
    """Rows of str (escaped), int, float (both set to the right) and what `example` made."""
    lines = []
    if head:
        right = [isinstance(cell, (int, float)) for cell in rows[0]] if rows else [False] * len(head)
        kinds = [' class="number"' if number else "" for number in right]
        lines.append("".join(f"<th{kind}>{_visible(cell)}</th>" for kind, cell in zip(kinds, head, strict=True)))
    lines += ["".join(map(_cell, row)) for row in rows]
    return "<table>" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def image(figure, alt):
    """A matplotlib Figure as a PNG within the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'


class Example(str):
    """A text of the data, to be shown in full width."""


def example(text):
    """A text of the data as it may be shown: without personal data, cut, and with what is invisible made visible."""
    text = scrub(text[:SCRUBBED]).text
    return Example(text if len(text) <= LONGEST else text[:LONGEST] + " ...")


def _cell(value):
    if isinstance(value, Example):
        return f'<td class="text">{_visible(value)}</td>'
    if isinstance(value, str):
        return f"<td>{_visible(value)}</td>"
    number = f"{value:,}" if isinstance(value, int) else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return f'<td class="number">{number}</td>'


def _visible(text):
    """Escaped, and control, zero-width and direction characters as their codes: a page may not hold the first."""
    shown = (
        character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode()
        for character in text
    )
    return html.escape("".join(shown))
