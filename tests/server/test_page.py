"""The page, in a real browser."""

import json
import shutil

import pytest
import srt

from server.conftest import running, wait_for

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make env")
ARGUMENTS = (
    *("--no-sandbox", "--autoplay-policy=no-user-gesture-required"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)
# A recording that the browser takes for what a microphone hears, again and again.
MICROPHONE = "--use-file-for-fake-audio-capture"
pytestmark = pytest.mark.xdist_group("server")


@pytest.fixture(scope="module")
def open_server():
    with running(keys=()) as server:
        server.wait_until_ready()
        yield server


@pytest.fixture(scope="module")
def browser(beckett):
    found = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if found is None:
        pytest.skip("neither chromium-headless-shell nor chromium is on PATH: make browser")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*ARGUMENTS, f"{MICROPHONE}={beckett}"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, open_server):
    page = browser.new_page()
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.goto(open_server.address)
    yield page
    page.close()


def said(page):
    return " ".join(page.locator("#segments .text").all_inner_texts())


def done(page, name):
    page.locator("#queue li", has_text=name).get_by_text("times as fast").wait_for(timeout=60_000)


def test_a_recording_is_heard_word_by_word_and_followed_edited_searched_and_saved(page, two_cities, open_server):
    assert page.locator("#model option").first.inner_text() == "tiny.en"
    page.set_input_files("#files", two_cities)
    page.locator("#segments li").first.wait_for(timeout=60_000)
    done(page, "two_cities.wav")
    assert said(page).startswith("It was the best of times, it was the worst of times.")
    page.locator("#device", has_text="runs on cpu; so far").wait_for(timeout=10_000)

    # While it plays, the word that is said is marked.
    page.locator("#segments button").nth(1).click()
    marked = page.locator("#segments li.now .word.now").first
    marked.wait_for(timeout=20_000)
    page.evaluate("document.querySelector('#player').pause()")

    page.fill("#search", "WORST")
    assert page.locator("#found").inner_text().startswith("1 of ")
    assert page.locator("#segments li:not(.miss)").count() == 1
    page.fill("#search", "")

    first = page.locator("#segments .text").first
    first.fill("It was <b>the best</b> & no --> other.")
    saved = {name: _saved(page, name) for name in ("txt", "srt", "vtt", "json")}
    assert saved["txt"].startswith("It was <b>the best</b> & no --> other.\n")
    assert next(srt.parse(saved["srt"])).content == "It was <b>the best</b> & no -> other."
    assert "It was &lt;b&gt;the best&lt;/b&gt; &amp; no --&gt; other." in saved["vtt"]
    document = json.loads(saved["json"])
    assert (document["language"], document["segments"][0]["words"]) == ("english", [])
    assert document["segments"][1]["words"][0]["word"]

    assert page.problems == []
    own = (open_server.address, f"blob:{open_server.address}", "data:")
    assert [url for url in page.asked if not url.startswith(own)] == []


def _saved(page, name):
    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).click()
    assert download.value.suggested_filename == f"two_cities.{name}"
    return download.value.path().read_text(encoding="utf-8")


def test_what_cannot_be_heard_is_told_and_the_next_one_is_heard(page, beckett, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    page.set_input_files("#files", [broken, beckett])
    alert = page.locator("#queue li", has_text="broken.wav").get_by_role("alert")
    alert.wait_for(timeout=30_000)
    assert "not audio" in alert.inner_text() or "cannot" in alert.inner_text()
    done(page, "beckett.wav")
    page.get_by_role("button", name="beckett.wav", exact=True).click()
    wait_for(lambda: said(page) != "")


def test_one_that_is_stopped_is_not_heard_to_the_end(page, two_cities, beckett):
    page.set_input_files("#files", [two_cities, beckett])
    page.get_by_role("button", name="Stop two_cities.wav").click()
    page.locator("#queue li", has_text="two_cities.wav").get_by_text("stopped", exact=True).wait_for()
    done(page, "beckett.wav")


def test_what_a_microphone_hears_is_recorded_and_heard(page):
    page.get_by_role("button", name="Record", exact=True).click()
    page.get_by_role("button", name="Stop recording").wait_for()
    page.wait_for_timeout(4000)
    page.get_by_role("button", name="Stop recording").click()
    done(page, "Recording, ")
    assert len(said(page).split()) > 3
    page.get_by_role("button", name="Record", exact=True).wait_for()


def test_it_asks_for_a_key_where_there_is_one(browser, beckett):
    with running(keys=("a key",)) as server:
        server.wait_until_ready()
        page = browser.new_page(viewport={"width": 360, "height": 640}, color_scheme="dark")
        page.goto(server.address)
        page.locator("#key").wait_for()
        page.fill("#key", "a key")
        page.keyboard.press("Tab")
        page.locator("#model option").first.wait_for(state="attached")
        # By keyboard, on a telephone's screen, nothing is wider than it.
        page.set_input_files("#files", beckett)
        done(page, "beckett.wav")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 22)"
        page.close()
