"""Commands of ``ex4d`` that talk to a backend; attached through the entry-point group ``ex4d.commands``."""
