"""What the add-on draws over a view, drawn for real without a window: its colours are exact."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

SIZE = 64


@pytest.fixture
def gpu(blender):
    """Blender's drawing module; from 5.2 on it can draw in background mode."""
    import gpu

    if not hasattr(gpu, "init"):
        pytest.skip(f"Blender {blender.app.version_string} draws nothing in background mode: it has no gpu.init")
    try:
        gpu.init()
    except SystemError as error:
        pytest.skip(f"Blender {blender.app.version_string} draws nothing in background mode: {error}")
    return gpu


class Canvas:
    """A picture of SIZE x SIZE that is drawn on in pixels, row 0 below."""

    def __init__(self, gpu):
        self._gpu = gpu
        self.screen = gpu.types.GPUOffScreen(SIZE, SIZE, format="RGBA8")
        self.pixels = np.zeros((SIZE, SIZE, 4), np.uint8)

    @contextmanager
    def drawing(self, *, background=(0.0, 0.0, 0.0, 0.0), place=None):
        from mathutils import Matrix

        pixels = Matrix(((2 / SIZE, 0, 0, -1), (0, 2 / SIZE, 0, -1), (0, 0, 1, 0), (0, 0, 0, 1)))
        gpu = self._gpu
        with self.screen.bind():
            buffer = gpu.state.active_framebuffer_get()
            buffer.clear(color=background, depth=1.0)
            with gpu.matrix.push_pop(), gpu.matrix.push_pop_projection():
                gpu.matrix.load_matrix(Matrix.Identity(4))
                gpu.matrix.load_projection_matrix(place or pixels)
                yield
            found = buffer.read_color(0, 0, SIZE, SIZE, 4, 0, "UBYTE")
            found.dimensions = SIZE * SIZE * 4
            self.pixels = np.array(found.to_list(), np.uint8).reshape(SIZE, SIZE, 4)


@pytest.fixture
def canvas(gpu):
    made = Canvas(gpu)
    yield made
    made.screen.free()


WHOLE = [(SIZE, SIZE), (SIZE, 0), (0, 0), (0, SIZE)]


def live_textures(gpu, picture, *, is_filled=False):
    from blender_addon.live.overlay import Overlay

    shown = Overlay()
    shown.put("shot", 1, picture, is_filled=is_filled)
    return shown.textures()


def every_level():
    """All 256 levels of each channel, and no two channels alike."""
    levels = np.arange(SIZE * SIZE, dtype=np.int64).reshape(SIZE, SIZE)
    picture = np.stack([levels % 256, (levels * 7 + 3) % 256, 255 - levels % 256, np.full_like(levels, 255)], axis=-1)
    return picture.astype(np.uint8)


def test_the_live_picture_shows_every_value_as_the_backend_sent_it(gpu, canvas):
    from blender_addon.live import overlay

    picture = every_level()
    with canvas.drawing():
        overlay.draw(live_textures(gpu, picture), WHOLE, opacity=1.0, stripes_px=14.0)
    np.testing.assert_array_equal(canvas.pixels[::-1, :, :3], picture[..., :3])


def test_the_live_picture_lies_over_the_view_by_its_opacity(gpu, canvas):
    from blender_addon.live import overlay

    picture = every_level()
    with canvas.drawing(background=(0.2, 0.4, 0.6, 1.0)):
        overlay.draw(live_textures(gpu, picture), WHOLE, opacity=0.25, stripes_px=14.0)
    below = np.array([51, 102, 153], np.float64)
    mixed = 0.25 * picture[..., :3] + 0.75 * below
    assert np.abs(canvas.pixels[::-1, :, :3] - mixed).max() < 1, "the level below or above"


