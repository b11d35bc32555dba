// The network: its files are loaded and checked, and LiteRT.js answers pictures with it.

import { Told } from "./strings.js";

// The smallest module with a SIMD instruction: old browsers do not take it.
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15,
  253, 98, 11,
]);

export function checkBrowser() {
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(SIMD)) throw new Told("faultOld");
  if (typeof DecompressionStream !== "function") throw new Told("faultOld");
  if (!window.isSecureContext) throw new Told("faultNotSecure");
}

const SLOW = 50; // ms of a picture on the CPU from which on the GPU is worth the time to set it up
const SAME = 1e-4; // by which a probability of the GPU may differ; a distance a hundred times that

// Returns {answer, onGpu}: a function of prepared pictures, see `answered`, and where it computes.
export async function loadNetwork(app, progress) {
  const [runtime, model] = await Promise.all(
    [app.runtime, app.model].map((file) => checkedFile(file, progress)),
  );
  // Where the loader of the runtime looks for its program and for what its messages go to.
  self.Module = { wasmBinary: runtime, print: () => {}, printErr: () => {} };
  try {
    const litert = await import("../runtime/litert.js");
    await litert.loadLiteRt("runtime/loader.js");
    const cpu = await litert.loadAndCompile(model, { accelerator: "wasm" });
    const gpu = await fasterGpu(litert, cpu, model, app.page).catch(() => null);
    const onCpu = (picture) => answered(litert, cpu, app.page, picture);
    // A GPU may be lost while the app is open.
    const onGpu = (picture) =>
      answered(litert, gpu, app.page, picture).catch(() => onCpu(picture));
    return { answer: gpu ? onGpu : onCpu, onGpu: Boolean(gpu) };
  } catch (error) {
    // So fail a module and a script that cannot be fetched.
    if (error instanceof TypeError || error instanceof Event) throw new Told("faultOffline");
    throw new Told("faultNetwork", { reason: error.message });
  }
}

// Returns the network on the GPU, if there is one that answers the same, and sooner; else null.
async function fasterGpu(litert, cpu, model, page) {
  if (!litert.getWebGpuDevice()) return null;
  const [, height, width] = page.input.shape;
  const data = Uint8Array.from({ length: height * width * 3 }, (_, at) => (at * 7919) % 251);
  const timed = async (network) => {
    await answered(litert, network, page, { height, width, data }); // the first one takes longer
    const begun = performance.now();
    const answer = await answered(litert, network, page, { height, width, data });
    return { ...answer, ms: performance.now() - begun };
  };
  const expected = await timed(cpu);
  if (expected.ms < SLOW) return null;
  const options = { accelerator: "webgpu", gpuOptions: { precision: "fp32" } };
  const gpu = await litert.loadAndCompile(model, options);
  const found = await timed(gpu);
  const same =
    found.probabilities.every((each, at) => Math.abs(each - expected.probabilities[at]) < SAME) &&
    Math.abs(found.distance - expected.distance) <= 100 * SAME * expected.distance;
  // The runtime takes the CPU by itself for a network that the GPU cannot hold.
  if (same && found.ms < expected.ms && gpu.options.accelerator === "webgpu") return gpu;
  gpu.delete();
  return null;
}

// Returns probabilities by class, and the distance or null.
async function answered(litert, network, page, { height, width, data }) {
  const images = new litert.Tensor(data, [1, height, width, 3]);
  const found = await network.run({ [page.input.name]: images });
  const { probabilities, distance } = found;
  const answer = {
    probabilities: Array.from(await probabilities.data()),
    distance: distance ? (await distance.data())[0] : null,
  };
  for (const each of [images, ...Object.values(found)]) each.delete(); // else its memory stays taken
  return answer;
}

// Returns the content of a compressed file, checked.
async function checkedFile({ file, sha256 }, progress) {
  let content;
  try {
    const response = await fetch(file);
    if (!response.ok) throw new Error(String(response.status));
    content = await read(response, progress);
  } catch {
    throw new Told("faultOffline");
  }
  content = await decompressed(content).catch(() => new Uint8Array());
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== sha256) throw new Told("faultDamaged", { file });
  return content;
}

async function read(response, progress) {
  const reader = response.body.getReader();
  const parts = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Uint8Array(await new Blob(parts).arrayBuffer());
    parts.push(value);
    progress(value.length);
  }
}

// Some servers let the browser decompress files that end in .gz: then there is nothing left to do.
async function decompressed(content) {
  if (content[0] !== 0x1f || content[1] !== 0x8b) return content;
  const stream = new Blob([content]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
