"""The page at / in a browser: it answers, and asks nothing of other hosts."""

import shutil

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


def test_a_picture_is_labelled_in_a_browser(threads, pictures, expected):
    url = "http://{}:{}/".format(*threads(token="secret"))
    asked, faults = [], []
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(url)
        page.fill("#token", "secret")
        page.dispatch_event("#token", "change")
        page.wait_for_selector("#model option", state="attached")
        files = [
            {"name": "a.png", "mimeType": "image/png", "buffer": pictures[0]},
            {"name": "<b>.png", "mimeType": "image/png", "buffer": b"no picture"},
        ]
        page.set_input_files("#pictures", files)
        page.click("button")
        page.wait_for_selector(".answer:nth-child(2)")
        answers = page.inner_text("#answers")
        said = page.inner_text("#said")
        roads = page.inner_text("#roads")
        browser.close()
    assert expected[0].label in answers
    assert "<b>.png" in answers
    assert "cannot be read" in answers
    assert "research only" in said
    assert "POST /v1/predict" in roads
    assert not faults
    assert all(each.startswith((url, "blob:")) for each in asked)
