"""`python -m engines`: the runner's command."""

import sys

from engines.cli import main

sys.exit(main())
