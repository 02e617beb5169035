"""The wire between Blender and the backend: typed messages, framing, arrays, sockets."""
