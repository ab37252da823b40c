"""The same as misc/mean_var_analysis.py, which reads files of three and of four factors.

python misc/mean_var_analysis_4factors.py FOLDER
"""

import sys

import _path

from common.process import run_script
from misc.mean_var_analysis import main

if __name__ == "__main__":
    sys.exit(run_script(main))
