"""The Compare page's plain values: filter, columns, cells, order, card, notes. No widget is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QSettings

from engines.protocol.codec import encode_record
from engines.protocol.records import TaskScore
from tests.widgets.compare.kit import MEMORY, POWER, SPEED, column
from widgets.compare import kept_view
from widgets.compare.card.view import Strip, configuration_card, trial_card
from widgets.compare.loading import compared
from widgets.compare.matching import parse
from widgets.compare.table.build import build, count_text, folded, natural
from widgets.compare.table.cells import trials_cell
from widgets.compare.table.notes import notes_of, same_text
from widgets.compare.table.views import DASH, CellView, Choice, Loaded, RowView, TableView
from widgets.compare.toolbar import experiment_text
from widgets.parts.exports import table_text, write_all
from workbench.charts.stored import bar_chart
from workbench.comparison.trials import Trouble
from workbench.store.operations import ExperimentDetail, ReasonRow


def row(view: TableView, name: str) -> RowView:
    return next(r for r in view.rows if r.configuration == f"c-{name}")


def cell(view: TableView, name: str, metric: str) -> CellView:
    place = [c.metric for c in view.columns].index(metric)
    return row(view, name).cells[place]


# --- warnings -------------------------------------------------------------------------------------


def with_warnings(loaded: Loaded, configuration: str, message: str) -> Loaded:
    """The same experiment, the trials of one configuration with a warning."""
    detail = loaded.detail
    warned = [t for t in detail.trials if t.configuration == configuration and t.verdict == "valid"]
    assert warned
    trials = tuple(msgspec.structs.replace(t, verdict="warning") if t in warned else t for t in detail.trials)
    reasons = tuple(ReasonRow(trial=t.trial, code="busy_machine", severity="warning", message=message) for t in warned)
    return compared(msgspec.structs.replace(detail, trials=trials, reasons=(*detail.reasons, *reasons)))


def test_that_a_row_says_how_many_of_its_trials_carry_a_warning_and_why(loaded: Loaded) -> None:
    warned = with_warnings(loaded, "c-bfloat16", "The machine was busy.")
    view = build(warned, Choice())
    place = [c.kind for c in view.columns].index("trials")
    said = row(view, "bfloat16").cells[place]
    assert (said.text, said.second, said.tone) == ("3", "3 warned", "warn")
    assert "3 trials with a warning: The machine was busy." in said.tip
    assert "busy" in said.spoken
    plain = row(view, "float32").cells[place]
    assert (plain.text, plain.second) == ("3", "")


def test_that_a_trouble_is_short_in_the_cell_and_whole_in_the_tooltip(loaded: Loaded) -> None:
    failed = replace(loaded.comparison.rows[0], failed=(Trouble(2, "failed", "engine: no memory"), Trouble(1, "lost")))
    said = trials_cell(failed, ())
    assert said.second == "2 failed, 1 lost"
    assert "2 failed: engine: no memory, 1 lost" in said.tip


def test_that_warnings_are_counted_under_the_table(loaded: Loaded) -> None:
    warned = with_warnings(loaded, "c-bfloat16", "The machine was busy.")
    notes = notes_of(warned.comparison, (), warned.detail.trials)
    assert notes[0].startswith(f"3 of {len(warned.detail.trials)} trials carry a warning")
    assert not any("warning" in n for n in notes_of(loaded.comparison, (), loaded.detail.trials))


# --- filter ---------------------------------------------------------------------------------------


def test_that_a_named_term_looks_only_into_labels_of_that_name() -> None:
    wanted = parse("precision:int", frozenset({"precision", "model"}))
    assert wanted.matches({"precision": "int8", "model": "x"})
    assert not wanted.matches({"precision": "bfloat16", "model": "int"})


def test_that_all_words_must_match_and_regular_expressions_work() -> None:
    wanted = parse("(bf|fl)oat16 smol", frozenset({"precision"}))
    assert wanted.matches({"precision": "bfloat16", "model": "SmolLM2"})
    assert not wanted.matches({"precision": "int8", "model": "SmolLM2"})


def test_that_a_word_that_is_no_regular_expression_is_taken_letter_by_letter() -> None:
    wanted = parse("(from")
    assert wanted.plain == ("(from",)
    assert wanted.matches({"model": "SmolLM2 (from Q4_1)"})


def test_that_a_colon_that_names_no_label_belongs_to_the_pattern() -> None:
    assert parse("1:2", frozenset({"precision"})).matches({"x": "ratio 1:2"})


@given(st.text(max_size=30))
def test_that_no_filter_text_raises(text: str) -> None:
    parse(text, frozenset({"precision"})).matches({"precision": "int8"})


# --- table ----------------------------------------------------------------------------------------


def test_that_what_is_the_same_for_all_is_folded_and_can_be_shown(loaded: Loaded) -> None:
    first = build(loaded, Choice())
    assert [c.title for c in first.columns][:2] == ["Precision", "Trials"]
    assert "model" in folded(loaded.comparison, Choice())
    shown = build(loaded, Choice(show_constant=True))
    assert "Model" in [c.title for c in shown.columns]
    assert folded(loaded.comparison, Choice(show_constant=True)) == ()


def test_that_without_differences_first_all_labels_stand_in_their_order(loaded: Loaded) -> None:
    titles = [c.title for c in build(loaded, Choice(differences_first=False)).columns]
    assert titles[0] == "Model"
    assert titles[1] == "Precision"


def test_that_a_cell_has_verdict_value_ratio_and_interval(loaded: Loaded) -> None:
    fast = cell(build(loaded, Choice()), "bfloat16", SPEED)
    assert fast.word == "faster"
    assert fast.tone == "good"
    assert fast.second.endswith("×")
    assert fast.rest.startswith("[")
    assert "faster" in fast.spoken


def test_that_the_baseline_says_so_and_stays_on_top_in_any_order(loaded: Loaded) -> None:
    for descending in (False, True):
        view = build(loaded, Choice(sort=f"metric:{SPEED}", descending=descending))
        assert view.rows[0].baseline
        assert cell(view, "float32", SPEED).second == "baseline"


def test_that_a_click_on_a_column_sorts_best_first_then_turns_then_ends(loaded: Loaded) -> None:
    view = build(loaded, Choice())
    speed = view.column(f"metric:{SPEED}")
    memory_ = view.column(f"metric:{MEMORY}")
    assert speed is not None
    assert memory_ is not None
    first = Choice().sorted_by(speed)
    assert first.descending, "more tokens a second are better"
    assert not Choice().sorted_by(memory_).descending
    assert not first.sorted_by(speed).descending
    assert first.sorted_by(speed).sorted_by(speed).sort == ""
    names = [r.configuration for r in build(loaded, first).rows]
    assert names == ["c-float32", "c-bfloat16", "c-int8", "c-float16"]


def test_that_missing_values_sort_last_whichever_way(loaded: Loaded) -> None:
    gone = {t.trial for t in loaded.detail.trials if t.configuration == "c-int8"}
    less = msgspec.structs.replace(
        loaded.detail,
        metrics=tuple(m for m in loaded.detail.metrics if m.trial not in gone or m.metric != SPEED),
    )
    for descending in (False, True):
        view = build(compared(less), Choice(sort=f"metric:{SPEED}", descending=descending))
        assert view.rows[-1].configuration == "c-int8"


def test_that_a_missing_figure_is_a_dash_with_its_reason(loaded: Loaded) -> None:
    view = build(loaded, Choice(metrics=(SPEED, POWER)))
    missing = cell(view, "float32", POWER)
    assert missing.text == DASH
    assert "No power sensor" in missing.tip
    assert "No power sensor" in missing.spoken
    assert any("Power" in note and "No power sensor" in note for note in notes_of(loaded.comparison, ()))


def test_that_failed_and_invalid_trials_are_visible_and_explained(loaded: Loaded) -> None:
    view = build(loaded, Choice())
    trials = next(i for i, c in enumerate(view.columns) if c.kind == "trials")
    assert row(view, "float16").cells[trials].text == "2 of 3"
    assert row(view, "float16").cells[trials].tone == "warn"
    failed = next(c for c in row(view, "float16").children if c.tone == "error")
    assert "out of memory" in failed.message
    invalid = next(c for c in row(view, "int8").children if c.message)
    assert "clock" in invalid.message


def test_that_the_filter_counts_trials_and_reaches_outcomes(loaded: Loaded) -> None:
    view = build(loaded, Choice(text="precision:int8"))
    assert [r.configuration for r in view.rows] == ["c-int8"]
    assert count_text(loaded, view, "precision:int8") == "3 of 12 trials"
    failed = build(loaded, Choice(text="outcome:failed"))
    assert [len(r.children) for r in failed.rows] == [1]


def test_that_by_trial_every_trial_is_a_row(loaded: Loaded) -> None:
    view = build(loaded, Choice(by_trial=True))
    assert len(view.rows) == 12
    assert all(r.trial and r.flat for r in view.rows)


def test_that_a_running_experiment_says_how_far_it_is(loaded: Loaded) -> None:
    trials = tuple(
        msgspec.structs.replace(t, state="waiting", outcome=None, verdict=None) if i >= 7 else t
        for i, t in enumerate(loaded.detail.trials)
    )
    running = compared(msgspec.structs.replace(loaded.detail, trials=trials))
    assert count_text(running, build(running, Choice()), "") == "7 of 12 trials so far"


def test_that_values_read_differently_where_they_differ(loaded: Loaded) -> None:
    view = build(loaded, Choice(metrics=("perplexity",)))
    texts = [r.cells[-1].text for r in view.rows]
    assert len(set(texts)) == len({c.value for r in loaded.comparison.rows for c in [r.cells["perplexity"]]})


@pytest.mark.parametrize(("small", "large"), [("64", "1,024"), ("2", "10"), ("9", "int8")])
def test_that_numbers_sort_by_size_and_before_words(small: str, large: str) -> None:
    assert natural(small) < natural(large)


# --- card -----------------------------------------------------------------------------------------


def test_that_the_card_says_how_the_number_was_made(loaded: Loaded) -> None:
    card = configuration_card(loaded, "c-int8", column(loaded, MEMORY))
    fields = {name: text for name, text, _ in card.fields}
    assert set(fields) >= {"Definition", "Method", "n", "Interval", "Ratio", "Window", "Left out", "Verdict"}
    assert "fresh process" in fields["n"]
    assert "t interval" in fields["Interval"]
    assert "clock jump" in fields["Left out"]
    assert fields["Verdict"].startswith("Less than the baseline float32")
    assert card.status == "good"
    assert "e-fake" in card.provenance
    assert len(card.strip.values) == 2
    assert len(card.strip.left_out) == 1


def test_that_the_card_of_a_missing_figure_gives_the_reason(loaded: Loaded) -> None:
    card = configuration_card(loaded, "c-int8", column(loaded, POWER))
    assert card.value == "not available"
    assert any(name == "Missing" and "No power sensor" in text for name, text, _ in card.fields)


def test_that_a_trial_that_does_not_count_says_so_on_its_card(loaded: Loaded) -> None:
    invalid = next(t.trial for t in loaded.detail.trials if t.verdict == "invalid" and t.outcome == "completed")
    card = trial_card(loaded, invalid, column(loaded, SPEED))
    assert card.chip == "invalid"
    assert any(name == "Verdict" and text.startswith("Left out") for name, text, _ in card.fields)


def test_that_a_strip_stays_with_its_values_when_the_interval_is_far_wider() -> None:
    low, high = Strip(values=(10.0, 12.0), interval=(0.01, 900.0), baseline=15.0).ends
    assert low >= 0
    assert high < 30


def test_that_no_card_is_made_for_a_configuration_that_is_gone(loaded: Loaded) -> None:
    assert configuration_card(loaded, "c-gone", column(loaded, SPEED)) is None


# --- the rest -------------------------------------------------------------------------------------


def test_that_columns_and_order_are_remembered_and_rubbish_is_not(tmp_path: Path) -> None:
    settings = QSettings(str(tmp_path / "w.ini"), QSettings.Format.IniFormat)
    choice = Choice(metrics=(SPEED,), by_trial=True, sort="trials", descending=True, differences_first=False)
    kept_view.save_choice(settings, replace(choice, text="int8", hidden=frozenset({"c"})))
    assert kept_view.load_choice(settings) == choice
    settings.setValue("compare/choice", "[1, 2")
    assert kept_view.load_choice(settings) == Choice()
    kept_view.save_layout(settings, {"trials": 90}, SPEED, (SPEED, MEMORY), 1)
    assert kept_view.load_layout(settings) == ({"trials": 90}, SPEED, (SPEED, MEMORY), 1)
    assert kept_view.load_shown(settings) == ("", "")
    kept_view.save_shown(settings, "e-1", "e-2")
    assert kept_view.load_shown(settings) == ("e-1", "e-2")
    settings.setValue("compare/shown", '{"shown": 3}')
    assert kept_view.load_shown(settings) == ("", "")


def test_that_an_experiment_is_told_by_name_number_date_and_counts(loaded: Loaded) -> None:
    text = experiment_text(loaded.detail.experiment)
    assert "number 12" in text
    assert "11 of 12 trials completed" in text
    assert "1 failed" in text


def test_that_plain_numbers_carry_their_label() -> None:
    assert same_text({"model": "M", "prompt tokens": "128", "batch": "1"}) == "M, 128 prompt tokens, batch 1"
    assert same_text({"attention kernel": "sdpa (transformers)"}) == "attention kernel sdpa (transformers)"


def test_that_an_export_writes_tables_and_the_charts_that_are_shown(loaded: Loaded, tmp_path: Path) -> None:
    shown = bar_chart(loaded.comparison, SPEED, frozenset({"c-int8"}))
    files = write_all(loaded.comparison, (SPEED,), (shown,), ("svg", "csv"), tmp_path / "out")
    assert sorted(f.suffix for f in files) == [".csv", ".svg"]
    svg = next(f for f in files if f.suffix == ".svg").read_text(encoding="utf-8")
    assert "int8" not in svg.partition("</metadata>")[2]


def test_that_the_copied_table_has_a_line_a_configuration(loaded: Loaded) -> None:
    assert len(table_text(loaded.comparison, (SPEED,)).splitlines()) == 5


def test_that_a_hundred_configurations_are_built_in_a_moment(loaded: Loaded) -> None:
    detail = many(loaded.detail, 25)
    big = compared(detail)
    view = build(big, Choice(sort=f"metric:{SPEED}", descending=True))
    assert len(view.rows) == 100
    assert sum(len(r.children) for r in view.rows) == 300


def many(detail: ExperimentDetail, times: int) -> ExperimentDetail:
    """Copies of the four configurations under other names."""
    configurations, trials, metrics = [], [], []
    for i in range(times):
        configurations += [
            msgspec.structs.replace(c, configuration=f"{c.configuration}-{i}", position=c.position + 4 * i)
            for c in detail.configurations
        ]
        trials += [
            msgspec.structs.replace(t, trial=f"{t.trial}-{i}", configuration=f"{t.configuration}-{i}")
            for t in detail.trials
        ]
        metrics += [msgspec.structs.replace(m, trial=f"{m.trial}-{i}") for m in detail.metrics]
    return msgspec.structs.replace(
        detail, configurations=tuple(configurations), trials=tuple(trials), metrics=tuple(metrics)
    )


# --- tasks ----------------------------------------------------------------------------------------


def test_that_a_score_shows_its_error_and_that_it_is_near_chance_in_table_and_card(loaded: Loaded) -> None:
    metric = "accuracy_mean_ratio"
    chances = {"c-float32": 0.05, "c-int8": 0.25}
    trials = {t.trial: t.configuration for t in loaded.detail.trials if t.configuration in chances}
    metrics = tuple(
        msgspec.structs.replace(m, value=0.3, n=100, scope="100 questions", reason="", method="mean of 1 task")
        if m.metric == metric and m.trial in trials
        else m
        for m in loaded.detail.metrics
    )
    lines = {
        trial: (
            encode_record(
                TaskScore(task="t", measure="acc", score=0.3, samples=100, chance=chances[of], data_name="d", begin="")
            ).decode(),
        )
        for trial, of in trials.items()
    }
    scored = compared(msgspec.structs.replace(loaded.detail, metrics=metrics, evaluations=lines))
    view = build(scored, Choice(metrics=(metric,)))
    clear, near = cell(view, "float32", metric), cell(view, "int8", metric)
    assert (clear.text, clear.second, clear.tone) == ("30.0 ± 4.5", "baseline", "muted")
    assert (near.text, near.second, near.tone) == ("30.0 ± 4.5", "near chance", "mark")
    assert "over the questions: 100 questions" in near.tip
    assert near.spoken.endswith("near chance")
    card = configuration_card(scored, "c-int8", view.columns[-1])
    assert (card.value, card.chip, card.status) == ("30.0 ± 4.5", "near chance", "warn")
    assert "Not better than chance" in {label: text for label, text, _ in card.fields}["Verdict"]
