"""Helpers of the tests: plain engines, certificates, processes."""
