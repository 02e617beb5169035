"""Compiled loops: how they are declared, where their code is kept, what came along, and what is said meanwhile."""
