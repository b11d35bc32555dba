// Wires the page: pictures come in, answers, counts and history go out.

import { AnswerView } from "./answer_view.js";
import { aboutList } from "./about.js";
import { Camera, framed } from "./camera.js";
import { decode } from "./decode.js";
import { element, make } from "./elements.js";
import { History } from "./history.js";
import { HistoryView } from "./history_view.js";
import { judge } from "./judge.js";
import { checkBrowser, loadNetwork } from "./network.js";
import { filled, prepare } from "./resize.js";
import { loadStrings, number, text, Told } from "./strings.js";
import { Tally } from "./tally.js";
import { TallyView } from "./tally_view.js";
import { thumbnail } from "./thumbnail.js";

const LIVE_PAUSE = 150; // ms between live answers, at least as long as an answer takes

class App {
  constructor(app, network) {
    this.page = app.page;
    this.mostPixels = app.most_pixels;
    this.shape = app.page.input.shape.slice(1, 3);
    this.atLeast = Math.max(...filled(this.shape, app.page.preparation));
    this.network = network.answer;
    this.onGpu = network.onGpu;
    this.camera = new Camera(element("video"));
    this.answers = new AnswerView(app.page.classes);
    this.history = new HistoryView(new History(`bcjax-${app.model.sha256.slice(0, 12)}`));
    const key = `bcjax-tally-${app.model.sha256.slice(0, 12)}`;
    this.tally = new TallyView(new Tally(app.page.classes, storage(), key), app.page, say);
    this.#listen();
  }

  // Answers prepared pixels; returns {verdict, milliseconds}.
  async answer(pixels) {
    const begun = performance.now();
    const found = await this.network(prepare(pixels, this.shape, this.page.preparation));
    const verdict = judge(found, this.page.calibration);
    return { ...verdict, ...found, milliseconds: performance.now() - begun };
  }

  // Answers a picture that stays: shows it, counts it, keeps it. Returns whether it was counted.
  async keep(name, pixels) {
    const answer = await this.answer(pixels);
    const image = thumbnail(pixels);
    this.#showStill(thumbnail(pixels, 720));
    const said = this.answers.show(answer);
    const label = this.page.classes[answer.order[0]];
    const sure = !answer.unsure && !answer.strange;
    const parts = [text("answered", { name, verdict: said })];
    const counts = element("automatic").checked;
    if (counts) {
      if (sure) this.tally.add(answer.order[0]);
      parts.push(sure ? text("counted", { label }) : text("notCounted"));
    }
    say(parts.join(" "));
    await this.history.add({
      label,
      probability: answer.probabilities[answer.order[0]],
      sure,
      time: Date.now(),
      thumbnail: image,
    });
    return counts && sure;
  }

  async takeFiles(files) {
    this.#clearFaults();
    const total = files.length;
    let [done, answered, counted] = [0, 0, 0];
    for (const file of files) {
      done += 1;
      const name = file.name || text("pasted");
      say(text("progress", { done, total }));
      try {
        counted += await this.keep(name, await decode(file, this.atLeast, this.mostPixels));
        answered += 1;
      } catch (error) {
        this.#tell(text("faultOf", { name, fault: told(error) }));
      }
    }
    if (total > 1 || !answered) say(text("progressDone", { answered, total, counted }));
  }

  async toggleCamera() {
    this.#clearFaults();
    if (this.camera.on) {
      this.camera.stop();
    } else {
      try {
        await this.camera.start();
      } catch (error) {
        this.#tell(told(error));
      }
    }
    this.#showCamera();
    if (this.camera.on) this.#live();
  }

  async takePhotograph() {
    this.#clearFaults();
    const pixels = this.camera.frame(this.shape);
    if (!pixels) return this.#tell(text("faultCameraNotReady"));
    return this.keep(text("photograph"), pixels);
  }

