"""The command line as `python -m tflite_cluster`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
