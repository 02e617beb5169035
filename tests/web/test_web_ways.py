"""Ways through a page: takes to switch to, fingers, the last frame, and a headset that is imitated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chromium_page import Page, opened
from page_cases import a_ball_before_a_wall, drawn_while_playing, facts_of

from ex4d.dwmesh import DWMesh
from ex4d.trajectory import preset
from ex4d.types import Clip
from ex4d.web import Replay, WebSource, shot_source, write_page
from ex4d_ground.options import MeshOptions

MARKS = "(document.getElementById('mark-choice').hidden === false)"
"""The page offers to mark what was made up: it does once a switch is through."""
TAKE_BLUE, TAKE_STEP = 220, 30
"""What the take's wall has of blue at its first frame, and loses from each to the next."""


@pytest.fixture(scope="module")
def with_take(tmp_path_factory) -> Path:
    """A page of a shot and of a take with its own camera: the same things in another blue, half of them made up."""
    clip = a_ball_before_a_wall()
    frames = np.array(clip.frames)
    for t in range(len(frames)):
        frames[t, ..., 2] = TAKE_BLUE - TAKE_STEP * t
    take = Clip(frames, np.array(clip.depth), clip.intrinsics, clip.fps, clip.name)
    options = MeshOptions(mode="solid")
    move = preset("orbit_left", clip, amount=10)
    guessed = [np.arange(clip.width)[None] + np.zeros((clip.height, 1)) > clip.width / 2] * len(frames)
    source = WebSource("Take 1", DWMesh(take, options), move.world_from_camera, guessed, "Half of it is made up.")
    sources = [shot_source(DWMesh(clip, options)), source]
    replays = [Replay("Take 1", move, list(range(len(frames))))]
    return write_page(tmp_path_factory.mktemp("take"), sources, replays)


def test_after_a_switch_to_a_take_frame_and_pose_are_of_the_same_moment(with_take, chromium) -> None:
    facts = facts_of(with_take)
    poses = facts["sources"][1]["poses"]
    with opened(chromium, with_take, width=160, height=160) as page:
        page.is_quiet()
        page.show(3)
        page.page.select_option("#source", label="Take 1")
        page.until(f"ex4d.state().source === 1 && ex4d.state().frame === 3 && {MARKS}")
        assert page.run("ex4d.picture.pose") == poses[3]
        assert blue_of(page) == pytest.approx(TAKE_BLUE - 3 * TAKE_STEP, abs=6)
        page.page.select_option("#camera", label="the take's own")
        page.until("ex4d.player.replay !== null")
        drawn = drawn_while_playing(page)
        assert len({index for _, index, _ in drawn}) >= 3, "the take did not play"
        for frame, index, x in drawn:
            assert frame == index
            assert x == pytest.approx(poses[index][3], abs=1e-5)
        page.page.select_option("#source", label="Shot")
        page.until(f"ex4d.state().source === 0 && !{MARKS}")  # nothing of the shot is made up
        page.is_quiet()


def blue_of(page: Page) -> float:
    """The middle blue of what the filming camera of the frame sees."""
    lens = page.run("ex4d.player.source.lenses[0]")
    given = f"{{pose: ex4d.picture.pose, lens: {lens}, size: ex4d.player.source.size}}"
    page.run("ex4d.picture.shared.mark.value = 0")
    return float(np.median(np.frombuffer(page.bytes_of(f"ex4d.read(96, 96, {given})"), np.uint8).reshape(-1, 4)[:, 2]))


def test_the_last_frame_stays_when_it_is_shown_again(small, chromium) -> None:
    """A video that loops would go on to its first frame."""
    with opened(chromium, small[2]) as page:
        page.show(4)
        page.show(4)
        settled = "new Promise((done) => { ex4d.player.video.onseeked = done; setTimeout(done, 500); })"
        page.run(settled)
        assert page.run("ex4d.player.video.currentTime") > 0.3
        page.run("ex4d.player.play()")
        page.until("ex4d.picture.number === 1")  # while it plays it goes round
        page.is_quiet()


def test_two_fingers_come_closer_and_one_walks_around(small, chromium) -> None:
    with opened(chromium, small[2], width=360, height=640, has_touch=True, is_mobile=True) as page:
        finger = page.page.context.new_cdp_session(page.page)
        page.run("ex4d.walk.orbit.enableDamping = false")

        def touch(kind: str, *points: tuple[int, int]) -> None:
            places = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

        before = page.run("ex4d.walk.orbit.getDistance()")
        touch("touchStart", (160, 250), (200, 250))
        for apart in range(30, 121, 15):
            touch("touchMove", (180 - apart, 250), (180 + apart, 250))
        touch("touchEnd")
        nearest = page.run("ex4d.walk.orbit.minDistance")
        assert page.run("ex4d.walk.orbit.getDistance()") == pytest.approx(nearest, rel=1e-3)
        assert nearest < 0.6 * before
        angle = page.run("ex4d.walk.angles()[1]")
        touch("touchStart", (180, 200))
        for y in range(220, 301, 20):
            touch("touchMove", (180, y))
        touch("touchEnd")
        assert page.run("ex4d.walk.angles()[1]") > angle + 5, "a finger that goes down looks from above"
        page.is_quiet()


