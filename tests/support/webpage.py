"""A page as a test reads it, and as a browser does."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

VOID = {"img", "link", "meta", "br", "input"}
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


class Page(HTMLParser):
    """What is in a page; fails where its tags do not nest."""

    def __init__(self, html):
        super().__init__()
        self.html = html
        self.tags, self.texts, self._open = [], [], []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute of {tag} is there twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self._open[-1] if self._open else "", data))

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    def by_id(self, id_):
        (found,) = [attrs for _, attrs in self.tags if attrs.get("id") == id_]
        return found

    def text(self):
        return "\n".join(text for tag, text in self.texts if tag not in ("script", "style"))


def check_is_whole(page):
    """Checks that a page needs nothing from elsewhere, and that its links lead somewhere."""
    for tag, attrs in page.tags:
        for name in ("src", "href", "xlink:href", "srcset"):
            if name in attrs:
                assert attrs[name].startswith(("data:", "#")), (tag, attrs[name][:80])
    assert "@import" not in page.html
    assert not re.search(r"url\((?!#)", page.html)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    asked = [a["href"] for _, a in page.tags if a.get("href", "").startswith("#")]
    asked += re.findall(r"url\((#[^)]+)\)", page.html)
    assert {name.removeprefix("#") for name in asked} <= set(ids)


def chromium(folder, *arguments):
    """Runs Chromium without a window; returns what it writes to stderr."""
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={folder / 'profile'}", *arguments,
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stderr


def console_messages(html, folder, script):
    """Opens a page in Chromium, runs a script in it and returns what was written to the console."""
    file = folder / "page.html"
    file.write_text(html.replace("</body>", f"<script>{script}</script></body>"))
    said = chromium(
        folder, "--enable-logging=stderr", "--v=0", "--window-size=500,900",
        "--virtual-time-budget=5000", "--dump-dom", file.as_uri(),
    )  # fmt: skip
    return re.findall(r'CONSOLE[^"]*"(.*)", source', said)
