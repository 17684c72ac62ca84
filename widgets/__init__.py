"""What a person sees and clicks: the Qt shell over `workbench`. Thin; the main thread of the window's process."""
