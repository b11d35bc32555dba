// From a file to upright RGB: the browser decodes what is no JPEG, and transparency is laid over
// white.

import { pixelsInHeader } from "./header.js";
import { decodeJpeg } from "./jpeg.js";
import { JpegError } from "./jpeg_coefficients.js";
import { Told, number } from "./strings.js";

const STRIP = 1 << 22; // pixels that are read from a canvas at a time: telephones have small ones

// Returns {width, height, data} of a Blob.
//   atLeast: no side of a JPEG may be decoded to less, see jpeg.js.
export async function decode(blob, atLeast, mostPixels) {
  if (!blob.size) throw new Told("faultEmpty");
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const size = pixelsInHeader(bytes);
  if (size) check(size, mostPixels);
  const jpeg = bytes[0] === 0xff && bytes[1] === 0xd8 ? ownJpeg(bytes, atLeast) : null;
  if (jpeg) return jpeg;
  const bitmap = await bitmapOf(blob);
  try {
    check(bitmap, mostPixels);
    return pixelsOf(bitmap, 0, 0, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

function check({ width, height }, mostPixels) {
  if (width * height <= mostPixels) return;
  throw new Told("faultHuge", {
    width: number(width),
    height: number(height),
    most: number(Math.floor(mostPixels / 1e6)),
  });
}

function ownJpeg(bytes, atLeast) {
  try {
    return decodeJpeg(bytes, atLeast);
  } catch (error) {
    if (error instanceof RangeError || error instanceof JpegError) throw new Told("faultNoPicture");
    throw error;
  }
}

async function bitmapOf(blob) {
  try {
    return await createImageBitmap(blob, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new Told("faultNoPicture");
  }
}

// Reads a part of what a canvas can draw, such as a bitmap or a video, in its own pixels.
export function pixelsOf(source, left, top, width, height) {
  const data = new Uint8Array(width * height * 3);
  const rows = Math.max(1, Math.min(height, Math.floor(STRIP / width)));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, rows];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  for (let row = 0; row < height; row += rows) {
    const some = Math.min(rows, height - row);
    context.clearRect(0, 0, width, rows);
    context.drawImage(source, left, top + row, width, some, 0, 0, width, some);
    overWhite(context.getImageData(0, 0, width, some).data, data, row * width * 3);
  }
  return { width, height, data };
}

function overWhite(pixels, data, start) {
  for (let from = 0, to = start; from < pixels.length; from += 4, to += 3) {
    const alpha = pixels[from + 3] / 255;
    for (let channel = 0; channel < 3; channel++) {
      const colour = pixels[from + channel];
      data[to + channel] = alpha === 1 ? colour : Math.round(colour * alpha + 255 * (1 - alpha));
    }
  }
}
