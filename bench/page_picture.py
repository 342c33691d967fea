"""The picture of the server's page: ``bench/page_picture.py docs/page.png``, with the server of ``make serve`` running.

It needs a Chromium, as scripts/setup-browser installs it.
"""

import argparse
import shutil
from importlib.util import find_spec
from pathlib import Path

from playwright.sync_api import sync_playwright


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--address", default="http://127.0.0.1:8000")
    arguments = parser.parse_args()
    found = find_spec("moonshine_voice")
    assert found is not None
    assert found.submodule_search_locations
    speech = Path(found.submodule_search_locations[0]) / "assets"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell") or shutil.which("chromium"),
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        page = browser.new_page(viewport={"width": 1000, "height": 640}, color_scheme="light")
        page.goto(arguments.address)
        page.set_input_files("#files", [speech / "two_cities.wav", speech / "beckett.wav"])
        page.locator("#queue li", has_text="beckett.wav").get_by_text("times as fast").wait_for(timeout=120_000)
        page.locator("#segments button").nth(2).click()
        page.locator("#segments li.now .word.now").first.wait_for()
        page.evaluate("document.querySelector('#player').pause()")
        page.screenshot(path=arguments.picture)
        browser.close()


if __name__ == "__main__":
    main()
