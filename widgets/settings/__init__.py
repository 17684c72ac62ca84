"""Groups of the Settings page (`widgets.settings.page`)."""
