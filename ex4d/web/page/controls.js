"use strict";
/* Walking about: an orbit around the shot's target within what the shot holds, and the sign that shows how far. */

const NEAREST_SHARE = 0.55, FARTHEST_SHARE = 1.25;
const RADIANS = Math.PI / 180;

class Walk {
  constructor(canvas, facts, changed) {
    this.camera = new THREE.PerspectiveCamera();
    this.camera.matrixAutoUpdate = true;
    this.limits = facts.limits;
    const distance = facts.target, { left, right, up, down } = facts.limits;
    this.orbit = Object.assign(new THREE.OrbitControls(this.camera, canvas), {
      enablePan: false, enableDamping: !matchMedia("(prefers-reduced-motion: reduce)").matches, dampingFactor: 0.12, rotateSpeed: 0.35,
      minAzimuthAngle: -left * RADIANS, maxAzimuthAngle: right * RADIANS,
      minPolarAngle: Math.PI / 2 - up * RADIANS, maxPolarAngle: Math.PI / 2 + down * RADIANS,
      minDistance: distance * NEAREST_SHARE, maxDistance: distance * FARTHEST_SHARE,
    });
    this.orbit.target.set(0, 0, -distance);
    this.orbit.addEventListener("change", changed);
    this.distance = distance;
    const room = document.getElementById("room");
    const most = Math.max(left, right, up, down), scale = 38 / most;
    for (const [name, value] of Object.entries({ x: -left * scale, y: -up * scale, width: (left + right) * scale, height: (up + down) * scale })) {
      room.setAttribute(name, value);
    }
    this.scale = scale;
  }

  /* Stand `right` and `up` degrees from the filming camera's first place, at `share` of its distance. */
  stand(right, up, share = 1) {
    const a = right * RADIANS, b = up * RADIANS, r = this.distance * share;
    this.camera.position.set(r * Math.sin(a) * Math.cos(b), r * Math.sin(b), r * Math.cos(a) * Math.cos(b) - this.distance);
    this.orbit.update();
  }

  angles() {
    return [this.orbit.getAzimuthalAngle() / RADIANS, 90 - this.orbit.getPolarAngle() / RADIANS];
  }

  /* Show where one stands among how far one can go. */
  show() {
    const [right, up] = this.angles(), { limits: most, scale } = this;
    const here = document.getElementById("here");
    here.setAttribute("cx", right * scale);
    here.setAttribute("cy", -up * scale);
    const near = (angle, limit) => angle > limit - 0.3;
    const ends = near(right, most.right) || near(-right, most.left) || near(up, most.up) || near(-up, most.down);
    document.body.classList.toggle("at-limit", ends);
    const of = (angle, limit, sign) => `${sign} ${Math.abs(angle).toFixed(0)}° of ${limit.toFixed(0)}°`;
    document.getElementById("angles").textContent =
      `${right < 0 ? of(right, most.left, "←") : of(right, most.right, "→")}\n${up < 0 ? of(up, most.down, "↓") : of(up, most.up, "↑")}`;
  }
}
