"""MER-CLIP: micro-expressions recognised with the help of sentences about action units.

Each module holds one idea of the paper; the notebooks tell the story. Importing the package is
cheap: torch, matplotlib and pandas load only with the modules that need them.
"""

__version__ = "0.1.0"
