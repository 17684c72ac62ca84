"""The Texts view of Compare: columns, the first difference, search, choice, keyboard, what it says where nothing is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from engines.protocol.codec import encode_record
from engines.protocol.records import WrittenText
from tests.widgets.compare.kit import FakeWorkbench
from tests.workbench.synthetic_experiment import experiment_detail
from widgets.compare.page import ComparePage
from widgets.compare.texts.column import TextColumnView
from widgets.compare.texts.rows import (
    Standing,
    as_text,
    columns,
    found_in,
    prompt_rows,
    prompt_title,
    shown_columns,
    spread,
    standings,
)
from widgets.shell.services import Services
from workbench.comparison.comparison import compare
from workbench.comparison.texts import ConfigurationText, PromptTexts
from workbench.store.operations import ExperimentDetail, ReadKinds, SaidRow

GRAVITY = {
    "c-float32": "Gravity pulls masses together.",
    "c-bfloat16": "Gravity pulls masses together.",
    "c-int8": "Gravity pulls 🍎 apples to the ground.",
    "c-float16": "Gravity pulls",
}
LIST = {"c-float32": "one\ntwo", "c-bfloat16": "one\ntwo\nthree", "c-int8": "One"}


def said(detail: ExperimentDetail, prompts: dict[str, dict[str, str]]) -> tuple[SaidRow, ...]:
    rows = []
    for prompt, texts in prompts.items():
        for configuration, text in texts.items():
            trial = next(t.trial for t in detail.trials if t.configuration == configuration and t.block == 0)
            record = WrittenText(prompt_id=prompt, prompt=f"Please {prompt}.", text=text, tokens=len(text.split()))
            rows.append(SaidRow(trial=trial, configuration=configuration, block=0, line=encode_record(record).decode()))
    return tuple(rows)


class Writing(FakeWorkbench):
    """A fake store whose trials wrote texts."""

    prompts: dict[str, dict[str, str]]

    def execute(self, operation: object) -> object:
        if isinstance(operation, ReadKinds):
            self.asked.append(operation)
            return said(self.details[0], self.prompts)
        return super().execute(operation)


@pytest.fixture
def workbench(services: Services, detail: ExperimentDetail) -> Iterator[Writing]:
    fake = Writing(detail)
    fake.prompts = {"explain-gravity": GRAVITY, "list_numbers": LIST}
    services.bridge.attach(fake)  # type: ignore[arg-type]
    yield fake
    services.bridge.detach()
    fake.close()


def opened(qtbot: QtBot, page: ComparePage) -> None:
    qtbot.mouseClick(page.tools.texts, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: page.texts.view.current is not None)


def shown(page: ComparePage) -> list[TextColumnView]:
    return [v for v in page.texts.view.views if not v.isHidden()]


def by(page: ComparePage, configuration: str) -> TextColumnView:
    return next(v for v in shown(page) if v.column.configuration == configuration)


# --- values ---------------------------------------------------------------------------------------------


def one(text: str | None, at: int | None, *, baseline: bool = False, reason: str = "") -> ConfigurationText:
    return ConfigurationText("c", "C", 0, baseline, text=text, tokens=3, first_difference=at, reason=reason)


@pytest.mark.parametrize(
    ("text", "at", "same", "mark", "words"),
    [
        ("one two three", 4, 4, (4, 7), "Same for 4 characters"),
        ("one two three", 0, 0, (0, 3), "Differs from the first character"),
        ("one", 3, 3, None, "Same for 3 characters, then ends"),
        ("o n", 2, 2, (2, 3), "Same for 2 characters"),
        ("a  b", 1, 1, (1, 2), "Same for 1 character"),
    ],
)
def test_that_the_first_difference_is_marked_to_the_end_of_its_word(
    text: str, at: int, same: int, mark: tuple[int, int] | None, words: str
) -> None:
    (made,) = columns(PromptTexts("p", "P", (one(text, at),)), ("c",), {})
    assert (made.same, made.mark) == (same, mark)
    assert made.meta.startswith(f"{words} · ")


def test_that_equal_texts_a_baseline_and_a_missing_text_are_told_apart() -> None:
    (same,) = columns(PromptTexts("p", "P", (one("x", None),)), ("c",), {})
    (base,) = columns(PromptTexts("p", "P", (one("x", None, baseline=True),)), ("c",), {"c": "Short"})
    (none,) = columns(PromptTexts("p", "P", (one(None, None, reason="It failed."),)), ("c",), {})
    assert same.meta.startswith("Same as the baseline")
    assert (base.title, base.meta.partition(" · ")[0]) == ("Short", "Baseline")
    assert (none.text, none.reason) == ("", "It failed.")


def test_that_prompts_have_titles_and_say_how_many_differ() -> None:
    texts = (one("a", None, baseline=True), one("b", 0), one("a", None))
    assert prompt_rows((PromptTexts("explain-gravity", "", texts),))[0].summary == "1 of 2 differ"
    assert prompt_rows((PromptTexts("x", "", (texts[0], texts[2])),))[0].summary == "both the same"
    assert prompt_rows((PromptTexts("x", "", texts[:2]),))[0].summary == "the two differ"
    assert prompt_rows((PromptTexts("x", "", (*texts[:1], *texts[2:], *texts[2:])),))[0].summary == "all 3 the same"
    assert prompt_rows((PromptTexts("x", "", texts[:1]),))[0].summary == "one text"
    assert prompt_title("explain-gravity_now") == "Explain gravity now"
    assert prompt_title("") == "Prompt"


def test_that_a_search_is_found_without_regard_to_case_and_never_as_a_pattern() -> None:
    assert found_in("Aa.a", "a") == ((0, 1), (1, 2), (3, 4))
    assert found_in("a+b", "a+") == ((0, 2),)
    assert found_in("abc", "  ") == ()


def test_that_the_first_columns_hold_both_engines_and_both_ends_of_size() -> None:
    hf, gguf = "transformers", "llama.cpp"
    known = {f"hf-{size}": Standing(hf, float(size)) for size in (320, 160, 90, 60)}
    known |= {f"gguf-{size}": Standing(gguf, float(size)) for size in (160, 90, 50, 40)}
    found = spread(tuple(known), known, 4)
    assert found[0] == "hf-320"
    assert "gguf-40" in found
    assert {known[c].engine for c in found} == {hf, gguf}
    assert len(found) == 4
    assert list(found) == [c for c in known if c in found]


def test_that_a_baseline_in_the_middle_leaves_room_for_smallest_and_largest() -> None:
    known = {c: Standing("e", size) for c, size in (("b", 4.0), ("c", 3.0), ("d", 1.0), ("e", 2.0), ("f", 8.0))}
    assert spread(tuple(known), known, 3) == ("b", "d", "f")


def test_that_of_one_size_the_engines_are_still_spread() -> None:
    known = {c: Standing(engine, 5.0) for c, engine in (("a", "x"), ("b", "x"), ("c", "x"), ("d", "x"), ("e", "y"))}
    assert spread(tuple(known), known, 3) == ("a", "b", "e")


def test_that_the_first_columns_are_the_first_ones_where_nothing_is_known() -> None:
    assert spread("abcde", {}, 4) == ("a", "b", "c", "d")
    assert spread("ab", {"b": Standing("e", None)}, 4) == ("a", "b")
    assert spread((), {}, 4) == ()


def test_that_sizes_and_engines_are_those_of_the_comparison() -> None:
    found = standings(compare(experiment_detail(2)))
    assert {s.engine for s in found.values()} == {"transformers"}
    assert all(s.size is None or s.size > 0 for s in found.values())
    assert any(s.size for s in found.values())


def test_that_without_prompts_there_are_no_columns() -> None:
    assert shown_columns((), None) == ()


# --- the view -------------------------------------------------------------------------------------------


def test_that_texts_stand_side_by_side_with_the_baseline_first(qtbot: QtBot, page: ComparePage) -> None:
    opened(qtbot, page)
    view = page.texts.view
    assert view.isVisible()
    assert view.prompt.toPlainText() == "Please explain-gravity."
    assert shown(page)[0].column.configuration == "c-float32"
    assert by(page, "c-bfloat16").column.meta.startswith("Same as the baseline")
    assert "Same for 14 characters" in by(page, "c-int8").column.meta
    assert "then ends" in by(page, "c-float16").column.meta
    assert [v.column.title for v in shown(page)] == ["float32", "bfloat16", "int8", "float16"]


def test_that_the_mark_stands_on_the_right_letters_also_behind_an_emoji(qtbot: QtBot, page: ComparePage) -> None:
    opened(qtbot, page)
    marks = by(page, "c-int8").area.extraSelections()
    assert [m.cursor.selectedText() for m in marks] == ["Gravity pulls ", "🍎"]  # type: ignore[attr-defined]
    page.texts.view.search.setText("ground")
    marks = by(page, "c-int8").area.extraSelections()
    assert marks[-1].cursor.selectedText() == "ground"  # type: ignore[attr-defined]


def test_that_the_next_prompt_is_a_key_away_and_missing_texts_say_why(qtbot: QtBot, page: ComparePage) -> None:
    opened(qtbot, page)
    prompts = page.texts.view.prompts
    assert prompts.hasFocus()
    qtbot.keyClick(prompts, Qt.Key.Key_Down)
    assert page.texts.view.prompt.toPlainText() == "Please list_numbers."
    page.texts.view.choose(("c-float16", "c-int8"))
    assert by(page, "c-float16").area.toPlainText() == by(page, "c-float16").column.reason
    assert by(page, "c-float16").column.reason
    assert "first character" in by(page, "c-int8").column.meta


def test_that_columns_are_chosen_and_the_baseline_stays(qtbot: QtBot, page: ComparePage) -> None:
    opened(qtbot, page)
    view = page.texts.view
    view._fill_menu()
    actions = {a.text(): a for a in view._menu.actions()}
    assert not actions["float32 (baseline)"].isEnabled()
    actions["bfloat16"].trigger()
    assert [v.column.configuration for v in shown(page)] == ["c-float32", "c-int8", "c-float16"]
    assert view.header.count.text() == "3 of 4 configurations"
    page.texts.show(page.texts._loaded)  # type: ignore[arg-type]  # the experiment changed: the choice stays
    qtbot.wait(50)
    assert len(shown(page)) == 3


def test_that_arrows_go_from_column_to_column_and_back_to_the_prompts(qtbot: QtBot, page: ComparePage) -> None:
    opened(qtbot, page)
    view = page.texts.view
    qtbot.keyClick(view.prompts, Qt.Key.Key_Right)
    assert shown(page)[0].area.hasFocus()
    qtbot.keyClick(shown(page)[0].area, Qt.Key.Key_Right)
    assert shown(page)[1].area.hasFocus()
    qtbot.keyClick(shown(page)[1].area, Qt.Key.Key_Left)
    qtbot.keyClick(shown(page)[0].area, Qt.Key.Key_Left)
    assert view.prompts.hasFocus()


def test_that_texts_are_copied_one_or_all_with_their_prompt(qtbot: QtBot, page: ComparePage) -> None:
    opened(qtbot, page)
    qtbot.mouseClick(by(page, "c-int8").copy, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == GRAVITY["c-int8"]
    page.texts.view.copy()
    text = QGuiApplication.clipboard().text()
    assert "Please explain-gravity." in text
    assert all(words in text for words in GRAVITY.values())
    assert text == as_text(page.texts.view.current, [v.column for v in shown(page)])  # type: ignore[arg-type]


def test_that_ctrl_f_finds_in_the_texts_while_they_are_shown(qtbot: QtBot, page: ComparePage) -> None:
    opened(qtbot, page)
    page.focus_filter()
    assert page.texts.view.search.hasFocus()
    qtbot.keyClicks(page.texts.view.search, "apples")
    qtbot.keyClick(page.texts.view.search, Qt.Key.Key_Escape)
    assert page.texts.view.search.text() == ""


def test_that_the_button_goes_back_to_the_figures(qtbot: QtBot, page: ComparePage) -> None:
    opened(qtbot, page)
    qtbot.mouseClick(page.tools.texts, Qt.MouseButton.LeftButton)
    assert page.table.isVisible()
    assert not page.tools.texts.isChecked()


def test_that_without_texts_the_view_says_how_to_get_them(
    qtbot: QtBot, page: ComparePage, workbench: Writing, services: Services
) -> None:
    workbench.prompts = {}
    qtbot.mouseClick(page.tools.texts, Qt.MouseButton.LeftButton)
    view = page.texts.view
    qtbot.waitUntil(lambda: "No text was written" in view.empty.title.text())
    assert "Set Texts in Setup's Workload" in view.empty.text.text()
    qtbot.mouseClick(view.empty.button, Qt.MouseButton.LeftButton)
    assert services.navigate.asked[-1][0] == "setup"  # type: ignore[attr-defined]


def test_that_nothing_is_read_while_the_view_is_closed(page: ComparePage, workbench: Writing) -> None:
    page._show()
    assert not any(isinstance(o, ReadKinds) for o in workbench.asked)


# --- quality against ... ----------------------------------------------------------------------------------


def test_that_quality_against_memory_is_one_click(qtbot: QtBot, page: ComparePage) -> None:
    against = page.charts.against
    button = against._group.button(0)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert page.charts.pair == ("memory_mean_bytes", "perplexity")
    chart = page.charts.scatter.view.chart
    assert chart.front
    assert against.index == 0
    qtbot.mouseClick(against._group.button(1), Qt.MouseButton.LeftButton)
    assert page.charts.pair == ("decode_tokens_per_second", "perplexity")
    assert not against._group.button(2).isEnabled()  # no power sensor here
    assert "not available" in against._group.button(2).toolTip()
    page.charts._choose_up("tensor_bytes")
    assert against.index == -1


def test_that_the_actions_do_the_same_and_leave_the_texts(qtbot: QtBot, page: ComparePage) -> None:
    opened(qtbot, page)
    page.trade_off("memory")
    assert not page.texts.open
    assert page.charts.pair[0] == "memory_mean_bytes"
