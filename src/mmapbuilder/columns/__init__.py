"""Whole schemas at native speed: rows, and nested columns. Imported when one is asked for."""
