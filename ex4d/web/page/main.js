"use strict";
/* Brings video, picture and controls together; `window.ex4d` is what other scripts of a page can use. */

/* three.js travels packed, a third of its size. */
async function library() {
  const packed = Uint8Array.from(atob(document.getElementById("library").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

async function main() {
  await library();
  const byId = (id) => document.getElementById(id), facts = JSON.parse(byId("facts").textContent);
  const fail = (text) => { byId("failed").textContent = text; byId("failed").hidden = false; };
  const canvas = byId("view");
  let picture;
  try {
    picture = new Picture(canvas, facts);
  } catch (error) {
    const reason = document.createElement("canvas").getContext("webgl2") ? "could not set up its picture"
      : "needs WebGL 2, which this browser does not have or has switched off";
    fail(`This page ${reason} (${error.message}).`);
    return;
  }
  const renderer = picture.renderer;
  let dirty = true;
  const changed = () => { dirty = true; };
  const walk = new Walk(canvas, facts, changed), player = new Player(picture, facts);
  const eye = new THREE.PerspectiveCamera(); // of a replay
  eye.matrixAutoUpdate = false;

  function range() {
    const [low, high] = picture.source.span;
    return [0.1 / high, 4 * Math.max(picture.source.border, 1 / Math.max(low, 1e-9))];
  }

  /* The camera of the moment; `given` ({pose, lens, size}) counts before a replay and before the walk. */
  function cameraFor(aspect, given = player.view()) {
    if (given) {
      eye.near = range()[0];
      look(eye, given.pose, given.lens, given.size, aspect, ...range());
      eye.matrixWorldNeedsUpdate = true;
      return eye;
    }
    const source = picture.source;
    look(walk.camera, null, source.lenses[0], source.size, aspect, ...range());
    return walk.camera;
  }

  function fit() {
    if (renderer.xr.isPresenting) return; // a headset says itself how large its picture is
    const width = canvas.clientWidth, height = canvas.clientHeight;
    renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    renderer.setSize(width, height, false);
    changed();
  }

  function tick(now) {
    if (player.tick(now) || player.moved) {
      player.moved = false;
      changed();
    }
    if (renderer.xr.isPresenting) {
      picture.draw(walk.camera);
      return;
    }
    if (!player.replay) walk.orbit.update();
    if (!dirty || !picture.source) return;
    dirty = false;
    picture.draw(cameraFor(canvas.width / canvas.height));
    tell();
  }

  const tellDoubt = () => picture.doubt(byId("doubt").checked ? "faint" : "plain");

  /* Bring the controls up to what is shown. */
  function tell() {
    const move = player.replay, count = move ? move.frames.length : player.source.frames;
    const at = move ? player.index : picture.number;
    byId("time").max = count - 1;
    if (document.activeElement !== byId("time") || player.playing) byId("time").value = at;
    byId("frame").textContent = `${at + 1} / ${count}`;
    byId("play").classList.toggle("playing", player.playing);
    byId("limit").hidden = Boolean(move);
    if (move) document.body.classList.remove("at-limit");
    else walk.show();
  }

  async function choose(i) {
    await player.follow(null);
    await player.open(i);
    byId("source").value = i;
    byId("mark-choice").hidden = !player.source.guessed;
    await replay(byId("camera").value === "" ? null : Number(byId("camera").value));
  }

  /* The cameras to see through: each source's own, and the moves that come with the shot. */
  function cameras() {
    const frames = Array.from({ length: player.source.frames }, (_, i) => i);
    const own = { ...player.source, frames, name: player.current === 0 ? "the filming camera" : "the take's own" };
    const moves = player.current === 0 ? facts.replays : [];
    return [own, ...moves];
  }

  async function replay(i) {
    const moves = cameras(), select = byId("camera");
    if (i !== null && !moves[i]) i = null;
    select.replaceChildren(new Option("yours: drag", ""), ...moves.map((move, k) => new Option(k ? `replay of ${move.name}` : move.name, k)));
    select.value = i === null ? "" : i;
    await player.follow(i === null ? null : moves[i]);
    walk.orbit.enabled = i === null;
    changed();
  }

  function wire() {
    byId("play").onclick = () => { player.playing ? player.pause() : player.play(); changed(); };
    byId("time").oninput = async (event) => {
      player.pause();
      const at = Number(event.target.value), move = player.replay;
      await player.show(move ? move.frames[at] : at);
      if (move) player.index = at;
      changed();
    };
    byId("source").replaceChildren(...facts.sources.map((source, i) => new Option(source.name, i)));
    byId("source-choice").hidden = facts.sources.length < 2;
    byId("source").onchange = (event) => choose(Number(event.target.value));
    byId("camera").onchange = (event) => replay(event.target.value === "" ? null : Number(event.target.value));
    byId("home").onclick = async () => { await replay(null); walk.stand(0, 0); changed(); };
    byId("mark").onchange = (event) => { picture.shared.mark.value = Number(event.target.checked); changed(); };
    byId("doubt").onchange = () => { tellDoubt(); changed(); };
    byId("notes").replaceChildren(...facts.notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })));
    canvas.addEventListener("keydown", (event) => {
      const [right, up] = walk.angles(), way = { ArrowLeft: [-2, 0], ArrowRight: [2, 0], ArrowUp: [0, 2], ArrowDown: [0, -2] }[event.key];
      if (way && !player.replay) walk.stand(right + way[0], up + way[1]);
      else if (event.key === " ") byId("play").click();
      else if (event.key === "0") byId("home").click();
      else return;
      event.preventDefault();
    });
    new ResizeObserver(fit).observe(canvas);
    canvas.addEventListener("webglcontextlost", () => fail("The graphics processor was taken away; reload the page."));
  }

  /* A headset stands where the camera stood. What is in units nobody knows is brought to two metres. */
  async function offerHeadset() {
    if (!navigator.xr || !(await navigator.xr.isSessionSupported("immersive-vr").catch(() => false))) return;
    byId("vr").hidden = false;
    byId("vr").onclick = async () => {
      const session = await navigator.xr.requestSession("immersive-vr", { optionalFeatures: ["local"] });
      await replay(null);
      renderer.xr.enabled = true;
      picture.doubt("none");
      renderer.xr.setReferenceSpaceType("local");
      picture.scale = facts.target > 0.5 && facts.target < 10 ? 1 : 2 / facts.target;
      [walk.camera.near, walk.camera.far] = range().map((z) => z * picture.scale);
      walk.camera.position.set(0, 0, 0);
      await renderer.xr.setSession(session);
      player.play();
    };
    renderer.xr.addEventListener("sessionend", () => {
      renderer.xr.enabled = false;
      picture.scale = 1;
      tellDoubt();
      walk.stand(0, 0);
      fit();
    });
  }

  wire();
  fit();
  await choose(0);
  renderer.setAnimationLoop(tick);
  walk.stand(0, 0);
  await offerHeadset();
  return {
    facts, picture, player, walk, cameraFor, choose, replay, changed,
    state: () => ({ source: player.current, frame: picture.number, index: player.replay ? player.index : null, view: player.view(), playing: player.playing, angles: walk.angles() }),
    read: (width, height, given) => picture.read(cameraFor(width / height, given), width, height),
  };
}

/* What comes of it: the page's parts, or null where a sentence says why there is no page. */
window.ex4dReady = main().then((page) => (window.ex4d = page || null), (error) => {
  document.getElementById("failed").textContent = String(error.message || error);
  document.getElementById("failed").hidden = false;
  console.error(error);
  return null;
});