  async #live() {
    while (this.camera.on) {
      const pixels = document.hidden ? null : this.camera.frame(this.shape);
      let took = 0;
      if (pixels) {
        const answer = await this.answer(pixels);
        took = answer.milliseconds;
        if (this.camera.on) this.answers.show(answer, { live: true });
      }
      await new Promise((resolve) => setTimeout(resolve, Math.max(LIVE_PAUSE, took)));
    }
  }

  #showCamera() {
    const on = this.camera.on;
    const video = this.camera.video;
    element("camera").textContent = text(on ? "stopCamera" : "startCamera");
    element("camera").classList.toggle("main", !on);
    for (const id of ["take", "frame", "video", "live"]) element(id).hidden = !on;
    element("still").hidden = on || !element("still").src;
    element("hint").hidden = on || Boolean(element("still").src);
    element("stage").classList.toggle("filled", element("hint").hidden);
    if (!on) return;
    const { left, top, width, height } = framed(video.videoWidth, video.videoHeight, this.shape);
    Object.assign(element("frame").style, {
      left: `${(100 * left) / video.videoWidth}%`,
      top: `${(100 * top) / video.videoHeight}%`,
      width: `${(100 * width) / video.videoWidth}%`,
      height: `${(100 * height) / video.videoHeight}%`,
    });
  }

  #showStill(address) {
    element("still").src = address;
    if (!this.camera.on) this.#showCamera();
  }

  #tell(fault) {
    element("faults").append(make("li", { textContent: fault }));
  }

  #clearFaults() {
    element("faults").replaceChildren();
  }

  #listen() {
    const guarded = (act) => (event) =>
      Promise.resolve(act(event)).catch((error) => this.#tell(told(error)));
    const listen = (target, kind, act) => target.addEventListener(kind, guarded(act));
    listen(element("camera"), "click", () => this.toggleCamera());
    listen(element("take"), "click", () => this.takePhotograph());
    listen(element("choose"), "click", () => element("files").click());
    listen(element("files"), "change", async ({ target }) => {
      const files = [...target.files];
      target.value = ""; // so that the same file can be chosen again
      await this.takeFiles(files);
    });
    listen(document, "paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      return files.length ? this.takeFiles(files) : undefined;
    });
    const over = (event) => {
      event.preventDefault();
      element("stage").classList.add("over");
    };
    listen(document, "dragover", over);
    listen(document, "dragleave", () => element("stage").classList.remove("over"));
    listen(document, "drop", (event) => {
      event.preventDefault();
      element("stage").classList.remove("over");
      return this.takeFiles([...event.dataTransfer.files]);
    });
    listen(this.camera.video, "resize", () => this.#showCamera());
  }
}

function say(sentence) {
  element("said").textContent = sentence;
}

function told(error) {
  if (error instanceof Told) return error.message;
  console.error(error);
  return text("faultUnknown", { reason: error.message });
}

// Damaged files must not come from the device's own store again.
async function forget() {
  for (const name of await caches.keys()) {
    if (name.startsWith("bcjax-")) await caches.delete(name);
  }
}

function storage() {
  try {
    return window.localStorage;
  } catch {
    return { getItem: () => null, setItem: () => {} };
  }
}

async function start() {
  element("start-again").hidden = true;
  element("start-progress").hidden = false;
  try {
    await loadStrings(["en"]);
  } catch {
    return failed(element("start-offline").textContent); // there are no other texts
  }
  try {
    checkBrowser();
    const app = await about();
    const total = app.model.bytes + app.runtime.bytes;
    let loaded = 0;
    const megabytes = (bytes) => number(Math.round(bytes / 1e5) / 10);
    const network = await loadNetwork(app, (bytes) => {
      if (element("start").classList.contains("fault")) return; // of another file
      loaded += bytes;
      element("start-progress").value = loaded / total;
      element("start-said").textContent = text("loadingNetwork", {
        loaded: megabytes(loaded),
        total: megabytes(total),
      });
    });
    element("which").textContent = text("which", {
      network: `${app.page.run} (${app.page.network})`,
      classes: app.page.classes.length,
    });
    aboutList(app, network.onGpu);
    window.bcjax = new App(app, network); // for tests and for whoever looks under the bonnet
    element("app").hidden = false;
    element("start").hidden = true;
    // After the files were loaded and checked, so that they are fetched once and kept whole.
    navigator.serviceWorker?.register("sw.js").catch(console.error);
  } catch (error) {
    if (error.key === "faultDamaged") await forget();
    failed(told(error));
  }
}

async function about() {
  try {
    return await (await fetch("app.json")).json();
  } catch {
    throw new Told("faultOffline");
  }
}

function failed(sentence) {
  element("start-said").textContent = sentence;
  element("start").classList.add("fault");
  element("start-progress").hidden = true;
  element("start-again").hidden = false;
}

element("start-again").addEventListener("click", () => location.reload());
await start();
