"""Groups of the Settings page (`widgets.settings_page`)."""
