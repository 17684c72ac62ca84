"""What the window says and shows of a demo: its trials while they run, its results at the end. Main thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from widgets.background.demo_run import DemoRun
from widgets.opening.database import Database
from widgets.shell.services import Services

if TYPE_CHECKING:
    from workbench.running.demo import DemoReport


class DemoMessages(QObject):
    """Listens to a `DemoRun`."""

    reported = Signal(object)
    """`workbench.running.demo.DemoReport`"""

    def __init__(self, demo: DemoRun, services: Services, database: Database) -> None:
        super().__init__(demo)
        self._demo, self._services, self._database = demo, services, database
        demo.started.connect(self._started)
        demo.failed.connect(self._failed)
        demo.finished.connect(self._finished)

    def run(self) -> None:
        """Start the demo as soon as the database is open."""
        self._database.when_ready(self._demo.start)

    def can_run(self) -> bool:
        return self._database.is_open() and self._demo.state == "idle"

    def _started(self, _experiment: str) -> None:
        self._database.count()
        self._services.navigate("monitor", None)
        self._services.actions.update()

    def _failed(self, message: str, advice: str) -> None:
        said = f"The demo could not run: {message}"
        self._services.toasts.show("error", said, advice, action="Try again", handler=self.run)
        self._services.actions.update()

    def _finished(self, report: DemoReport) -> None:
        self._services.actions.update()
        folder = report.files[0].parent if report.files else report.database.parent
        self._services.toasts.show(
            "good",
            "The demo has ended; its table and charts are exported.",
            str(folder),
            action="Compare",
            handler=partial(self._services.navigate, "compare", None),
        )
        self.reported.emit(report)
