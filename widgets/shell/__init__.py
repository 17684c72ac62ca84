"""The frame and getting about: window, actions, menus, rail, pages. Main thread."""
