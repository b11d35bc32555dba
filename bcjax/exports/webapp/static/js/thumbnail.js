// Small images of pictures, to be shown and kept.

const SIDE = 96;

// Returns the address (data:) of a picture, no larger than `side` pixels.
export function thumbnail({ width, height, data }, side = SIDE) {
  const whole = document.createElement("canvas");
  const step = Math.max(1, Math.floor(Math.max(width, height) / (2 * side)));
  [whole.width, whole.height] = [Math.ceil(width / step), Math.ceil(height / step)];
  const image = new ImageData(whole.width, whole.height);
  for (let y = 0, at = 0; y < whole.height; y++) {
    for (let x = 0; x < whole.width; x++, at += 4) {
      const from = (y * step * width + x * step) * 3;
      image.data.set(data.subarray(from, from + 3), at);
      image.data[at + 3] = 255;
    }
  }
  whole.getContext("2d").putImageData(image, 0, 0);
  const scale = Math.min(1, side / Math.max(whole.width, whole.height));
  const small = document.createElement("canvas");
  small.width = Math.max(1, Math.round(whole.width * scale));
  small.height = Math.max(1, Math.round(whole.height * scale));
  const context = small.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(whole, 0, 0, small.width, small.height);
  return small.toDataURL("image/jpeg", 0.85);
}
