"""Floor 5: for authors of engines, a test suite that an engine must pass; it needs pytest."""

import pytest

# without this, a failed assertion in the suite would not show its values
pytest.register_assert_rewrite(f"{__name__}.engine_suite")
