"""Write docs/images: the live page as Chromium shows it, of runs that are over.

    python docs/make_screenshots.py STORE

docs/start.md makes such a store, and so does `./demo`. The page is opened on a copy of it, so that no look is counted.
It takes Chromium, and the extras dev and web: it moves the browser as the tests do.
"""

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 60_000  # of one picture: a clone of the repository should stay small
PICTURES = {  # name -> width, height, color scheme, what is opened, charts to wait for
    "live-runs.webp": (1180, 1010, "light", "/", 1),
    "live-verdict-dark.webp": (1180, 860, "dark", "/compare?{arms}", 2),
    "live-loss-phone.webp": (390, 844, "light", "/inspect?formula=focal", 2),
}
PHONE = 600  # pixels: what is narrower is shown as on a phone


def main(store: str) -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    import browser as window

    if window.CHROMIUM is None:
        sys.exit("error: there is no Chromium to open the page with")
    window.SECONDS = 300  # the machine may be training
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, window.opened(Path(folder, "profile")) as browser:
        write(browser, Path(store), IMAGES)


def write(browser, store: Path, images: Path) -> None:
    """Every picture into the folder `images`, of a store."""
    from serving import served

    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(store, Path(folder, store.name))
        with served(copy) as address:
            for name, picture in PICTURES.items():
                (images / name).write_bytes(taken(browser, address, *picture))


def taken(browser, address: str, width: int, height: int, scheme: str, page: str, charts: int) -> bytes:
    browser.ask("Emulation.setScrollbarsHidden", hidden=True)
    browser.screen(width, height, phone=width < PHONE, scheme=scheme)
    browser.go(f"{address}/")
    boxes = "[...document.querySelectorAll('input[name=arms]')]"
    arms = browser.run(f"{boxes}.map((box) => 'arms=' + encodeURIComponent(box.value)).join('&')")
    browser.go(address + page.format(arms=arms))
    browser.until(f"document.querySelectorAll('[data-chart] svg.marks').length >= {charts}")
    return browser.picture()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
