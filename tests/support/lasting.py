"""What lasts too long for each run of the tests."""
import os

import pytest

takes_minutes = pytest.mark.skipif(not os.environ.get('WEIR_CONFORMANCE'), reason='takes minutes: make conformance')
