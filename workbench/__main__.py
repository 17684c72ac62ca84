"""`python -m workbench`: the same as `llm-workbench`."""

from workbench.cli.main import entry

if __name__ == "__main__":
    entry()
