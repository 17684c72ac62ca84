"""The Data panel of fine-tuning: settings that have an effect, rows as the model sees them, and why there are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QSignalSpy
from PySide6.QtWidgets import QComboBox
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from engines.data.training.preview import BadRow, Preview, ShownDocument, ShownRow
from engines.models.lookup.resolved import ResolvedModel
from engines.protocol.orders import ModelOrder, Training
from engines.protocol.places import Places
from engines.protocol.problems import Problem
from engines.techniques import ModelFacts
from tests.widgets.setup.kit import FakeWorkbench
from widgets.background.bridge import Bridge
from widgets.setup.models.rows import Resolved
from widgets.setup.training import preview as preview_module
from widgets.setup.training.all_rows import RowsModel, cells, same_beginning
from widgets.setup.training.data_field import DataField
from widgets.setup.training.data_panel import DataPanel, bad_text, split_text
from widgets.setup.training.preview import Asked, PreviewSource
from widgets.setup.training.token_view import TokenView, shown, spoken
from widgets.shell.services import Services
from widgets.theme.theme import Theme
from workbench.experiment.experiment import Experiment, WorkloadChoice
from workbench.running.data_preview import PreviewFailed

ROWS = 120


class Reader:
    """Cuts rows without a tokenizer, or fails as it is asked to."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.error: PreviewFailed | None = None
        self.hash = "sha256:0"

    def __call__(self, asked: Asked) -> Preview:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error
        used = {"prompt": asked.workload.prompt_column or "question", "response": "answer", "text": ""}
        if asked.workload.text_column:
            used = {"text": asked.workload.text_column}
        last = min(asked.first + 50, ROWS - 2)
        return Preview(
            name="pairs.csv",
            hash=self.hash,
            rows=ROWS,
            first=asked.first,
            shown=tuple(row(number, bool(asked.model)) for number in range(asked.first, last)),
            bad=2,
            bad_rows=(BadRow(place="line 7", reason="has no response"), BadRow(place="line 9", reason="is empty")),
            names=("question", "answer", "date"),
            columns=used,
            splits={"train": 108, "validation": 5, "test": 5},
        )


