"""What draws guides: chosen in the panel where the backend leaves a choice, and told to jobs, takes and live views."""

from __future__ import annotations

import msgspec
import pytest

from ex4d_ground.descriptions import RasterizerInfo
from ex4d_ground.takes import read_take_info


def test_the_choice_goes_to_the_backend_and_the_take_says_what_drew(ready, quiet):
    from blender_addon.guides import gather
    from blender_addon.takes import listing

    scene = ready.context.scene
    assert gather.raster(scene).rasterizer == "auto"
    scene.ex4d.rasterizer = "CPU"
    ready.ops.ex4d.generate(engine="preview")
    info = read_take_info(listing.folder_of(scene.ex4d.takes[0]))
    assert info.rasterizer == "cpu" and info.raster == {"rasterizer": "cpu"}


@pytest.mark.any_blender
def test_a_rasterizer_that_the_backend_lacks_is_refused_in_one_sentence(ready):
    ready.context.scene.ex4d.rasterizer = "TRITON"
    with pytest.raises(RuntimeError, match="needs a CUDA device"):
        ready.ops.ex4d.render_guides()


def test_the_panel_offers_it_only_where_there_is_a_choice(ready, monkeypatch):
    from blender_addon.guides import panels
    from blender_addon.work import session

    drawn = []

    class Layout:
        use_property_split = use_property_decorate = False

        def column(self, **_kwargs):
            return self

        def prop(self, _props, name, **_kwargs):
            drawn.append(name)

        def label(self, *, text="", **_kwargs):
            drawn.append(text)

    current, props = session.get(), ready.context.scene.ex4d
    assert [r.name for r in current.capabilities.rasterizers] == ["cpu", "triton", "nvdiffrast"]
    for gpu, expected in ((False, []), (True, ["rasterizer"])):
        offered = (RasterizerInfo(name="cpu"), RasterizerInfo(name="triton", available=gpu, why="there is no driver"))
        told = msgspec.structs.replace(current.capabilities, rasterizers=offered)
        monkeypatch.setattr(type(current), "capabilities", told)
        drawn.clear()
        panels.draw_rasterizer(Layout(), props)
        assert drawn == expected
