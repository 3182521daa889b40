import os
import sys

if not __package__:  # started as `python fsynth`: put the checkout on the path instead of this folder
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from fsynth.cli import main

if __name__ == "__main__":
    main()
