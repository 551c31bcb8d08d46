"""What is measured: a module for each subject, a function for each way to do it.

A way takes the path of a file that does not exist yet and a size, does its work, and
returns numbers by name. Each is written as the documentation of its library says, or
better where we know better.
"""
