"""Starting workers, plainly or from a template, and clearing up what they leave behind."""
