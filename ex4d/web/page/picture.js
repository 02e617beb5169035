"use strict";
/* Draws one picture of a source as a camera sees it. */

/* Levels of fine disparity by which coding may be off. */
const EXACT_LEVELS = 4;
/* How what is in doubt is shown: at least this bright, and faint; as all else is; not at all. */
const DOUBT = { faint: [0.3, 0.35, 0.5, 0.5], plain: [0, 0, 0, 1], none: [0, 0, 0, 0] };
/* How far blockers reach beyond those of the solid mesh before all is sure to be seen: pixels, and shares of depth. */
const REACH = [1, 0.02];

class Picture {
  constructor(canvas, facts) {
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, premultipliedAlpha: false, powerPreference: "high-performance" });
    this.renderer.setClearColor(0x000000, 0); // the page's ground is seen where nothing is
    this.renderer.outputColorSpace = THREE.LinearSRGBColorSpace; // what the shaders write is shown as it is
    this.facts = facts;
    this.scene = new THREE.Scene();
    this.shared = {
      video: { value: null }, decoded: { value: null }, corners: { value: null }, tile: { value: [0, 0] }, size: { value: [0, 0] },
      span: { value: [0, 1] }, segments: { value: facts.segments }, kinds: { value: facts.kinds },
      layers: { value: facts.layers }, fields: { value: facts.fields }, edges: { value: [0, 0, 0] }, exact: { value: 0 }, cuts: { value: null }, lens: { value: new THREE.Vector4() }, mark: { value: 1 },
      reach: { value: REACH }, doubt: { value: DOUBT.faint },
    };
    this.front = this.points(FRONT_VERTEX, FRONT_FRAGMENT);
    this.blockers = this.points(BLOCKER_VERTEX, BLOCKER_FRAGMENT, { depthWrite: false });
    this.blockers.renderOrder = 1; // upon the whole front
    this.doubt("faint");
    this.passes = [DECODE_FRAGMENT, CUTS_FRAGMENT, CORNERS_FRAGMENT].map((fragment) => {
      const pass = this.points(PASS_VERTEX, fragment, { depthTest: false, depthWrite: false });
      pass.geometry.setDrawRange(0, 3);
      return new THREE.Scene().add(pass);
    });
    this.shot = new THREE.Group();
    this.shot.matrixAutoUpdate = false;
    this.shot.add(this.front, this.blockers);
    this.scene.add(this.shot);
    this.anyCamera = new THREE.PerspectiveCamera();
    this.number = -1;
    this.scale = 1;
  }

  /* A mesh that has no vertices but their numbers. */
  points(vertexShader, fragmentShader, more = {}) {
    const material = new THREE.RawShaderMaterial({
      glslVersion: THREE.GLSL3, vertexShader, fragmentShader, uniforms: this.shared, side: THREE.DoubleSide,
      blending: THREE.NoBlending, toneMapped: false, ...more,
    });
    const mesh = new THREE.Mesh(new THREE.BufferGeometry(), material);
    mesh.frustumCulled = false;
    mesh.matrixAutoUpdate = false;
    return mesh;
  }

  /* Show what is in doubt "faint", "plain" or not at all ("none").

     Opacity tells what a blocker hides (0) or puts in doubt: of several upon one another the least counts, in any order.
     A headset knows no opacity, so what is not shown at all is also black. */
  doubt(how) {
    const least = {
      blending: THREE.CustomBlending, blendEquation: THREE.MaxEquation, blendSrc: THREE.OneFactor, blendDst: THREE.OneFactor,
      blendEquationAlpha: THREE.MinEquation,
    };
    Object.assign(this.blockers.material, how === "none" ? { blending: THREE.NoBlending } : least);
    this.shared.doubt.value = DOUBT[how];
  }

  /* Take up another source, whose pictures `video` plays. */
  open(source, video) {
    this.source = source;
    const [width, height] = source.size;
    this.shared.size.value = source.size;
    this.shared.tile.value = source.tile;
    this.shared.span.value = source.span;
    this.shared.exact.value = (EXACT_LEVELS / 219 / this.facts.segments) * (source.span[1] - source.span[0]);
    this.front.geometry.setDrawRange(0, width * height * 6);
    this.blockers.geometry.setDrawRange(0, (width + 1) * (height + 1) * 24);
    this.texture?.dispose();
    for (const target of this.targets || []) target.dispose();
    const nearest = { minFilter: THREE.NearestFilter, magFilter: THREE.NearestFilter };
    this.texture = Object.assign(new THREE.VideoTexture(video), nearest, {
      generateMipmaps: false, flipY: false, colorSpace: THREE.NoColorSpace,
    });
    this.targets = this.passes.map(() => new THREE.WebGLRenderTarget(width, height, {
      ...nearest, format: THREE.RGBAIntegerFormat, type: THREE.UnsignedIntType, internalFormat: "RGBA32UI",
      depthBuffer: false, generateMipmaps: false,
    }));
    this.shared.video.value = this.texture;
    this.number = -1;
  }

  /* Decode what the video shows now; returns the number that the picture itself bears. */
  take() {
    const [decoded, cuts, corners] = this.targets, first = new Uint32Array(4);
    this.texture.needsUpdate = true;
    Object.assign(this.shared.decoded, { value: null });
    Object.assign(this.shared.cuts, { value: null });
    Object.assign(this.shared.corners, { value: null });
    this.run(0);
    this.shared.decoded.value = decoded.texture;
    this.renderer.readRenderTargetPixels(decoded, 0, 0, 1, 1, first);
    this.number = first[3] >>> 8;
    const row = (rows) => rows[rows.length > 1 ? this.number : 0] || rows[0];
    this.shared.lens.value.set(...row(this.source.lenses));
    this.pose = row(this.source.poses);
    this.shared.edges.value = row(this.source.edges);
    this.run(1);
    this.shared.cuts.value = cuts.texture;
    this.run(2);
    this.shared.corners.value = corners.texture;
    return this.number;
  }

  run(i) {
    this.renderer.setRenderTarget(this.targets[i]);
    this.renderer.render(this.passes[i], this.anyCamera);
    this.renderer.setRenderTarget(null);
  }

  /* Draw what was taken last as `camera` sees it. The steady world stays; each frame stands where it was filmed. */
  draw(camera) {
    if (this.number < 0) return;
    const s = this.scale;
    this.shot.matrix.set(s, 0, 0, 0, 0, -s, 0, 0, 0, 0, -s, 0, 0, 0, 0, 1).multiply(matrixOf(this.pose));
    this.shot.matrixWorldNeedsUpdate = true;
    this.renderer.render(this.scene, camera);
  }

  /* Colours and, as alpha, what is shown: rows from the upper left. */
  read(camera, width, height) {
    const target = new THREE.WebGLRenderTarget(width, height), out = new Uint8Array(width * height * 4);
    this.renderer.setRenderTarget(target);
    this.draw(camera);
    this.renderer.readRenderTargetPixels(target, 0, 0, width, height, out);
    this.renderer.setRenderTarget(null);
    target.dispose();
    const flipped = new Uint8Array(out.length), row = width * 4;
    for (let j = 0; j < height; j++) flipped.set(out.subarray(j * row, (j + 1) * row), (height - 1 - j) * row);
    return flipped;
  }

  /* The disparity of every pixel, row by row. */
  disparity() {
    const [width, height] = this.source.size, out = new Uint32Array(width * height * 4);
    this.renderer.readRenderTargetPixels(this.targets[0], 0, 0, width, height, out);
    return new Float32Array(out.filter((_, i) => i % 4 === 0).buffer);
  }
}

/* The first three rows of a pose, row by row. */
function matrixOf(rows) {
  return new THREE.Matrix4().set(...rows, 0, 0, 0, 1);
}

/* See through `lens` (fx, fy, cx, cy of a picture of `size`) from `pose`; what is wider or higher sees more beside. */
function look(camera, pose, lens, size, aspect, nearest, farthest) {
  if (pose) {
    const flip = new THREE.Matrix4().makeScale(1, -1, -1);
    camera.matrix.copy(flip).multiply(matrixOf(pose)).multiply(flip);
    camera.matrix.decompose(camera.position, camera.quaternion, camera.scale);
  }
  const [fx, fy, cx, cy] = lens, [width, height] = size, wide = Math.max(width, height * aspect);
  const high = Math.max(height, width / aspect), x = (wide - width) / 2, y = (high - height) / 2;
  camera.projectionMatrix.makePerspective(
    (-(cx + x) / fx) * nearest, ((width + x - cx) / fx) * nearest, ((cy + y) / fy) * nearest,
    (-(height + y - cy) / fy) * nearest, nearest, farthest);
  camera.projectionMatrixInverse.copy(camera.projectionMatrix).invert();
}
