"""`python -m lm_keras`: the command lm-keras, where the folder of its script is not in PATH."""

import sys

from lm_keras.cli.parser import main

if __name__ == "__main__":
    sys.exit(main())
