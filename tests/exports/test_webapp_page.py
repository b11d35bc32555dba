"""The app's page: what it shows, counts and keeps, and what it says where something is wrong."""

import gzip
import json
import re
import shutil

import numpy as np
import phone
import pytest
from axe_playwright_python.sync_playwright import Axe
from phone import cells, encoded
from playwright.sync_api import expect

import bcjax as library
from bcjax.metrics.intervals import proportion

CONTROLLED = """navigator.serviceWorker.controller ?? new Promise((resolve) =>
  navigator.serviceWorker.addEventListener("controllerchange", () => resolve()))"""


def choose(page, *pictures):
    """Chooses files: a picture for each pair of a name and its bytes."""
    page.evaluate("document.getElementById('said').textContent = ''")
    page.set_input_files(
        "#files",
        [{"name": n, "mimeType": "image/png", "buffer": content} for n, content in pictures],
    )
    said = expect(page.locator("#said"))
    if len(pictures) > 1:  # each of them is told, too, before the sentence about all
        said.to_have_text(re.compile(r"pictures were answered"))
    else:
        said.not_to_have_text(re.compile(r"^$|^Picture \d"))


@pytest.fixture(scope="module")
def pictures():
    return [encoded(cell) for cell in cells(8)]


@pytest.fixture
def seen(app, page, pictures):
    """A page that has answered eight pictures."""
    choose(page, *((f"cell_{at}.png", each) for at, each in enumerate(pictures)))
    return page


def copied(app, tmp_path):
    return shutil.copytree(app.folder, tmp_path / "webapp")


def test_an_answer_shows_what_predict_says(app, page, pictures):
    predictions = library.load(app.workdir).predict(pictures)
    for picture, expected in zip(pictures, predictions, strict=True):
        choose(page, ("cell.png", picture))
        assert page.inner_text("#label") == expected.label
        shown = page.locator("#bars li").all_inner_texts()
        assert len(shown) == 8
        assert shown[0].split() == [expected.label, f"{expected.probability:.1%}"]
        unsure = len(expected.set) != 1 or expected.uncertain is True
        assert page.is_visible("#unsure") == unsure
        assert page.is_visible("#strange") == expected.outlier
        counted = not unsure and not expected.outlier
        assert ("Counted as" in page.inner_text("#said")) == counted


def test_several_pictures_are_answered_counted_and_kept(app, seen, pictures):
    predictions = library.load(app.workdir).predict(pictures)
    sure = [len(each.set) == 1 and not each.outlier for each in predictions]
    said = seen.inner_text("#said")
    assert said == f"8 of 8 pictures were answered; {sum(sure)} were counted."
    expect(seen.locator("#history-list li")).to_have_count(8)
    assert seen.evaluate("bcjax.tally.tally.total") == sum(sure)
    seen.reload()
    seen.wait_for_selector("#app:not([hidden])")
    assert seen.evaluate("bcjax.tally.tally.total") == sum(sure)
    expect(seen.locator("#history-list li")).to_have_count(8)
    seen.click("#erase")
    seen.click("#confirm-yes")
    expect(seen.locator("#history-list li")).to_have_count(0)
    assert seen.evaluate("bcjax.history.history.all()") == []


def test_the_tally_counts_by_hand_and_keys_undoes_resets_and_is_saved(page):
    add = page.locator("#tally-rows button")
    for _ in range(3):
        add.nth(0).click()
    page.keyboard.press("2")
    assert page.inner_text("#tally-said") == "3 cells counted"
    page.check("#keys")
    page.keyboard.press("2")
    assert page.inner_text("#tally-said") == "4 cells counted"
    with page.expect_download() as download:
        page.click("#csv")
    header, first, second, *_ = download.value.path().read_text().splitlines()
    assert header == "class,count,share,low_95,high_95"
    exact = proportion(np.array([True, True, True, False]))
    assert first == f"basophil,3,0.7500,{exact.low:.4f},{exact.high:.4f}"
    assert second.startswith("eosinophil,1,0.2500,")
    page.click("#undo")
    assert page.inner_text("#said") == "One eosinophil less."
    page.click("#reset")
    page.click("#confirm button[value=no]")
    assert page.inner_text("#tally-said") == "3 cells counted"
    page.click("#reset")
    page.click("#confirm-yes")
    expect(page.locator("#tally-said")).to_have_text("0 cells counted")
    page.click("#undo")
    assert page.inner_text("#said") == "There is nothing to undo."


