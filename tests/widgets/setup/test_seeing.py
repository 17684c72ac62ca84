"""What the Run bar says will not show."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtTest import QSignalSpy
from pytestqt.qtbot import QtBot

from widgets.setup.plan.rows import Seeing
from widgets.setup.plan.run_bar import RunBar
from widgets.setup.plan.seeing import seeing
from widgets.theme.theme import Theme
from workbench.statistics.seeds import Seeds, Spread, share

KNOWN = Seeds(5, Spread(0.004, 0.009, 8), 2)


def test_that_more_seeds_are_offered_that_show_less() -> None:
    found = seeing(KNOWN, 5, 3)
    seen = KNOWN.seen(5)
    assert found.text == f"With 5 seeds, differences under {share(seen[0])} will not show."
    assert found.seeds > 5
    assert found.offer.startswith(f"{found.seeds} show ")
    less = KNOWN.seen(found.seeds)
    assert less[0] < seen[0]


def test_that_boundaries_have_words() -> None:
    assert seeing(KNOWN, 5, 1) == Seeing(), "one method is compared with nothing"
    assert seeing(None, 5, 2).text.endswith("two methods with 2 seeds.")
    assert seeing(None, 5, 2).offer == ""
    one = seeing(KNOWN, 1, 2)
    assert one.text == "With one seed, no difference shows."
    assert one.seeds > 1
    assert seeing(KNOWN, 1000, 2).offer == "", "more than anyone runs is not offered"


def test_that_the_link_sets_the_number_of_seeds(qtbot: QtBot, theme: Theme) -> None:
    bar = RunBar(theme)
    qtbot.addWidget(bar)
    bar.resize(1368, 56)
    bar.show()
    bar.show_seeing(Seeing("With 5 seeds, differences under 0.8 % will not show.", "9 show 0.4 %", 9))
    bar.show_run("Run 10 trials", "", "1 of 8 configurations left out", "by you", is_error=False, reason="")
    assert bar.why.text() == "1 of 8 configurations left out: by you"
    assert not bar.left_out.isVisible()
    wanted = QSignalSpy(bar.seeds_wanted)
    bar.seeing.setFocus()
    assert bar.seeing.textInteractionFlags() & Qt.TextInteractionFlag.LinksAccessibleByKeyboard
    bar.seeing.linkActivated.emit("9")
    assert wanted.at(0) == [9]
    bar.show_seeing(Seeing())
    assert not bar.seeing.isVisible()


def test_that_the_link_has_the_colour_of_its_theme(qtbot: QtBot, theme: Theme) -> None:
    theme.choose("light")
    bar = RunBar(theme)
    qtbot.addWidget(bar)
    bar.show_seeing(Seeing("With 5 seeds, differences under 0.8 % will not show.", "9 show 0.4 %", 9))
    light = theme.color("text.link").name()
    assert light in bar.seeing.text()
    theme.choose("dark")
    assert theme.color("text.link").name() in bar.seeing.text()
    assert light not in bar.seeing.text()


def test_that_what_stands_against_running_is_said_before_what_is_left_out(qtbot: QtBot, theme: Theme) -> None:
    bar = RunBar(theme)
    qtbot.addWidget(bar)
    bar.resize(1368, 56)
    bar.show()
    left_out, wrong = "1 of 2 configurations left out", "Rate is 0 to 10, not 11."
    for shown, below in ((Seeing(), left_out), (Seeing("With 5 seeds, nothing shows."), "")):
        bar.show_seeing(shown)
        bar.show_run("Run", "", left_out, "1 cannot run", is_error=True, reason=wrong)
        assert (bar.left_out.text(), bar.why.text()) == (wrong, below)
