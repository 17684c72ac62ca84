"""The command line: `llm-workbench`, the same as `python -m workbench`. One module per group of commands.

Exit codes: 0 done; 1 done, but trials failed or figures are invalid; 2 the command or the experiment is wrong;
3 the store cannot be used; 4 the runner cannot be used; 5 not found; 6 a needed download failed; 130 interrupted.
"""

OK, TRIALS_FAILED, WRONG, STORE, RUNNER, NOT_FOUND, DOWNLOAD, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 130
