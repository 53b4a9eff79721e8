"""Tests of the documentation: what its pages say, and that they say all."""
