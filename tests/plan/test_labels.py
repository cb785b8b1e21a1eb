"""Paths folded to patterns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadkit.plan.labels import fold_path


@pytest.mark.parametrize(
    ("path", "folded"),
    [
        ("/users/17", "/users/{id}"),
        ("/users/17/orders/18", "/users/{id}/orders/{id}"),
        ("/orders/3f9a2c1b-0000-4000-8000-000000000000", "/orders/{id}"),
        ("/orders/3F9A2C1B-0000-4000-8000-000000000000", "/orders/{id}"),
        ("/objects/507f1f77bcf86cd799439011", "/objects/{id}"),  # MongoDB
        ("/blobs/da39a3ee5e6b4b0d3255bfef95601890afd80709", "/blobs/{id}"),  # SHA-1
        ("/", "/"),
        ("", ""),
        ("/search", "/search"),
        ("/v2/items", "/v2/items"),  # a version, not an identity
        ("/decade/facade", "/decade/facade"),  # hexadecimal, and words
        ("/effacedefaced", "/effacedefaced"),  # long, and without a digit
        ("/a1b2c3", "/a1b2c3"),  # too short to be sure
        ("/17.json", "/17.json"),
        ("/users/17/", "/users/{id}/"),
    ],
)
def test_what_looks_like_an_identity_is_folded(path: str, folded: str) -> None:
    assert fold_path(path) == folded


@given(st.text(max_size=60))
def test_folding_twice_is_folding_once_and_keeps_the_segments(path: str) -> None:
    folded = fold_path(path)
    assert fold_path(folded) == folded
    assert folded.count("/") == path.count("/")