HEADSET = """
  // Two eyes beside one another in one picture of 128 x 64, which the page's own WebGL holds; nobody wears it.
  delete window.XRWebGLBinding;
  WebGL2RenderingContext.prototype.makeXRCompatible = async () => {};
  window.XRWebGLLayer = class {
    constructor(session, gl) {
      this.framebuffer = gl.createFramebuffer();
      [this.framebufferWidth, this.framebufferHeight, this.gl] = [128, 64, gl];
      const bound = gl.getParameter(gl.FRAMEBUFFER_BINDING), was = gl.getParameter(gl.TEXTURE_BINDING_2D);
      const texture = gl.createTexture(), depth = gl.createRenderbuffer();
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 128, 64, 0, gl.RGBA, gl.UNSIGNED_BYTE, null);
      gl.bindTexture(gl.TEXTURE_2D, was);
      gl.bindRenderbuffer(gl.RENDERBUFFER, depth);
      gl.renderbufferStorage(gl.RENDERBUFFER, gl.DEPTH_COMPONENT24, 128, 64);
      gl.bindFramebuffer(gl.FRAMEBUFFER, this.framebuffer);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
      gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.RENDERBUFFER, depth);
      gl.bindFramebuffer(gl.FRAMEBUFFER, bound);
    }
    getViewport(view) { return { x: view.eye === "left" ? 0 : 64, y: 0, width: 64, height: 64 }; }
  };
  const eye = (name, x) => ({
    eye: name,
    projectionMatrix: new Float32Array([2, 0, 0, 0, 0, 2, 0, 0, 0, 0, -1.002, -1, 0, 0, -0.2, 0]),
    transform: { matrix: new Float32Array([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, x, 0, 0, 1]) },
  });
  window.headset = { seen: [], asked: [] };
  class Session extends EventTarget {
    constructor() {
      super();
      Object.assign(this, { renderState: {}, inputSources: [], enabledFeatures: [], environmentBlendMode: "opaque" });
    }
    updateRenderState(state) { Object.assign(this.renderState, state); }
    async requestReferenceSpace(kind) { headset.asked.push(kind); return new EventTarget(); }
    requestAnimationFrame(draw) {
      if (this.ended) return 0;
      return setTimeout(() => {
        if (this.ended) return;
        const frame = { session: this, getViewerPose: () => ({ views: [eye("left", -0.2), eye("right", 0.2)] }) };
        draw(performance.now(), frame);
        const { gl, framebuffer } = this.renderState.baseLayer, pixels = new Uint8Array(128 * 64 * 4);
        const bound = gl.getParameter(gl.FRAMEBUFFER_BINDING);
        gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
        gl.readPixels(0, 0, 128, 64, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
        gl.bindFramebuffer(gl.FRAMEBUFFER, bound);
        headset.pixels = pixels;
        headset.seen.push(ex4d.picture.number);
      }, 10);
    }
    cancelAnimationFrame(id) { clearTimeout(id); }
    async end() { this.ended = true; this.dispatchEvent(new Event("end")); }
  }
  Object.defineProperty(navigator, "xr", { value: {
    isSessionSupported: async (kind) => kind === "immersive-vr",
    requestSession: async () => (headset.session = new Session()),
    addEventListener() {}, removeEventListener() {},
  } });
"""


def test_an_imitated_headset_gets_a_picture_for_either_eye_and_the_page_comes_back(small, chromium) -> None:
    """The session is a mock: what a headset makes of the pictures was not seen."""
    with opened(chromium, small[2], first=HEADSET) as page:
        page.is_quiet()
        assert page.page.is_visible("#vr")
        page.page.click("#vr")
        page.until("headset.seen.length >= 4")
        assert page.run("headset.asked").count("local") >= 1
        assert page.run("ex4d.picture.renderer.xr.isPresenting") is True
        rows = np.frombuffer(page.bytes_of("headset.pixels"), np.uint8).reshape(64, 2, 64, 4)
        left, right = rows[:, 0, :, :3].astype(float), rows[:, 1, :, :3].astype(float)
        for view in (left, right):
            assert (view.max(axis=-1) > 30).mean() > 0.3, "an eye sees nothing"
        assert np.abs(left - right).mean() > 3, "both eyes see the same"
        page.run("headset.session.end()")
        page.until("!ex4d.picture.renderer.xr.isPresenting")
        assert page.run("ex4d.picture.shared.doubt.value[3]") == 0.5
        page.run("ex4d.player.pause()")
        page.show(2)
        assert page.seen(np.eye(4), small[0].intrinsics).shown.all()
        page.is_quiet()


def test_what_is_in_doubt_is_faint_or_as_all_else_and_left_out_in_a_headset(small, chromium) -> None:
    clip = small[0]
    pose = preset("orbit_left", clip, amount=20).world_from_camera[-1]
    with opened(chromium, small[2]) as page:
        faint = page.seen(pose, clip.intrinsics)
        doubt = faint.shown & ~faint.sure
        assert 0 < doubt.mean() < 0.1
        page.page.uncheck("#doubt")
        plain = page.seen(pose, clip.intrinsics)
        assert plain.sure.sum() == faint.shown.sum()
        page.run("ex4d.picture.doubt('none')")
        none = page.seen(pose, clip.intrinsics)
        assert (none.shown == faint.sure).all()
        assert not none.colour[~none.shown].any(), "a headset would show it"
