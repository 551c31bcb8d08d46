"""What mmapbuilder costs and gains, beside what one would use in its place.

``python -m benchmarks --help`` says how to run it.
"""
