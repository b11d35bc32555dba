// The live camera, with the frame in which the cell is put.

import { pixelsOf } from "./decode.js";
import { Told } from "./strings.js";

const SHARE = 0.7; // of the video's shorter side that the frame takes; style.css draws the same

export class Camera {
  #stream = null;

  constructor(video) {
    this.video = video;
  }

  get on() {
    return this.#stream !== null;
  }

  async start() {
    if (!navigator.mediaDevices?.getUserMedia) throw new Told("faultNoCamera");
    const wanted = { facingMode: "environment", width: { ideal: 1280 }, height: { ideal: 720 } };
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    } catch (error) {
      throw new Told(
        { NotAllowedError: "faultCameraRefused", NotReadableError: "faultCameraBusy" }[error.name] ??
          "faultNoCamera",
      );
    }
    this.video.srcObject = this.#stream;
    await this.video.play();
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.video.srcObject = null;
  }

  // Returns what is in the frame, {width, height, data}; null before the first picture.
  //   shape: [height, width] of the network, whose shape the frame has.
  frame(shape) {
    const { videoWidth, videoHeight } = this.video;
    if (!videoWidth) return null;
    const { left, top, width, height } = framed(videoWidth, videoHeight, shape);
    return pixelsOf(this.video, left, top, width, height);
  }
}

export function framed(videoWidth, videoHeight, [rows, columns]) {
  const scale = (SHARE * Math.min(videoWidth, videoHeight)) / Math.max(rows, columns);
  const [width, height] = [Math.round(columns * scale), Math.round(rows * scale)];
  const left = Math.floor((videoWidth - width) / 2);
  const top = Math.floor((videoHeight - height) / 2);
  return { left, top, width, height };
}
