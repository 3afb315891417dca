"""Fixtures of other folders of tests."""

from tests.convert.conftest import family_source

__all__ = ["family_source"]