def test_pictures_can_be_dropped_and_pasted(page, pictures):
    put = """([kind, data]) => {
      const bytes = Uint8Array.from(data);
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], "cell.png", { type: "image/png" }));
      const event = kind === "drop"
        ? new DragEvent("drop", { dataTransfer: transfer, cancelable: true })
        : new ClipboardEvent("paste", { clipboardData: transfer });
      document.dispatchEvent(event);
    }"""
    for count, kind in enumerate(("drop", "paste"), start=1):
        page.evaluate(put, [kind, list(pictures[0])])
        expect(page.locator("#history-list li")).to_have_count(count)


def test_what_is_no_picture_is_a_sentence_and_the_others_are_answered(page, pictures):
    huge = bytearray(encoded(cells(1)[0]))
    huge[16:24] = (50_000).to_bytes(4, "big") * 2
    whole = encoded(cells(1)[0], "JPEG")
    faults = {
        "text.png": (b"no picture", "no picture that this browser can read"),
        "empty.png": (b"", "is empty"),
        "cut.jpg": (whole[: len(whole) // 2], "no picture that this browser can read"),
        "huge.png": (bytes(huge), "50,000 x 50,000 pixels, and the app reads up to 100"),
        "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture"),
    }
    chosen = [(name, content) for name, (content, _) in faults.items()]
    choose(page, *chosen, ("cell.png", pictures[0]))
    assert page.inner_text("#said").startswith("1 of 6 pictures were answered")
    told = page.locator("#faults li").all_inner_texts()
    assert len(told) == len(faults)
    for sentence, (name, (_, part)) in zip(told, faults.items(), strict=True):
        assert sentence.startswith(f"{name}: ")
        assert part in sentence


def test_no_request_goes_out_once_the_app_is_loaded(context, address, pictures):
    page = phone.opened(context, address)
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    choose(page, *((f"{at}.png", each) for at, each in enumerate(pictures)))
    page.locator("#tally-rows button").first.click()
    page.click("#csv")
    page.click("#camera")
    page.wait_for_timeout(300)
    ours = ("data:", "blob:")
    assert [each for each in asked if not each.startswith(ours)] == []


def test_the_policy_lets_nothing_go_elsewhere(page):
    blocked = """() => new Promise((resolve) => {
      document.addEventListener("securitypolicyviolation", (event) =>
        resolve(event.effectiveDirective));
      fetch("https://example.org/", { mode: "no-cors" }).catch(() => {});
    })"""
    assert page.evaluate(blocked) == "connect-src"
    assert page.evaluate("document.querySelector('meta[http-equiv]').content").startswith(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval';"
    )


def test_the_app_works_offline_after_the_first_visit(app, context, pictures):
    with phone.served(app.folder) as address:
        page = phone.opened(context, address)
        page.evaluate("navigator.serviceWorker.ready.then(() => null)")
        page.evaluate(CONTROLLED)
    # The server is gone.
    page.reload()
    page.wait_for_selector("#app:not([hidden])")
    choose(page, ("cell.png", pictures[0]))
    assert page.is_visible("#label")


def test_a_first_visit_that_is_cut_short_says_to_connect(app, context, tmp_path):
    runtime = ("litert.js", "wasm_utils.js", "loader.js", "litert.wasm.gz")
    for lost in (
        "model.tflite.gz", "app.json", "strings.en.json", *(f"runtime/{each}" for each in runtime)
    ):  # fmt: skip
        folder = shutil.copytree(app.folder, tmp_path / lost.replace("/", "_"))
        (folder / lost).unlink()
        with phone.served(folder) as address:
            assert "connection was lost" in phone.fault_at_start(context, address), lost


@pytest.mark.parametrize("name", ["model.tflite.gz", "runtime/litert.wasm.gz"])
def test_a_damaged_file_is_named(app, context, tmp_path, name):
    folder = copied(app, tmp_path)
    content = bytearray(gzip.decompress((folder / name).read_bytes()))
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(gzip.compress(bytes(content), 1))
    with phone.served(folder) as address:
        said = phone.fault_at_start(context, address)
    assert f"{name} is damaged" in said
    (folder / name).write_bytes(b"\x1f\x8b no archive")
    with phone.served(folder) as address:
        assert f"{name} is damaged" in phone.fault_at_start(context, address)


def test_an_old_browser_is_told_which_ones_will_do(context, address):
    context.add_init_script("WebAssembly.validate = () => false")
    assert "WebAssembly with SIMD" in phone.fault_at_start(context, address)


@pytest.mark.parametrize(
    ("script", "part"),
    [
        ("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })", "No camera"),
        ("navigator.mediaDevices.getUserMedia = () => Promise.reject("
         "new DOMException('', 'NotFoundError'))", "No camera was found"),
        ("navigator.mediaDevices.getUserMedia = () => Promise.reject("
         "new DOMException('', 'NotAllowedError'))", "camera was refused"),
        ("navigator.mediaDevices.getUserMedia = () => Promise.reject("
         "new DOMException('', 'NotReadableError'))", "used by another program"),
    ],
    ids=["old", "none", "refused", "busy"],
)  # fmt: skip
def test_a_camera_that_cannot_be_used_is_a_sentence(context, address, script, part):
    context.add_init_script(script)
    page = phone.opened(context, address)
    page.click("#camera")
    page.wait_for_selector("#faults li")
    assert part in page.inner_text("#faults")
    assert page.inner_text("#camera") == "Start camera"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_violation(browser, address, pictures, scheme, width):
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 844})
    page = phone.opened(context, address)
    choose(page, ("cell.png", pictures[0]), ("text.png", b"no picture"))
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.click("#reset")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    # Nothing is wider than the screen, and fingers find every button.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_buttons_are_large_and_all_can_be_reached_by_the_keyboard(page):
    sizes = page.evaluate(
        "[...document.querySelectorAll('main button')].filter((each) => each.offsetParent)"
        ".map((each) => [each.offsetWidth, each.offsetHeight])"
    )
    assert len(sizes) > 10
    assert min(min(size) for size in sizes) >= 44
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"camera", "choose", "undo", "reset", "csv", "print", "keys", "automatic"} <= reached


def test_a_printed_page_holds_the_tally_and_no_pictures(seen):
    seen.emulate_media(media="print")
    assert seen.is_visible("#tally table")
    assert "research use only" in seen.inner_text("header")
    for hidden in ("#picture", "#answer", "#history", "#csv"):
        assert seen.is_hidden(hidden)


def test_the_page_says_what_the_network_is(app, page):
    said = page.inner_text("#about")
    about = json.loads((app.folder / "app.json").read_text())
    for part in ("elu_cnn", "basophil", "8 pictures of the test split", about["model"]["sha256"]):
        assert part in said


def test_all_texts_are_in_one_file_and_all_of_them_are_used(app):
    texts = json.loads((app.folder / "strings.en.json").read_text())
    page = (app.folder / "index.html").read_text()
    code = page + "".join(path.read_text() for path in (app.folder / "js").glob("*.js"))
    assert [key for key in texts if not re.search(rf'"{key}"', code)] == []
    for key in re.findall(r'data-(?:text|label)="(\w+)"', page):
        assert texts[key] in page  # readable before a script runs
