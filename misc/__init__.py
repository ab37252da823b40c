"""One script per job. As a package, too, its modules find their neighbour `_path`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
