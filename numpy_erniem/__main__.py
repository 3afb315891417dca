"""`python -m numpy_erniem` is the command `erniem`."""

import sys

from numpy_erniem.cli.main import main

sys.exit(main())
