"""The page in a real browser, without a screen."""

import os

import pytest

from tests.browser import open_chromium

playwright = pytest.importorskip('playwright.sync_api', reason='install playwright, and a Chromium')


@pytest.fixture(scope='module')
def browser():
    with open_chromium() as opened:
        yield opened


@pytest.fixture
def page(browser, served):
    """The page, opened; whatever it asks of another place, and every error in it, fails the test."""
    opened = browser.new_page(viewport={'width': 900, 'height': 1300})
    complaints: list[str] = []
    # Chromium tells of every refused form, which is not an error of the page.
    opened.on('console', lambda message: '422' in message.text or complaints.append(message.text))
    opened.on('pageerror', lambda error: complaints.append(str(error)))
    opened.on('request', lambda asked: own(asked.url, served.url) or complaints.append(asked.url))
    opened.goto(served.url)
    yield opened
    opened.close()
    assert not complaints
    assert list(served.folder.iterdir()) == []


def own(url, page_url):
    return url.startswith((f'{page_url}/', 'data:'))


def choose(page, *files):
    page.set_input_files('#files', [{'name': name, 'mimeType': '', 'buffer': file} for name, file in files])


def test_a_file_is_answered_by_keyboard_alone(page, pictures):
    choose(page, ('scan.png', pictures['fake']))
    page.focus('#files')
    page.keyboard.press('Tab')
    page.keyboard.type('0.1')
    page.keyboard.press('Tab')
    page.keyboard.press('Enter')
    article = page.locator('article')
    playwright.expect(article).to_contain_text('Verdict: synthetic', timeout=60_000)
    playwright.expect(article).to_be_focused()
    playwright.expect(article).to_contain_text('If 0.1% of your images are synthetic')
    picture = page.locator('article img')
    assert picture.evaluate('image => image.complete && image.naturalWidth > 0')
    assert 'strange' in picture.get_attribute('alt')
    if 'PAGE_PICTURE' in os.environ:
        page.screenshot(path=os.environ['PAGE_PICTURE'], full_page=True)


def test_files_can_be_dropped_anywhere(page):
    dropped = page.evaluate_handle(
        "() => { const all = new DataTransfer(); all.items.add(new File(['x'], 'dropped.png')); return all; }"
    )
    page.dispatch_event('h1', 'drop', {'dataTransfer': dropped})
    assert page.eval_on_selector('#files', 'field => field.files[0].name') == 'dropped.png'


def test_files_stay_chosen_for_another_prevalence(page, pictures):
    choose(page, ('scan.png', pictures['fake']))
    page.click('button')
    playwright.expect(page.locator('article')).to_have_count(1, timeout=60_000)
    page.fill('#prevalence', '5')
    page.click('button')
    playwright.expect(page.locator('article')).to_contain_text('If 5% of', timeout=60_000)


def test_bad_files_and_fields_are_told_in_a_sentence(page, pictures):
    choose(page, ('<b>notes.png', b'no image'))
    page.click('button')
    playwright.expect(page.locator('article')).to_contain_text('<b>notes.png: is', timeout=60_000)
    page.fill('#prevalence', '200')
    page.click('button')
    playwright.expect(page.get_by_role('alert')).to_contain_text('below 100 percent')


def test_too_large_files_are_not_even_sent(page, served):
    sent = []
    page.on('request', lambda asked: sent.append(asked.method))
    choose(page, ('large.png', bytes(2**20 + 1)))
    page.click('button')
    playwright.expect(page.get_by_role('status')).to_contain_text('too large')
    assert 'POST' not in sent


def test_without_scripts_the_form_does_the_same(browser, served, pictures):
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(served.url)
    choose(plain, ('scan.png', pictures['fake']))
    plain.fill('#prevalence', '1')
    plain.click('button')
    playwright.expect(plain.locator('article')).to_contain_text('If 1% of your images', timeout=60_000)
    assert plain.input_value('#prevalence') == '1'
    context.close()


@pytest.mark.slow
def test_all_that_is_asked_for_has_a_label(page):
    unnamed = 'element => !element.labels?.length && !element.textContent.trim()'
    assert page.locator('input, button').evaluate_all(f'all => all.filter({unnamed}).length') == 0
    assert page.locator('html').get_attribute('lang') == 'en'
    assert page.locator('h1').count() == 1
