"""One HTML file for people: headings, text, tables and figures, with everything it shows inside it."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from foundation.files import write_file

# Whatever a page quotes, a browser that obeys this loads nothing and runs nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark;
  --text: #1c1c1c; --faint: #5b5b5b; --line: #d5d5d5; --back: #ffffff; --mark: #fff4d6; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6e6; --faint: #a5a5a5; --line: #444444; --back: #16181b; --mark: #3a3320; }
}
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif;
  color: var(--text); background: var(--back); }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
nav a { color: inherit; margin-right: 1rem; }
.note { background: var(--mark); padding: 0.5rem 0.8rem; border-radius: 0.3rem; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--faint); }
th, td { border-bottom: 1px solid var(--line); padding: 0.25rem 1rem 0.25rem 0; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; min-width: 6rem; }
th { font-weight: 600; }
tbody th { overflow-wrap: break-word; max-width: 20rem; }
figure { margin: 1.5rem 0; }
figure img { max-width: 100%; height: auto; background: #ffffff; }
figcaption { color: var(--faint); font-size: 0.9rem; }
"""


class Page:
    """A page that is filled from top to bottom and then written; all text is escaped.

    Args:
      title: of the page.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._sections: list[str] = []
        self._parts: list[str] = []

    def section(self, title: str) -> None:
        """Starts a section, which the list at the top of the page leads to."""
        self._sections.append(title)
        self._add(f'<h2 id="section{len(self._sections)}">{escape(title)}</h2>')

    def heading(self, text: str) -> None:
        """Starts a part of a section."""
        self._add(f'<h3>{escape(text)}</h3>')

    def paragraph(self, text: str) -> None:
        """Adds running text."""
        self._add(f'<p>{escape(text)}</p>')

    def preformatted(self, text: str) -> None:
        """Adds text whose lines stay as they are."""
        self._add(f'<pre class="scroll">{escape(text)}</pre>')

    def note(self, text: str) -> None:
        """Adds text that stands out, such as what is missing or must not be overlooked."""
        self._add(f'<p class="note">{escape(text)}</p>')

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> None:
        """Adds a table whose first column names the rows.

        Raises:
          ValueError: when a row is not as long as the header.
        """
        head = ''.join(f'<th scope="col">{escape(text)}</th>' for text in header)
        body = []
        for row in rows:
            if len(row) != len(header):
                raise ValueError(f'A row of {len(row)} cells does not fit a header of {len(header)}.')
            cells = ''.join(f'<td>{escape(text)}</td>' for text in row[1:])
            body.append(f'<tr><th scope="row">{escape(row[0])}</th>{cells}</tr>')
        self._add(
            f'<div class="scroll"><table><caption>{escape(caption)}</caption>'
            f'<thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
        )

    def figure(self, png: Path, caption: str) -> None:
        """Adds a picture, copied into the page, and what it shows."""
        content = base64.b64encode(png.read_bytes()).decode('ascii')
        self._add(
            f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{content}">'
            f'<figcaption>{escape(caption)} ({escape(png.name)})</figcaption></figure>'
        )

    def write(self, path: Path) -> None:
        """Writes the page atomically."""
        # Names of files may hold bytes that are no text.
        write_file(path, self._document().encode('utf-8', 'backslashreplace'))

    def _add(self, part: str) -> None:
        self._parts.append(part)

    def _document(self) -> str:
        links = ' '.join(
            f'<a href="#section{number}">{escape(title)}</a>' for number, title in enumerate(self._sections, 1)
        )
        body = '\n'.join(self._parts)
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<title>{escape(self._title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n'
            f'<h1>{escape(self._title)}</h1>\n<nav>\n{links}\n</nav>\n'
            f'{body}\n</body>\n</html>\n'
        )
