"""The pages in a real Chromium."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from mlflow import MlflowClient

from clinical.schema import FEATURES
from tests.e2e.browser import VIEWS, fits, violations
from tests.serving import forge
from tests.serving.service import Service, running

RULE = "calibration slope, out of fold, from 0.5 to 2"
CODED = {feature.name for feature in FEATURES if feature.codes}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{folder}/mlflow.db"
    run = forge.log_run(uri, forge.fit(), folder, source="synthetic")
    rule = {"rule": RULE, "candidate": 1.07, "champion": 1.44, "passed": True}
    MlflowClient(uri, uri).log_dict(run[0], {"rules": [rule]}, "gate_decision.json")
    forge.register(uri, *run, tags={"gate.run": run[0]})
    with running(folder / "home", uri, workers=1) as made:
        yield made


@contextmanager
def opened(
    browser: Any, service: Service, width: int, scheme: str, **more: object
) -> Iterator[Any]:
    """Open a page that asks no other server, breaks no rule of its own and raises no error."""
    url = f"http://127.0.0.1:{service.port}"
    view = {"width": width, "height": 900}
    context = browser.new_context(viewport=view, color_scheme=scheme, base_url=url, **more)
    context.set_default_timeout(120_000)  # milliseconds, of a machine that is busy
    made = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    made.on("request", lambda request: asked.append(request.url))
    made.on("console", lambda m: complaints.append(m.text) if "Security" in m.text else None)
    made.on("pageerror", lambda error: complaints.append(str(error)))
    yield made
    context.close()
    assert [each for each in asked if not each.startswith((f"{url}/", "data:", "blob:"))] == []
    assert complaints == []


@pytest.fixture(params=VIEWS, ids=lambda view: f"{view[0]}-{view[1]}")
def page(browser: Any, request: Any, service: Service) -> Iterator[Any]:
    with opened(browser, service, *request.param) as made:
        yield made


@pytest.fixture
def desktop(browser: Any, service: Service) -> Iterator[Any]:
    """Return a page for what does not depend on its width and colours."""
    with opened(browser, service, 1280, "light") as made:
        yield made


def estimate(page: Any, **chosen: str) -> None:
    """Fill in the example, choose what is to be otherwise, and wait for the answer."""
    page.get_by_role("button", name="Fill in an example").click()
    for name, value in chosen.items():
        field = page.locator(f"#{name}")
        (field.select_option if name in CODED else field.fill)(value)
    assert fits(page)
    page.get_by_role("button", name="Estimate").click()
    page.get_by_role("heading", name="Result").wait_for()


def test_from_the_form_to_an_answer(page: Any) -> None:
    page.goto("/")
    assert page.get_by_text("Synthetic data.").is_visible()
    assert violations(page) == []
    estimate(page, ca="Unknown", exang="Yes", thalach="90")
    assert page.get_by_text("of generated patients like this one had the disease").is_visible()
    assert page.get_by_role("img", name="Probability of disease").is_visible()
    assert page.get_by_text(
        "Unknown: major vessels coloured. The model put in typical values."
    ).is_visible()
    assert page.get_by_text("0.90 with major vessels coloured").is_visible()
    assert page.evaluate("() => document.activeElement.id") == "answer"
    why = page.get_by_role("region", name="How each finding moved the probability")
    moved = why.get_by_role("listitem")
    assert moved.count() > 3
    row = moved.filter(has_text="Highest heart rate reached: 90 beats/min")
    assert row.is_visible()
    assert "percentage points" in row.inner_text()
    assert why.get_by_text("What this is not").is_visible()
    # Every bar is drawn within its picture, and the furthest reaches from the middle to an end.
    bars = [bar.bounding_box() for bar in why.locator("svg rect").all()]
    pictures = [svg.bounding_box() for svg in why.locator("svg").all()]
    for bar, picture in zip(bars, pictures, strict=True):
        assert picture["x"] - 1 <= bar["x"]
        assert bar["x"] + bar["width"] <= picture["x"] + picture["width"] + 1
    assert bars[0]["width"] == pytest.approx(pictures[0]["width"] / 2, abs=2)
    assert violations(page) == []
    assert fits(page)


def test_the_form_fits_one_screen_of_a_desktop(desktop: Any) -> None:
    desktop.goto("/")
    button = desktop.get_by_role("button", name="Estimate").bounding_box()
    assert button["y"] + button["height"] <= 900


def test_errors_stand_at_their_field_and_move_none(page: Any) -> None:
    page.goto("/")
    page.get_by_role("button", name="Fill in an example").click()
    height = page.locator("form").bounding_box()["height"]
    page.get_by_label("Age").fill('a"b<')
    page.get_by_label("Sex").select_option("")
    page.get_by_role("button", name="Estimate").click()
    page.get_by_role("heading", name="Please check 2 fields").wait_for()
    assert page.get_by_label("Age").input_value() == 'a"b<'
    assert page.locator("#age-hint").inner_text() == "Must be a number, 18 to 110"
    assert page.locator("#sex-hint").inner_text() == "Choose one"
    reasons = page.get_by_role("alert").get_by_role("listitem").all_inner_texts()
    assert reasons == ["Age: must be a number, 18 to 110", "Sex: choose one"]
    assert page.locator("form").bounding_box()["height"] == height
    assert violations(page) == []
    assert fits(page)


def test_a_click_counts_though_an_error_comes_or_goes_above_the_button(page: Any) -> None:
    page.goto("/")
    page.get_by_role("button", name="Fill in an example").click()
    for cholesterol, heading in {"9000": "Please check 1 field", "240": "Result"}.items():
        page.get_by_label("Serum cholesterol").fill(cholesterol)
        page.get_by_role("button", name="Estimate").click()
        page.get_by_role("heading", name=heading).wait_for()


def test_a_field_is_checked_when_it_is_left(desktop: Any) -> None:
    desktop.goto("/")
    desktop.get_by_label("Serum cholesterol").fill("9000")
    desktop.get_by_label("Age").click()
    wrong = desktop.locator("#chol-hint", has_text="Must be a number")
    wrong.wait_for()
    desktop.get_by_label("Serum cholesterol").fill("240")
    desktop.keyboard.press("Tab")
    wrong.wait_for(state="detached")


def test_an_answer_is_no_answer_to_findings_that_were_changed_since(page: Any) -> None:
    page.goto("/")
    estimate(page)
    outdated = page.get_by_text("Not of what is typed below.")
    assert not outdated.is_visible()
    page.get_by_label("Age").fill("77")
    assert outdated.is_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Estimate").click()
    outdated.wait_for(state="hidden")
    page.get_by_label("Sex").select_option("Female")
    assert outdated.is_visible()


def test_the_banner_comes_with_the_answer_where_the_page_is_older_than_the_model(
    desktop: Any,
) -> None:
    desktop.goto("/")
    desktop.evaluate("() => document.querySelector('.banner').remove()")
    estimate(desktop)
    assert desktop.get_by_text("Synthetic data.").is_visible()


def test_the_keyboard_is_enough(desktop: Any) -> None:
    desktop.goto("/")
    desktop.keyboard.press("Tab")
    assert desktop.evaluate("() => document.activeElement.className") == "skip"
    desktop.get_by_label("Age").focus()
    desktop.keyboard.type("54")
    desktop.keyboard.press("Enter")
    desktop.get_by_role("heading", name="Please check").wait_for()
    assert desktop.get_by_label("Age").input_value() == "54"


def test_it_works_without_javascript(browser: Any, service: Service) -> None:
    with opened(browser, service, 1280, "light", java_script_enabled=False) as page:
        page.goto("/")
        for feature in FEATURES:
            field = page.locator(f"#{feature.name}")
            (field.select_option if feature.codes else field.fill)(f"{feature.example:g}")
        page.get_by_role("button", name="Estimate").click()
        page.get_by_role("heading", name="Result").wait_for()
        why = page.get_by_role("region", name="How each finding moved the probability")
        assert why.is_visible()
        page.goto("/model")
        assert page.get_by_role("heading", name="Model card").is_visible()


def test_paper_has_what_is_folded_and_no_buttons(desktop: Any) -> None:
    desktop.goto("/model")
    desktop.emulate_media(media="print")
    assert desktop.get_by_role("columnheader", name="held out (61)").is_visible()
    desktop.goto("/")
    assert not desktop.get_by_role("button", name="Estimate").is_visible()


def test_the_model_page_is_the_card(page: Any) -> None:
    page.goto("/model")
    assert page.get_by_text("registry-v1 is served").is_visible()
    assert page.get_by_role("heading", level=2).first.inner_text() == "In short"
    for heading in ("What it is not for", "Performance", "Groups of patients", "Other hospitals",
                    "Risk bands", "What moves its answers", "Limits"):  # fmt: skip
        assert page.get_by_role("heading", name=heading).is_visible()
    assert page.get_by_role("cell", name="0.90 0.85 to 0.94").first.is_visible()
    page.get_by_text("Verdict of the gate").click()
    assert page.get_by_role("row", name=f"{RULE} 1.07 1.44 ok").is_visible()
    # What a band has meant is its last column, and no table that is cut off there looks so.
    rates = page.get_by_role("columnheader", name="had the disease").first.bounding_box()
    edge = page.locator("section", has_text="Risk bands").bounding_box()
    assert rates["x"] + rates["width"] <= edge["x"] + edge["width"] + 1
    page.get_by_text("Pictures of the held-out patients").click()
    page.get_by_role("img", name="ROC curve").wait_for()
    with page.expect_download() as started:
        page.get_by_role("link", name="Model card as Markdown").click()
    assert started.value.suggested_filename == "registry-v1-card.md"
    assert violations(page) == []
    assert fits(page)


def test_swagger_ui_shows_the_description(page: Any) -> None:
    page.goto("/docs")
    page.get_by_text("Score one patient").wait_for()
    for tag in ("One patient", "Many patients", "Operations", "Registry"):
        assert page.get_by_role("heading", name=tag).is_visible()
    assert violations(page) == []
    assert fits(page)
