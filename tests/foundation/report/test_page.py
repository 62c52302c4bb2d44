"""Pages: whatever text they are given stays text, and nothing is loaded from elsewhere."""

import base64
from html.parser import HTMLParser

import pytest

from foundation.report.page import Page

HOSTILE = '<script src="http://x.example/a.js">alert(1)</script>&"\' onload=\'x\''
_VOID = {'meta', 'img', 'br'}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that tags are closed in order."""

    def __init__(self, document: str):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(document)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def written(tmp_path):
    """A page with something hostile in every place."""
    picture = tmp_path / f'{HOSTILE.replace("/", "|")}.png'
    picture.write_bytes(b'any bytes')
    page = Page(f'title {HOSTILE}')
    page.section(f'section {HOSTILE}')
    page.heading(f'heading {HOSTILE}')
    page.paragraph(f'paragraph {HOSTILE}')
    page.note(f'note {HOSTILE}')
    page.table(['', f'column {HOSTILE}'], [[f'row {HOSTILE}', f'cell {HOSTILE}']], f'table {HOSTILE}')
    page.figure(picture, f'figure {HOSTILE}')
    page.write(tmp_path / 'new' / 'page.html')
    return tmp_path / 'new' / 'page.html'


def test_hostile_text_is_shown_as_it_is(written):
    reader = Reader(written.read_text())
    assert 'script' not in reader.tags
    assert not [name for name, _ in reader.attributes if name.startswith('on')]
    for kind in ('title', 'section', 'heading', 'paragraph', 'note', 'column', 'row', 'cell', 'table'):
        assert f'{kind} {HOSTILE}' in reader.text, kind
    assert any(text.startswith(f'figure {HOSTILE} (') for text in reader.text)
    assert ('alt', f'figure {HOSTILE}') in reader.attributes


def test_everything_is_inside_the_page(written):
    reader = Reader(written.read_text())
    links = [value for name, value in reader.attributes if name in ('src', 'href')]
    assert links == ['#section1', f'data:image/png;base64,{base64.b64encode(b"any bytes").decode()}']
    assert ('id', 'section1') in reader.attributes
    (policy,) = [value for _, value in reader.attributes if value and 'default-src' in value]
    assert "default-src 'none'" in policy


def test_the_page_is_replaced_whole(written):
    before = written.read_text()
    page = Page('other')
    page.write(written)
    assert written.read_text() != before
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def test_text_that_no_encoding_knows_is_written(tmp_path):
    Page('name \udcff').write(tmp_path / 'page.html')
    assert 'name \\udcff' in (tmp_path / 'page.html').read_text()


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match='3 cells'):
        Page('page').table(['', 'a'], [['row', '1', '2']], 'table')
