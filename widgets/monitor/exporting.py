"""Exports the curves of the trial in the charts. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from widgets.monitor.current import CurrentTrial
from widgets.parts.exports import Exports
from widgets.shell.services import Services


class Exporting(QObject):
    """Nothing goes out while no trial is shown."""

    def __init__(self, services: Services, page: QWidget, current: CurrentTrial) -> None:
        super().__init__(page)
        self._current = current
        self._exports = Exports(services, page)

    def charts(self, format: str) -> None:
        """Every chart of the whole trial, as far as it has come, into a folder that the user chooses."""
        data = self._current.data
        if data is None:
            return
        from workbench.charts.trial import trial_charts  # late: statistics come with it

        # the end of the id tells trials of one configuration apart
        self._exports.charts(trial_charts(data), f"{data.title} {data.trial[-8:]}", format)
