"use strict";
/* Plays a source's video, and a camera move beside it so that frame and pose are always of one moment: the picture says
   by itself which frame it is, and only a pose that belongs to that frame is shown with it. */

const SHOW_WAIT_MS = 10000;

class Player {
  constructor(picture, facts) {
    this.picture = picture;
    this.facts = facts;
    this.video = document.createElement("video"); // one for all sources: each further one costs a decoder
    Object.assign(this.video, { muted: true, playsInline: true, preload: "auto" });
    this.urls = facts.sources.map((_, i) => videoUrl(i));
    this.wanted = false;
    this.stale = false;
    for (const event of ["loadeddata", "seeked", "timeupdate", "pause"]) {
      this.video.addEventListener(event, () => { this.stale = true; });
    }
    // It does not come for a picture that is shown already, so the events above count as well.
    if (this.video.requestVideoFrameCallback) {
      const again = () => { this.stale = true; this.video.requestVideoFrameCallback(again); };
      this.video.requestVideoFrameCallback(again);
    }
    this.replay = null;
  }

  get source() { return this.facts.sources[this.current]; }
  get playing() { return this.wanted; }

  /* Show source `i`, at the frame that is shown now where it has that. */
  async open(i) {
    const frame = this.current === undefined ? 0 : Math.max(this.picture.number, 0);
    const was = this.wanted;
    this.pause();
    this.current = i;
    this.stale = false;
    this.picture.open(this.source, this.video);
    this.video.src = this.urls[i];
    await heard(this.video, "loadeddata", "error");
    if (this.video.error) throw new Error(`This browser cannot play the video of ${this.source.name}: ${this.video.error.message}`);
    await this.show(Math.min(frame, this.source.frames - 1));
    if (was) this.play();
  }

  /* Have frame `n` on screen; returns its number once it is there, or that of what is there after a while. */
  async show(n) {
    await this.seek(n);
    const last = performance.now() + SHOW_WAIT_MS;
    while (this.picture.take() !== n && performance.now() < last) {
      await new Promise((resolve) => setTimeout(resolve, 30)); // it was sought, but is not handed out yet
    }
    return this.picture.number;
  }

  async seek(n) {
    const done = heard(this.video, "seeked", "error");
    this.video.currentTime = (n + 0.5) / this.source.fps;
    await done;
  }

  play() {
    this.wanted = true;
    this.video.loop = true; // only while it plays: the last frame would jump to the first when it is shown again
    if (!this.stepping) this.video.play().catch(() => { this.wanted = false; });
  }

  pause() {
    this.wanted = false;
    this.video.loop = false;
    this.video.pause();
  }

  /* Go along with a camera move, or with none (null). */
  async follow(replay) {
    this.replay = null;
    this.stepping = Boolean(replay) && !replay.frames.every((f, i) => f === replay.frames[0] + i);
    if (this.stepping) {
      this.video.loop = false;
      this.video.pause();
    } else if (this.wanted) this.play();
    if (replay) {
      this.index = 0;
      await this.show(replay.frames[0]);
      this.replay = replay;
      this.due = performance.now();
    }
  }

  /* Called before each picture: take what is new of the video. Returns whether something changed. */
  tick(now) {
    if (this.replay && this.stepping) return this.step(now);
    // A playing video shows every refresh what it has; where no callback tells of new frames they are all looked at.
    if (!this.stale && !(this.wanted && !this.video.requestVideoFrameCallback)) return false;
    if (this.video.readyState < 2 || this.video.seeking) return false;
    this.stale = false;
    this.picture.take();
    if (this.replay) {
      const index = this.picture.number - this.replay.frames[0];
      if (index < 0 || index >= this.replay.frames.length) {
        if (!this.jumping) this.jump(this.replay.frames[0]);
        return false; // the move is over: what is shown stays until its first frame is there
      }
      this.index = index;
    }
    return true;
  }

  async jump(n) {
    this.jumping = true;
    await this.seek(n);
    this.jumping = false;
  }

  /* A move that changes time: the next pose comes when its frame is there. */
  step(now) {
    if (!this.wanted || this.jumping || now < this.due) return false;
    const next = (this.index + 1) % this.replay.frames.length, frame = this.replay.frames[next];
    this.due = now + 1000 / this.source.fps;
    if (frame === this.picture.number) {
      this.index = next;
      return true;
    }
    const replay = this.replay;
    this.jumping = true;
    this.show(frame).then((shown) => {
      this.jumping = false;
      if (shown === frame && this.replay === replay) this.index = next;
      this.moved = true;
    });
    return false;
  }

  /* The camera that belongs to what is shown, or null where one walks about by oneself. */
  view() {
    if (!this.replay) return null;
    const row = (rows) => rows[rows.length > 1 ? this.index : 0];
    return { pose: row(this.replay.poses), lens: row(this.replay.lenses), size: this.replay.size };
  }
}

/* The video as a local object: a file beside the page would be shown black, and a server is not asked for. */
function videoUrl(i) {
  const text = atob(document.getElementById(`video-${i}`).textContent), bytes = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k++) bytes[k] = text.charCodeAt(k);
  return URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
}

function heard(target, ...events) {
  return new Promise((resolve) => {
    const done = () => {
      for (const event of events) target.removeEventListener(event, done);
      resolve();
    };
    for (const event of events) target.addEventListener(event, done);
  });
}
