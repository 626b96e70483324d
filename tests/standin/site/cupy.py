"""`import cupy` of a process with this folder on its path gives the stand-in.

PYTHONPATH=tests/standin/site:tests python -m minicnn demo --device cuda:0
"""

import sys

from standin import cupy_module

sys.modules["cupy"] = cupy_module
sys.modules["cupyx.scipy.special"] = cupy_module.special
