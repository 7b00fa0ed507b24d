"""Find what a merge left over in any file that git tracks."""

import subprocess
import sys
from pathlib import Path

from pre_commit_hooks.check_merge_conflict import main

if __name__ == "__main__":
    listed = subprocess.run(["git", "ls-files", "-z", "--cached"], check=True, capture_output=True, text=True).stdout
    sys.exit(main(["--assume-in-merge", *(name for name in listed.split("\0") if Path(name).is_file())]))
