"""The page area: creates pages when they are first shown and tells them when they are. Main thread."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QStackedWidget, QWidget

from widgets.parts.components import EmptyState
from widgets.shell.page import Page
from widgets.shell.services import Services
from workbench.running.events import StoreChanged


class PageStack(QStackedWidget):
    """Pages by name. `makers` are for pages that need more than the services; others are `widgets.NAME.make_page`."""

    def __init__(
        self, services: Services, makers: dict[str, Callable[[], Page]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._services = services
        self._makers = makers
        self._pages: dict[str, Page] = {}
        self._stale: dict[str, list[StoreChanged]] = {}
        self.current: Page | None = None

    @property
    def pages(self) -> tuple[Page, ...]:
        """Those created so far."""
        return tuple(self._pages.values())

    def made(self, name: str) -> Page | None:
        return self._pages.get(name)

    def foot(self, otherwise: QWidget) -> QWidget:
        """The bar at the bottom of the shown page; `otherwise` where it has none."""
        foot = self.current.foot if self.current is not None else None
        return foot if foot is not None and foot.isVisible() else otherwise

    def show_page(self, name: str) -> Page:
        """Create if needed, restore its layout, show, tell it."""
        page = self._pages.get(name)
        if page is None:
            page = self._make(name)
            self._pages[name] = page
            self.addWidget(page)
            page.restore_layout(self._services.settings)
            if self._services.workbench is not None:
                page.refresh(StoreChanged())
        if page is not self.current:
            self._take_focus()
            self._leave()
            self.current = page
            self.setCurrentWidget(page)
            for change in self._stale.pop(name, []):
                page.refresh(change)
            page.activated()
        return page

    def show_other(self, widget: QWidget) -> None:
        """Show something that is no page (the database is being opened, or cannot be)."""
        self._leave()
        if self.indexOf(widget) < 0:
            self.addWidget(widget)
        self.setCurrentWidget(widget)

    def _take_focus(self) -> None:
        """From a control of the page that goes: Qt would hand it to whatever button comes next, and a Space meant for
        nothing would press it. Tab moves from here to the new page's first control."""
        focused = QApplication.focusWidget()
        if focused is not None and self.isAncestorOf(focused):
            self.setFocus(Qt.FocusReason.OtherFocusReason)

    def _leave(self) -> None:
        if self.current is not None:
            self.current.deactivated()
        self.current = None

    def _make(self, name: str) -> Page:
        maker = self._makers.get(name)
        if maker is not None:
            return maker()
        try:
            module = import_module(f"widgets.{name}")
        except ImportError as error:
            return BrokenPage(self._services, name, error)
        page: Page = module.make_page(self._services)
        return page

    def refresh(self, change: StoreChanged) -> None:
        """Tell the shown page now and the others when they are shown again; changes of hidden pages are joined."""
        for name, page in self._pages.items():
            if page is self.current:
                page.refresh(change)
            else:
                waiting = self._stale.setdefault(name, [])
                waiting.append(change)
                if len(waiting) > 50:
                    waiting[:] = [StoreChanged()]

    def shutdown(self) -> None:
        self._leave()
        for page in self.pages:
            page.shutdown()


class BrokenPage(Page):
    """In place of a page whose libraries cannot be imported; the other pages still work."""

    def __init__(self, services: Services, name: str, error: ImportError) -> None:
        self.title = name.capitalize()
        super().__init__(services)
        text = f"{error}. Stored data and running trials are not touched. Install the application again to repair it."
        self.body.addWidget(EmptyState(services.theme, "This page could not be loaded", text, icon_name="error"))
