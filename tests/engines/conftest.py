import sys
from pathlib import Path

THRESHOLD_ENGINE = Path(__file__).parents[2] / "examples" / "threshold_engine"

# the example need not be installed to be tested
sys.path.insert(0, str(THRESHOLD_ENGINE / "src"))
