"""What the API sends and takes, as types, a file for each thing they are about.

Their fields are the promised interface.
"""
