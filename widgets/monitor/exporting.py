"""Exports the curves of the trial in the charts. Main thread."""

from __future__ import annotations

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from widgets.charts.stack import ChartStack
from widgets.parts.exports import Exports
from widgets.shell.services import Services


class Exporting(QObject):
    """Nothing goes out while no trial is shown."""

    def __init__(self, services: Services, page: QWidget, charts: ChartStack) -> None:
        super().__init__(page)
        self._charts = charts
        self._exports = Exports(services, page)

    def charts(self, format: str) -> None:
        """Every chart of the whole trial against the axis in view, as far as it has come, into a folder that the user
        chooses."""
        data = self._charts.data
        if data is None:
            return
        from workbench.charts.trial import trial_charts  # late: statistics come with it

        # the end of the id tells trials of one configuration apart
        self._exports.charts(trial_charts(data, self._charts.x_axis), f"{data.title} {data.trial[-8:]}", format)