def row(number: int, cut: bool = True) -> ShownRow:
    tokens = ["<|im_start|>", "user", "\n", f" row{number}", "<|im_end|>", "\n", "answer", "."]
    document = ShownDocument(list(range(8)), tokens, [False] * 6 + [True] * 2, 2, 6)
    return ShownRow(place=f"line {number + 2}", split="train", documents=(document,) if cut else ())


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def panel(
    qtbot: QtBot, theme: Theme, services: Services, fake: FakeWorkbench, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> DataPanel:
    monkeypatch.setattr(preview_module, "DELAY_MS", 5)
    bridge: Bridge = services.bridge
    made = DataPanel(theme, PreviewSource(bridge, reader))
    qtbot.addWidget(made)
    made.resize(400, 416)
    made.show()
    return made


def resolved(kind: str = "folder") -> Resolved:
    facts = ModelFacts(kind=kind, architecture="llama", parameters=1, stored_bytes=2, stored_dtype="bfloat16")
    order = ModelOrder(ref="m", title="m", kind=kind, path="/m")  # type: ignore[arg-type]
    return Resolved({"m": ResolvedModel(order=order, facts=facts, quality_available=kind != "random")}, None, Path("/"))


def experiment(**values: object) -> Experiment:
    return Experiment(models=("m",), workload=WorkloadChoice.of("training", **values))  # type: ignore[arg-type]


def shown_panel(qtbot: QtBot, panel: DataPanel, **values: object) -> DataPanel:
    panel.show_experiment(experiment(data="pairs.csv", **values), resolved())
    qtbot.waitUntil(lambda: panel.row.stack.currentWidget() is panel.row.tokens)
    return panel


# --- rows ---------------------------------------------------------------------------------------------


def test_that_a_row_is_shown_as_the_model_sees_it(qtbot: QtBot, panel: DataPanel) -> None:
    shown_panel(qtbot, panel)
    assert panel.row.title.text() == "Row 1 as the model sees it"
    assert panel.row.count.text() == "8 tokens"
    assert panel.row.masked.text() == "masked: 6"
    assert panel.row.trained.text() == "trained on: 2"
    assert panel.header.count.text() == "118 of 120 rows"
    assert panel.split_hint.text() == "108 to train on, 5 for validation, 5 for the test"
    assert panel.bad.text.text() == "2 rows left out: line 7 has no response; line 9 is empty."
    assert "masked, 6 tokens" in panel.row.tokens.accessibleDescription()


def test_that_rows_are_stepped_through_by_mouse_and_keyboard(qtbot: QtBot, panel: DataPanel, reader: Reader) -> None:
    shown_panel(qtbot, panel)
    assert not panel.row.previous.isEnabled()
    assert panel.row.previous.toolTip() == "This is the first row"
    qtbot.mouseClick(panel.row.next, Qt.MouseButton.LeftButton)
    assert panel.row.title.text() == "Row 2 as the model sees it"
    panel.row.tokens.setFocus()
    qtbot.keyClick(panel.row.tokens, Qt.Key.Key_Left)
    assert panel.row.title.text() == "Row 1 as the model sees it"
    panel.row.step(49)
    panel.row.step(1)
    qtbot.waitUntil(lambda: panel.row.title.text() == "Row 51 as the model sees it")
    assert [asked.first for asked in reader.asked] == [0, 50]
    panel.row.step(ROWS - 2 - 51)
    qtbot.waitUntil(lambda: panel.row.title.text() == "Row 118 as the model sees it")
    assert not panel.row.next.isEnabled(), "bad rows are not shown"


def test_that_all_rows_are_a_table_that_reads_what_comes_into_view(
    qtbot: QtBot, panel: DataPanel, reader: Reader
) -> None:
    assert not panel.show_all.isEnabled(), "nothing was read yet"
    shown_panel(qtbot, panel)
    panel.resize(900, 500)
    qtbot.mouseClick(panel.show_all, Qt.MouseButton.LeftButton)
    sheet = panel.all_rows
    assert sheet.isVisible()
    assert sheet.header.count.text() == "118 can be used"
    assert sheet.model.rowCount() == ROWS - 2

    def row_of(number: int) -> list[object]:
        return [sheet.model.index(number, column).data() for column in range(sheet.model.columnCount())]

    assert row_of(0) == ["1", "line 2", "train", "8", "2", "<|im_start|>user↵ row0<|im_end|>↵answer."]
    assert row_of(117) == ["118", "", "", "", "", ""]
    sheet.view.setFocus()
    qtbot.keyClick(sheet.view, Qt.Key.Key_End, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: row_of(117)[1] == "line 119")
    assert sheet.view.currentIndex().row() == 117
    assert 50 < reader.asked[-1].first < 117, "what is in view, and not what lies before it"
    assert row_of(60)[1] == ""
    qtbot.keyClick(sheet.view, Qt.Key.Key_Return)
    assert not sheet.isVisible()
    qtbot.waitUntil(lambda: panel.row.title.text() == "Row 118 as the model sees it")


def test_that_rows_of_other_data_take_the_place_of_those_before(qtbot: QtBot, panel: DataPanel, reader: Reader) -> None:
    shown_panel(qtbot, panel)
    panel.resize(900, 500)
    panel.show_all.click()
    sheet = panel.all_rows
    assert sheet is not None
    qtbot.keyClick(sheet, Qt.Key.Key_Escape)
    assert not sheet.isVisible()
    reader.hash = "sha256:1"
    panel.source.again()
    qtbot.waitUntil(lambda: panel._preview is not None and panel._preview.hash == "sha256:1")
    panel.show_all.click()
    assert sheet.model._hash == "sha256:1"
    reader.error = PreviewFailed("The data could not be read.", "Try again.")
    sheet.view.scrollToBottom()
    qtbot.waitUntil(lambda: sheet.hint.text() == "The data could not be read. Try again.")


@pytest.mark.parametrize(
    ("made", "texts"),
    [
        (None, ("3", "", "", "", "", "")),
        (ShownRow(place="line 4", split="", left_out="it is too long"), ("3", "line 4", "left out", "", "not", "")),
        (
            ShownRow(place="l", split="test", turns=(("user", "a\nb"), ("assistant", "c"))),
            ("3", "l", "test", "", "", "a b c"),
        ),
    ],
)
def test_that_a_row_without_tokens_has_no_counts(made: ShownRow | None, texts: tuple[str, ...]) -> None:
    assert cells(2, made) == texts


def test_that_the_rows_are_a_sound_model(qtmodeltester: ModelTester, reader: Reader) -> None:
    model = RowsModel()
    qtmodeltester.check(model)
    model.take(reader(Asked(Training(), "/m", "/")))
    qtmodeltester.check(model)
    assert model.missing(0, 49) is None
    assert model.missing(0, 50) == 50
    assert model.missing(117, 400) == 117
    assert model.missing(118, 400) is None


def test_that_a_failure_says_what_to_do_and_can_be_tried_again(qtbot: QtBot, panel: DataPanel, reader: Reader) -> None:
    reader.error = PreviewFailed("There is no file pairs.csv.", "Choose another file.")
    panel.show_experiment(experiment(data="pairs.csv"), resolved())
    assert panel.row.message.text.text() == "Reading the data"
    qtbot.waitUntil(lambda: panel.row.message.text.text() == "There is no file pairs.csv.")
    assert panel.row.message.advice.text() == "Choose another file."
    assert panel.header.count.text() == ""
    reader.error = None
    qtbot.mouseClick(panel.row.message.again, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.row.stack.currentWidget() is panel.row.tokens)


def test_that_a_home_of_nobody_in_a_path_is_a_name_like_any_other(
    qtbot: QtBot, panel: DataPanel, reader: Reader
) -> None:
    panel.show_experiment(experiment(data="~nobody-of-that-name/a.csv"), resolved())
    qtbot.waitUntil(lambda: len(reader.asked) == 1)


@pytest.mark.parametrize("way", ["written", "replaced", "removed first"])
def test_that_a_file_that_changes_is_read_and_planned_again(
    qtbot: QtBot, panel: DataPanel, reader: Reader, tmp_path: Path, way: str
) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("question,answer\n1,2\n")
    panel.show_experiment(experiment(data=str(file)), resolved())
    qtbot.waitUntil(lambda: panel.row.stack.currentWidget() is panel.row.tokens)
    other = tmp_path / "other.csv"
    for changes in (1, 2):
        before, changed = len(reader.asked), QSignalSpy(panel.source.file_changed)
        other.write_text("question,answer\n" + "3,4\n" * (1 + changes))
        if way == "written":
            file.write_text(other.read_text())
        elif way == "replaced":
            other.replace(file)
        else:
            file.unlink()
            qtbot.waitUntil(lambda spy=changed: spy.count() > 0)
            other.replace(file)
            qtbot.waitUntil(lambda spy=changed: spy.count() > 1)
        qtbot.waitUntil(lambda n=before: len(reader.asked) > n)
        assert changed.count() > 0
    (tmp_path / "unrelated.csv").write_text("x")
    asked = len(reader.asked)
    qtbot.waitUntil(lambda: not panel.source._timer.isActive() and not panel.source._busy)
    qtbot.wait(50)
    assert len(reader.asked) in (asked, asked + 1), "a neighbour's change is none"


def test_that_without_a_model_or_tokenizer_the_panel_says_so(qtbot: QtBot, panel: DataPanel, reader: Reader) -> None:
    panel.show_experiment(Experiment(workload=WorkloadChoice.of("training", data="pairs.csv")), Resolved())
    qtbot.waitUntil(lambda: panel.row.message.text.text() == "Choose a model: its tokenizer cuts the rows.")
    assert panel.header.count.text() == "118 of 120 rows", "what needs no tokenizer is shown"
    panel.show_experiment(experiment(data="pairs.csv"), resolved("random"))
    panel.source.again()
    qtbot.waitUntil(lambda: "No chosen model has a tokenizer" in panel.row.message.text.text())
    assert {asked.model for asked in reader.asked} == {""}
    shown_panel(qtbot, panel)
    assert reader.asked[-1].model == "/m"


def test_that_a_chosen_model_that_cannot_be_read_is_not_asked_for(
    qtbot: QtBot, panel: DataPanel, reader: Reader
) -> None:
    broken = Resolved({"m": Problem(severity="error", place="m", message="It is damaged.")}, None, Path("/"))
    panel.show_experiment(experiment(data="pairs.csv"), broken)
    qtbot.waitUntil(lambda: "No chosen model has a tokenizer" in panel.row.message.text.text())


def test_that_rows_asked_for_before_the_database_is_open_are_read_then(
    qtbot: QtBot, theme: Theme, services: Services, home: Places, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview_module, "DELAY_MS", 0)
    source = PreviewSource(services.bridge, reader)
    source.ask(Asked(Training(), "", "/"))
    qtbot.waitUntil(lambda: not source._timer.isActive())
    assert reader.asked == []
    services.bridge.attach(FakeWorkbench(home))  # type: ignore[arg-type]
    qtbot.waitUntil(lambda: len(reader.asked) == 1)


def test_that_files_are_named_short_and_hub_ids_whole(qtbot: QtBot, theme: Theme) -> None:
    field = DataField(theme)
    qtbot.addWidget(field)
    shown_as = {}
    for data in ("docstrings", "/data/pairs.csv", "sub/pairs.csv", "/data/folder", "owner/name"):
        field.show_data(data)
        shown_as[data] = field.line.text()
    assert list(shown_as.values()) == ["Docstrings", "pairs.csv", "pairs.csv", "folder", "owner/name"]


def test_that_what_was_asked_before_is_not_shown(qtbot: QtBot, panel: DataPanel, reader: Reader) -> None:
    shown_panel(qtbot, panel)
    read = QSignalSpy(panel.source.read)
    panel.show_experiment(experiment(data="a.csv"), resolved())
    panel.show_experiment(experiment(data="b.csv"), resolved())
    qtbot.waitUntil(lambda: read.count() == 1 and reader.asked[-1].workload.data == "b.csv")
    assert [asked.workload.data for asked in reader.asked] == ["pairs.csv", "b.csv"]


# --- settings -----------------------------------------------------------------------------------------


def test_that_columns_are_guessed_and_can_be_changed(qtbot: QtBot, panel: DataPanel) -> None:
    shown_panel(qtbot, panel)
    columns = panel.columns
    assert columns.first.currentText() == "Prompt  question"
    assert columns.response.currentText() == "Response  answer"
    assert columns.hint.text() == "Guessed from names and lengths. “date” is unused."
    wanted = QSignalSpy(panel.values_wanted)
    pick(columns.first, "Prompt  date")
    assert wanted.at(0)[0] == {
        "prompt_column": "date",
        "response_column": "answer",
        "messages_column": "",
        "text_column": "",
    }
    pick(columns.first, "Text  question")
    assert wanted.at(1)[0]["text_column"] == "question"
    assert wanted.at(1)[0]["prompt_column"] == wanted.at(1)[0]["response_column"] == ""


def test_that_settings_without_an_effect_are_not_shown(qtbot: QtBot, panel: DataPanel) -> None:
    panel.show_experiment(experiment(data="built-in"), resolved())
    assert not panel.loss_on.isVisible()
    assert not panel.packing.isVisible()
    shown_panel(qtbot, panel)
    assert panel.loss_on.isVisible()
    assert panel.packing.isVisible()
    shown_panel(qtbot, panel, text_column="answer")
    qtbot.waitUntil(lambda: not panel.loss_on.isVisible())
    panel.show_experiment(experiment(data="docstrings"), resolved())
    assert panel.loss_on.isVisible()
    assert not panel.columns.isVisible(), "their columns are fixed"


def test_that_other_data_forget_the_columns_of_the_data_before(qtbot: QtBot, panel: DataPanel) -> None:
    shown_panel(qtbot, panel, prompt_column="date")
    wanted = QSignalSpy(panel.values_wanted)
    panel.data.line.setFocus()
    panel.data.line.selectAll()
    qtbot.keyClicks(panel.data.line, "other.csv")
    qtbot.keyClick(panel.data.line, Qt.Key.Key_Return)
    assert wanted.count() == 1
    assert wanted.at(0)[0]["data"] == "other.csv"
    assert wanted.at(0)[0]["prompt_column"] == ""


def test_that_shares_are_percentages(qtbot: QtBot, panel: DataPanel) -> None:
    shown_panel(qtbot, panel)
    field = panel.fields["test_share"]
    assert field.line.text() == "5"
    changed = QSignalSpy(panel.changed)
    field.line.setFocus()
    field.line.selectAll()
    qtbot.keyClicks(field.line, "7")
    assert changed.at(0) == ["test_share", (0.07,)]
    panel.show_experiment(experiment(data="pairs.csv", test_share=0.07), resolved())
    assert field.line.text() == "7"


def test_that_the_loss_and_the_template_are_chosen(qtbot: QtBot, panel: DataPanel) -> None:
    shown_panel(qtbot, panel)
    changed = QSignalSpy(panel.changed)
    panel.loss_on.choose(1)
    pick(panel.template, "Plain")
    panel.packing.click()
    assert [changed.at(i) for i in range(3)] == [
        ["loss_on", ("everything",)],
        ["template", ("plain",)],
        ["packing", (False,)],
    ]


def pick(box: QComboBox, text: str) -> None:
    index = box.findText(text)
    assert index >= 0, text
    box.setCurrentIndex(index)
    box.activated.emit(index)


# --- tokens -------------------------------------------------------------------------------------------


def test_that_what_cannot_be_seen_is_made_visible() -> None:
    assert [shown(text) for text in ("\n", " the", "  ", "\t", "a", "\x00", "")] == [
        "↵",
        " the",
        "␣␣",
        "⇥",
        "a",
        "·",
        "",
    ]


def test_that_tokens_are_spoken_by_mask() -> None:
    said = spoken(("How", " do", "Run", " git"), (False, False, True, True))
    assert said == "masked, 2 tokens: How do; trained on, 2 tokens: Run git"
    assert spoken((), ()) == ""
    assert spoken(("a",), (True,)) == "trained on, 1 token: a"
    assert len(spoken(("word ",) * 1000, (True,) * 1000)) <= 1001


def test_that_a_long_row_scrolls_and_lines_break_between_tokens(qtbot: QtBot, theme: Theme) -> None:
    view = TokenView(theme)
    qtbot.addWidget(view)
    view.resize(300, 120)
    view.show()
    view.show_tokens(("word",) * 400, (True,) * 400)
    assert view.lines > 10
    assert view.verticalScrollBar().maximum() > 0
    qtbot.keyClick(view, Qt.Key.Key_PageDown)
    assert view.verticalScrollBar().value() > 0
    view.show_tokens(("a", "\n", "b"), (False, False, True))
    assert view.lines == 1, "a line end is a token like any other"
    assert view.verticalScrollBar().value() == 0
    view.show_tokens((), ())
    assert view.lines == 0


def test_that_counts_are_in_words() -> None:
    assert bad_text((), 0) == ""
    many = tuple(BadRow(place=f"line {n}", reason="is empty") for n in range(5))
    assert bad_text(many, 5) == "5 rows left out: line 0 is empty; line 1 is empty; line 2 is empty; and 2 more."
    assert bad_text(many[:1], 1) == "1 row left out: line 0 is empty."
    assert split_text({}) == ""
    assert split_text({"train": 1230}) == "1,230 to train on"


def test_that_what_all_rows_begin_with_does_not_hide_what_they_say() -> None:
    system = "system You are a helpful assistant of this company. user "
    texts = [f"{system}{word} refund" for word in ("ask for a", "ask about a", "send a")]
    same = same_beginning(texts)
    assert same == system
    rows = [ShownRow(place="l", split="train", turns=(("user", text),)) for text in texts]
    assert [cells(0, row, same)[-1] for row in rows] == ["…ask for a refund", "…ask about a refund", "…send a refund"]
    assert cells(0, ShownRow(place="l", split="train", text="another"), same)[-1] == "another"
    assert [same_beginning(some) for some in ([], texts[:1], ["user hello", "user help"])] == ["", "", ""]


def test_that_a_message_gives_way_while_the_data_are_read_again(qtbot: QtBot, panel: DataPanel, reader: Reader) -> None:
    panel.show_experiment(Experiment(workload=WorkloadChoice.of("training", data="pairs.csv")), Resolved())
    qtbot.waitUntil(lambda: panel.row.message.text.text() == "Choose a model: its tokenizer cuts the rows.")
    panel.show_experiment(experiment(data="pairs.csv"), resolved())
    assert panel.row.message.text.text() == "Reading the data"
    qtbot.waitUntil(lambda: panel.row.stack.currentWidget() is panel.row.tokens)