def test_a_picture_that_is_filled_as_the_preview_shows_its_holes_too(gpu, canvas):
    from blender_addon.live import overlay

    picture = every_level()
    picture[:, SIZE // 2 :, 3], picture[SIZE // 2 :, :, 3] = 0, overlay.GOES_ON
    with canvas.drawing():
        overlay.draw(live_textures(gpu, picture, is_filled=True), WHOLE, opacity=1.0, stripes_px=16.0)
    np.testing.assert_array_equal(canvas.pixels[::-1, :, :3], picture[..., :3])


def test_holes_are_stripes_of_two_greys(gpu, canvas):
    from blender_addon.live import overlay

    picture = every_level()
    picture[:, SIZE // 2 :, 3] = 0
    with canvas.drawing():
        overlay.draw(live_textures(gpu, picture), WHOLE, opacity=1.0, stripes_px=16.0)
    seen, hole = canvas.pixels[::-1, : SIZE // 2, :3], canvas.pixels[:, SIZE // 2 :, :3]
    np.testing.assert_array_equal(seen, picture[:, : SIZE // 2, :3])
    dark, light = (np.rint(np.array(grey) * 255) for grey in (overlay.DARK, overlay.LIGHT))
    is_dark, is_light = ((hole == grey).all(axis=-1) for grey in (dark, light))
    assert (is_dark | is_light).all()
    assert is_dark.mean() == is_light.mean() == 0.5
    row = is_dark[10]
    np.testing.assert_array_equal(row[16:], row[:-16], err_msg="a stripe comes again after its period")
    np.testing.assert_array_equal(is_dark[1:, :-1], is_dark[:-1, 1:], err_msg="and runs aslant")


def test_holes_that_go_on_a_plane_are_blue_and_the_rim_stays_the_guide_s(gpu, canvas):
    from blender_addon.live import overlay

    picture = every_level()
    picture[:, SIZE // 4 :] = 0
    picture[:, SIZE // 2 :, 3] = overlay.GOES_ON
    with canvas.drawing():
        overlay.draw(live_textures(gpu, picture), WHOLE, opacity=1.0, stripes_px=16.0)
    seen = canvas.pixels[::-1, : SIZE // 4, :3]
    np.testing.assert_array_equal(seen, picture[:, : SIZE // 4, :3])
    halves = canvas.pixels[:, SIZE // 4 : SIZE // 2, :3], canvas.pixels[:, SIZE // 2 :, :3]
    shades = (overlay.DARK, overlay.LIGHT), (overlay.PLANE_DARK, overlay.PLANE_LIGHT)
    for half, (dark, light) in zip(halves, shades, strict=True):
        off = [np.abs(half - np.rint(np.array(shade) * 255)).max(axis=-1) <= 1 for shade in (dark, light)]
        assert off[0].mean() == off[1].mean() == 0.5


def test_the_colours_at_the_rim_of_a_hole_are_the_guide_s(gpu, canvas):
    from blender_addon.live import overlay

    picture = np.full((4, 4, 4), (200, 90, 30, 255), np.uint8)
    picture[:, 2:] = (255, 255, 255, 0)
    with canvas.drawing():
        overlay.draw(live_textures(gpu, picture), WHOLE, opacity=1.0, stripes_px=16.0)
    found = canvas.pixels[..., :3].astype(np.float64)
    allowed = [np.array([200, 90, 30]), *(np.array(grey) * 255 for grey in (overlay.DARK, overlay.LIGHT))]
    off = np.min([np.abs(found - colour).max(axis=-1) for colour in allowed], axis=0)
    assert off.max() <= 1, "nothing in between"


@pytest.mark.parametrize("lengths", [(0.1, 0.1, 0.1), (0.1, 0.1, 2.0)], ids=["one length", "two lengths"])
def test_the_tint_of_painted_thickness_has_its_colours(gpu, canvas, lengths):
    from mathutils import Matrix

    from blender_addon.edit import thickness_overlay

    places = np.array([[-1, -1, 0], [3, -1, 0], [-1, 3, 0]], np.float32)  # one triangle over the whole picture
    faces = np.array([[0, 1, 2]], np.int32)
    made = thickness_overlay.tinted(places, faces, np.array(lengths, np.float32))
    assert made is not None
    with canvas.drawing(background=(1.0, 1.0, 1.0, 1.0), place=Matrix.Identity(4)):
        thickness_overlay.draw(thickness_overlay.on_gpu(*made), Matrix.Identity(4))
    opacity = thickness_overlay.OPACITY
    centres = (np.arange(SIZE) + 0.5) / SIZE / 2  # share of the second and the third corner along a side
    corner = np.broadcast_to(centres[:, None, None], (SIZE, SIZE, 1))
    thin, thick = np.array(thickness_overlay.THIN), np.array(thickness_overlay.THICK)
    tint = np.broadcast_to(thick, (SIZE, SIZE, 3)) if lengths[2] == 0.1 else thin + corner * (thick - thin)
    want = 255 * (opacity * tint + (1 - opacity))
    assert np.abs(canvas.pixels[..., :3] - want).max() < 1, "the level below or above"
