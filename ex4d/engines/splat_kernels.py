"""A compiled loop that draws a source's depth as points into another camera."""

import numpy as np

from ex4d.compiled.kernel import kernel
from ex4d_ground.arrays import Float32


@kernel
def splat_depth(
    depth: Float32,  # [h, w] source z-depth
    ray_x: Float32,  # [w] x/z of the source's columns
    ray_y: Float32,  # [h] y/z of its rows
    step: int,  # each how many-th pixel is drawn
    move: Float32,  # [3, 4] camera_from_source
    lens: Float32,  # [4] fx, fy, cx, cy of the output at the size of ``out``
    out: Float32,  # [H, W] nearest z-depth per pixel, 0 where nothing falls
) -> None:
    """Draw the source's pixels as 2x2 points into another camera, nearest first."""
    h, w = depth.shape
    height, width = out.shape
    m00, m01, m02, m03 = move[0, 0] * lens[0], move[0, 1] * lens[0], move[0, 2] * lens[0], move[0, 3] * lens[0]
    m10, m11, m12, m13 = move[1, 0] * lens[1], move[1, 1] * lens[1], move[1, 2] * lens[1], move[1, 3] * lens[1]
    m20, m21, m22, m23 = move[2, 0], move[2, 1], move[2, 2], move[2, 3]
    shift_x, shift_y = lens[2] - np.float32(0.5), lens[3] - np.float32(0.5)
    count = (w - step // 2 + step - 1) // step
    line, px, py, pz = (
        np.empty(count, np.float32),
        np.empty(count, np.float32),
        np.empty(count, np.float32),
        np.empty(count, np.float32),
    )
    rays = ray_x[step // 2 :: step].copy()
    for i in range(step // 2, h, step):
        row = depth[i]
        for n in range(count):
            line[n] = row[step // 2 + n * step]
        y = ray_y[i]
        for n in range(count):  # no branch, for vector instructions
            z, x = line[n], rays[n]
            zc = (m20 * x + m21 * y + m22) * z + m23
            px[n] = ((m00 * x + m01 * y + m02) * z + m03) / zc + shift_x
            py[n] = ((m10 * x + m11 * y + m12) * z + m13) / zc + shift_y
            pz[n] = zc
        for n in range(count):
            x, y_there, zc = px[n], py[n], pz[n]
            if not (zc > 1e-6 and x >= -1 and y_there >= -1 and x < width and y_there < height):
                continue
            left, top = int(x + 1) - 1, int(y_there + 1) - 1  # rounded down
            for yi in range(max(top, 0), min(top + 2, height)):
                for xi in range(max(left, 0), min(left + 2, width)):
                    if out[yi, xi] == 0 or zc < out[yi, xi]:
                        out[yi, xi] = zc
