"""How the window looks: tokens, style sheet, icons, configurations' markers. Main thread."""
