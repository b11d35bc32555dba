// Decodes a JPEG as bcjax does: at n/8 of its size where the network reads much smaller pictures.
//
// bcjax decodes by libjpeg-turbo, which leaves out the finest coefficients then. A browser decodes
// the whole picture, and the difference is large enough to change answers.

import { readCoefficients } from "./jpeg_coefficients.js";
import { pixelsOfBlocks, upsampled } from "./jpeg_samples.js";

// Returns {width, height, data}; null where the kind of JPEG is a rare one, which the browser may
// decode. Throws a RangeError or a JpegError where the file is damaged.
//   atLeast: no side of the result falls below it, unless that of the picture is smaller.
export function decodeJpeg(bytes, atLeast) {
  const frame = readCoefficients(bytes);
  if (!frame) return null;
  const eighths = scale(frame, atLeast);
  const width = Math.ceil((frame.width * eighths) / 8);
  const height = Math.ceil((frame.height * eighths) / 8);
  const planes = frame.components.map((component) => {
    const side = blockSide(frame, component, eighths);
    const plane = pixelsOfBlocks(component, side);
    const samples = {
      ...plane,
      usedWidth: Math.ceil((frame.width * component.h * side) / (frame.h * 8)),
      usedHeight: Math.ceil((frame.height * component.v * side) / (frame.v * 8)),
    };
    const across = (frame.h * eighths) / (component.h * side);
    const down = (frame.v * eighths) / (component.v * side);
    return upsampled(samples, across, down, eighths > 1);
  });
  const data = colours(planes, width, height, frame.isRgb);
  return upright({ width, height, data }, frame.orientation);
}

function scale({ width, height }, atLeast) {
  const enough = (side, eighths) => Math.ceil((side * eighths) / 8) >= atLeast;
  for (let eighths = 1; eighths < 8; eighths++) {
    if (enough(width, eighths) && enough(height, eighths)) return eighths;
  }
  return 8;
}

// The side of what a block of 8x8 becomes: of colour, which has fewer samples, up to twice as much.
function blockSide(frame, component, eighths) {
  let side = eighths;
  while (
    side < 8 &&
    (frame.h * eighths) % (component.h * side * 2) === 0 &&
    (frame.v * eighths) % (component.v * side * 2) === 0
  ) {
    side *= 2;
  }
  return side;
}

// libjpeg's integer tables.
const fixed = (value) => Math.floor(value * 65536 + 0.5);
const HALF = 1 << 15;

function colours(planes, width, height, isRgb) {
  const data = new Uint8ClampedArray(width * height * 3);
  const [first, second, third] = planes;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 3) {
      const luma = first.data[y * first.width + x];
      if (planes.length === 1) {
        data[at] = data[at + 1] = data[at + 2] = luma;
        continue;
      }
      const blue = second.data[y * second.width + x];
      const red = third.data[y * third.width + x];
      if (isRgb) {
        [data[at], data[at + 1], data[at + 2]] = [luma, blue, red];
        continue;
      }
      const [cb, cr] = [blue - 128, red - 128];
      data[at] = luma + ((RED * cr + HALF) >> 16);
      data[at + 1] = luma + ((GREEN_BLUE * cb + GREEN_RED * cr + HALF) >> 16);
      data[at + 2] = luma + ((BLUE * cb + HALF) >> 16);
    }
  }
  return new Uint8Array(data.buffer);
}

const RED = fixed(1.402);
const BLUE = fixed(1.772);
const GREEN_BLUE = -fixed(0.34414);
const GREEN_RED = -fixed(0.71414);

// Turns a picture as its EXIF says.
function upright(picture, orientation) {
  const turn = {
    2: [false, false, true], 3: [false, true, true], 4: [false, true, false],
    5: [true, false, false], 6: [true, false, true], 7: [true, true, true], 8: [true, true, false],
  }[orientation];
  if (!turn) return picture;
  const [transposes, flipsRows, flipsColumns] = turn;
  const { width: before, data } = picture;
  const [width, height] = transposes
    ? [picture.height, picture.width]
    : [picture.width, picture.height];
  const turned = new Uint8Array(data.length);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 3) {
      const row = flipsRows ? height - 1 - y : y;
      const column = flipsColumns ? width - 1 - x : x;
      const from = (transposes ? column * before + row : row * before + column) * 3;
      turned[to] = data[from];
      turned[to + 1] = data[from + 1];
      turned[to + 2] = data[from + 2];
    }
  }
  return { width, height, data: turned };
}
