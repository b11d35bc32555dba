"""The page at / in a browser: it answers, and asks nothing of other hosts."""

from phone import chromium


def test_a_picture_is_labelled_in_a_browser(playwright, threads, pictures, expected):
    url = "http://{}:{}/".format(*threads(token="secret"))
    asked, faults = [], []
    with chromium(playwright) as browser:
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
    assert expected[0].label in answers
    assert "<b>.png" in answers
    assert "cannot be read" in answers
    assert "research only" in said
    assert "POST /v1/predict" in roads
    assert not faults
    assert all(each.startswith((url, "blob:")) for each in asked)
