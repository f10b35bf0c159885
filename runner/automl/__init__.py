"""The search: spaces, algorithms, and the study that holds what was tried. Knows numbers and names; not jobs or specs.

``driver`` is what a search is worked with, ``study`` where it is kept, ``state`` what it says, ``strategies`` what decides.
"""
