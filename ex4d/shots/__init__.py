"""From a shot as it is asked for to guides and takes.

Import from the modules: :mod:`ex4d.shots.options` loads nothing heavy, because a command line reads it for its help.
"""
