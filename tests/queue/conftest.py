"""Fixtures of the queue's tests."""

import pytest

pytest.register_assert_rewrite("tests.queue.contract", "tests.queue.contract_steering")
