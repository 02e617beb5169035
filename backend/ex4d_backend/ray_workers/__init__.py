"""Workers on other machines, through Ray: actors that stay warm, and one process beside the server that speaks to them.

``bridge``: that process. ``actor``: what runs on the machines. ``pool``: what the server's loop sees of them.
"""
