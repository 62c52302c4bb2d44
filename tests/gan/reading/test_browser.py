"""A whole study in a real browser: two readers who answer by rules that are known, and what the report finds."""

import json
import os

import numpy as np
import pytest

from gan.reading.answers import AnswerSheet
from gan.reading.report import write_report
from tests.browser import open_chromium
from tests.gan.reading.made import make_study, serve

playwright = pytest.importorskip('playwright.sync_api', reason='install playwright, and a Chromium')

# What the canvas shows, as a reader sees it: the mean of the grey levels, 0 to 255.
MEAN = """() => {
  const canvas = document.querySelector('canvas');
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return data.reduce((sum, value, place) => (place % 4 ? sum : sum + value), 0) / (canvas.width * canvas.height);
}"""


@pytest.fixture(scope='module')
def browser():
    with open_chromium() as opened:
        yield opened


@pytest.fixture
def open_page(browser):
    """Opens a reader's page; whatever it asks of another place, and every error in it, fails the test."""
    complaints: list[str] = []
    pages = []

    def create(served, link):
        page = browser.new_page(viewport={'width': 900, 'height': 700})
        # Chromium advises whoever reads a canvas often, which only these tests do.
        page.on('console', lambda message: 'readback' in message.text or complaints.append(message.text))
        page.on('pageerror', lambda error: complaints.append(str(error)))
        page.on(
            'request', lambda asked: asked.url.startswith((served.url, 'data:')) or complaints.append(asked.url)
        )
        page.goto(f'{served.url}/{link}')
        pages.append(page)
        return page

    yield create
    for page in pages:
        page.close()
    assert not complaints


def _begin(page):
    page.get_by_role('button', name='Begin').or_(page.get_by_role('button', name='Go on')).first.click()
    playwright.expect(page.locator('#frame')).to_have_attribute('aria-busy', 'false')


def _answer(page, rule, count):
    """Answers by the keyboard alone, by what is seen."""
    for _ in range(count):
        told = page.locator('#count').inner_text()
        page.keyboard.press(str(rule(page.evaluate(MEAN))))
        page.keyboard.press('Enter')
        playwright.expect(page.locator('#count')).not_to_have_text(told)


def test_rules_that_answer_are_found_by_the_report(tmp_path, open_page):
    """Generated images are brighter. One rule sees that; the other takes the kinds for each other."""
    study = make_study(tmp_path / 'study')
    middle = 255 * 2000 / 4095
    with serve(study) as served:
        first, second = (open_page(served, link) for link in study.links)
        _begin(first)
        _answer(first, lambda mean: 5 if mean > middle else 2, 4)
        first.reload()  # and goes on where it was
        playwright.expect(first.locator('#count')).to_have_text('4 of 10 answered')
        _begin(first)
        _answer(first, lambda mean: 5 if mean > middle else 2, 6)
        playwright.expect(first.get_by_role('status')).to_contain_text('Thank you')
        _begin(second)
        _answer(second, lambda mean: 1 if mean > middle else 6, 10)
        sheets = served.sheets
    assert AnswerSheet(study.folder, study.plan, 0).answers == sheets[0].answers
    write_report(study, sheets, early=False)
    found = json.loads((study.folder / 'report.json').read_text())
    right, wrong = (reader['reading'] for reader in found['readers'])
    for measure in ('accuracy', 'sensitivity', 'specificity', 'area'):
        assert (right[measure]['value'], wrong[measure]['value']) == (1, 0)
    assert all(reader['own']['all']['same']['value'] == 1 for reader in found['readers'])
    assert found['together']['these readers']['accuracy']['value'] == 0.5
    assert found['agreement'][0]['all']['kappa']['value'] == pytest.approx(-1)
    assert 'Reader 1: 100.0% right' in found['conclusions'][0]
    assert 'worse than chance' in found['conclusions'][1]
    page = (study.folder / 'report.html').read_text()
    for sentence in found['conclusions']:
        assert sentence in page
    assert all(0 < answer.seconds < 60 for sheet in sheets for answer in sheet.answers)


@pytest.fixture
def begun(tmp_path, open_page):
    study = make_study(tmp_path / 'study', readers=1)
    with serve(study) as served:
        page = open_page(served, study.links[0])
        _begin(page)
        yield page, served


def test_what_is_shown_is_the_window_of_the_pixels(begun):
    page, served = begun
    values = served.study.images[served.sheets[0].order[0]] / 4095
    assert page.evaluate(MEAN) == pytest.approx(255 * values.mean(), abs=0.6)
    page.locator('#level').fill('30')
    page.locator('#width').fill('20')
    expected = 255 * np.clip((values - 0.2) / 0.2, 0, 1)
    assert page.evaluate(MEAN) == pytest.approx(expected.mean(), abs=0.6)
    page.locator('#frame').focus()
    page.keyboard.press('r')
    assert page.evaluate(MEAN) == pytest.approx(255 * values.mean(), abs=0.6)


def test_dragging_changes_the_window_and_keys_the_zoom(begun):
    page, _ = begun
    page.locator('canvas').hover()
    page.mouse.down()
    page.mouse.move(300, 200, steps=4)
    page.mouse.up()
    assert page.locator('#level').input_value() != '50' or page.locator('#width').input_value() != '100'
    width = page.locator('canvas').bounding_box()['width']
    for _ in range(3):
        page.keyboard.press('+')
    assert page.locator('canvas').bounding_box()['width'] == pytest.approx(width * 1.25**3, rel=0.01)


def test_a_pause_hides_the_image_and_stops_the_clock(begun):
    page, served = begun
    page.keyboard.press('p')
    playwright.expect(page.locator('canvas')).to_be_hidden()
    page.keyboard.press('3')
    page.keyboard.press('Enter')
    assert served.sheets[0].answers == []
    page.wait_for_timeout(1500)
    page.keyboard.press('p')
    _answer(page, lambda mean: 3, 1)
    assert served.sheets[0].answers[0].seconds < 1.4


def test_enter_without_a_choice_is_no_answer(begun):
    page, served = begun
    page.keyboard.press('Enter')
    page.keyboard.press('7')
    page.keyboard.press('Enter')
    assert served.sheets[0].answers == []
    playwright.expect(page.get_by_role('button', name='Answer')).to_be_disabled()


def test_a_mouse_is_enough_and_everything_has_a_name(begun):
    page, served = begun
    page.get_by_label('possibly generated').check()
    page.get_by_role('button', name='Answer').click()
    playwright.expect(page.locator('#count')).to_have_text('1 of 10 answered')
    assert served.sheets[0].answers[0].confidence == 4
    unnamed = 'element => !element.labels?.length && !element.textContent.trim()'
    assert page.locator('input, button').evaluate_all(f'all => all.filter({unnamed}).length') == 0
    assert page.locator('html').get_attribute('lang') == 'en'


def test_a_narrow_screen_shows_all_of_it(begun):
    page, _ = begun
    page.set_viewport_size({'width': 360, 'height': 640})
    assert page.evaluate('() => document.documentElement.scrollWidth') <= 360
    assert page.locator('canvas').bounding_box()['width'] <= 360
    if 'PAGE_PICTURE' in os.environ:
        page.set_viewport_size({'width': 900, 'height': 700})
        page.screenshot(path=os.environ['PAGE_PICTURE'])
