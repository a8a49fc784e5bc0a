"""The watch over the browser itself: a refusal by the content security policy must not pass unseen."""

import pytest

pytestmark = pytest.mark.browser

INLINE_SCRIPT = """() => {
    const script = document.createElement("script");
    script.textContent = "document.title = 'it ran'";
    document.head.append(script);
}"""


def test_an_inline_script_is_refused_and_reported(page, problems):
    page.goto("/login/")

    page.evaluate(INLINE_SCRIPT)

    assert page.title() != "it ran"
    [problem] = problems.forget()
    assert "Content Security Policy" in problem


def test_a_missing_file_is_reported(page, problems):
    page.goto("/login/")

    page.evaluate("() => fetch('/static/missing.css')")

    [problem] = problems.forget()
    assert problem.startswith("404 for ")
