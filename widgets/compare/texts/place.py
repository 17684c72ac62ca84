"""When the Texts view is shown and what fills it: read off the main thread, only while it is open. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from widgets.compare.table.views import Loaded
from widgets.compare.texts.rows import standings
from widgets.compare.texts.view import TextsView
from widgets.shell.services import Services
from workbench.charts.stored import point_names
from workbench.comparison.texts import KIND, arrange
from workbench.store.operations import ReadKinds, SaidRow


class TextsPlace(QObject):
    """Owns the view; the page shows it in place of table and charts."""

    toggled = Signal(bool)

    def __init__(self, services: Services, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._services = services
        self.view = TextsView(services.theme)
        self.open = False
        self._loaded: Loaded | None = None
        self._experiment = ""

    def toggle(self) -> None:
        """Open or close; opened it reads at once."""
        self.open = not self.open
        if self.open:
            self._read()
        self.toggled.emit(self.open)

    def show(self, loaded: Loaded) -> None:
        """The experiment that Compare shows, as it is now."""
        self._loaded = loaded
        if self.open:
            self._read()

    def _read(self) -> None:
        if self._loaded is None:
            return
        loaded = self._loaded
        experiment = loaded.detail.experiment.experiment

        def done(said: tuple[SaidRow, ...]) -> None:
            if self._loaded is loaded:
                self._show(loaded, said)

        self._services.bridge.run(
            ReadKinds(experiment=experiment, kinds=(KIND,)), done, self.view.show_failure, receiver=self
        )

    def _show(self, loaded: Loaded, said: tuple[SaidRow, ...]) -> None:
        experiment = loaded.detail.experiment.experiment
        if experiment != self._experiment:
            self._experiment = experiment
            self.view.forget_choice()
        baseline = loaded.comparison.baseline
        prompts = arrange(loaded.detail, said, baseline=baseline)
        comparison = loaded.comparison
        self.view.show_texts(prompts, point_names(comparison), loaded.unfinished, standings(comparison))
