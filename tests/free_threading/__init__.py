"""Threads against threads: what holds with and without a GIL."""
