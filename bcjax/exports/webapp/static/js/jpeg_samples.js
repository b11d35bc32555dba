// From a JPEG's coefficients to samples, as libjpeg-turbo makes them.

import { transform } from "./jpeg_transforms.js";

const SIDE = 8;

// Returns {width, height, data}: the samples of all blocks of a component, `side` of each.
export function pixelsOfBlocks(component, side) {
  const { blocksAcross, blocksDown, coefficients, quantisation } = component;
  const width = blocksAcross * side;
  const data = new Uint8ClampedArray(width * blocksDown * side);
  const { unit, rows } = transform(side);
  const columns = new Float64Array(side * SIDE);
  const scaled = new Float64Array(64);
  for (let block = 0; block < blocksAcross * blocksDown; block++) {
    const start = block * 64;
    for (let at = 0; at < 64; at++) scaled[at] = coefficients[start + at] * quantisation[at];
    const corner = Math.floor(block / blocksAcross) * side * width + (block % blocksAcross) * side;
    inverse(scaled, rows, unit, columns, data, corner, width);
  }
  return { width, height: blocksDown * side, data };
}

// First the columns, kept with two binary places as libjpeg keeps them, then the rows.
function inverse(scaled, rows, unit, columns, data, corner, stride) {
  const side = rows.length;
  let lastColumn = 0; // beyond it, and below `last`, all is zero: most blocks have few coefficients
  for (let column = 0; column < SIDE; column++) {
    let last = SIDE - 1;
    while (last > 0 && scaled[last * SIDE + column] === 0) last--;
    if (last || scaled[column]) lastColumn = column;
    for (let y = 0; y < side; y++) {
      const weights = rows[y];
      let sum = unit * scaled[column];
      for (let k = 1; k <= last; k++) sum += weights[k] * scaled[k * SIDE + column];
      columns[y * SIDE + column] = Math.floor((4 * sum) / unit + 0.5);
    }
  }
  for (let y = 0; y < side; y++) {
    const row = y * SIDE;
    for (let x = 0; x < side; x++) {
      const weights = rows[x];
      let sum = unit * columns[row];
      for (let k = 1; k <= lastColumn; k++) sum += weights[k] * columns[row + k];
      data[corner + y * stride + x] = Math.floor(sum / (32 * unit) + 0.5) + 128;
    }
  }
}

// Returns a plane with `across` and `down` times the samples.
export function upsampled(plane, across, down, smooth) {
  if (across === 1 && down === 1) return plane;
  const wide = plane.usedWidth > 2;
  if (smooth && across === 2 && down === 1 && wide) return smoothAcross(plane);
  if (smooth && across === 2 && down === 2 && wide) return smoothBoth(plane);
  if (smooth && across === 1 && down === 2) return smoothDown(plane);
  return repeated(plane, across, down);
}

function repeated({ width, usedWidth, usedHeight, data }, across, down) {
  const result = new Uint8Array(usedWidth * across * usedHeight * down);
  for (let y = 0, at = 0; y < usedHeight * down; y++) {
    const row = Math.floor(y / down) * width;
    for (let x = 0; x < usedWidth * across; x++) result[at++] = data[row + Math.floor(x / across)];
  }
  return { width: usedWidth * across, data: result };
}

function smoothAcross({ width, usedWidth, usedHeight, data }) {
  const wide = usedWidth * 2;
  const result = new Uint8Array(wide * usedHeight);
  for (let y = 0; y < usedHeight; y++) {
    for (let x = 0; x < usedWidth; x++) {
      const here = data[y * width + x];
      const left = x ? data[y * width + x - 1] : here;
      const right = x < usedWidth - 1 ? data[y * width + x + 1] : here;
      result[y * wide + 2 * x] = (3 * here + left + 1) >> 2;
      result[y * wide + 2 * x + 1] = (3 * here + right + 2) >> 2;
    }
  }
  return { width: wide, data: result };
}

function smoothDown({ width, usedWidth, usedHeight, data }) {
  const result = new Uint8Array(usedWidth * usedHeight * 2);
  for (let y = 0; y < usedHeight * 2; y++) {
    const [near, far] = nearAndFar(y, usedHeight);
    for (let x = 0; x < usedWidth; x++) {
      const sum = 3 * data[near * width + x] + data[far * width + x];
      result[y * usedWidth + x] = (sum + 1 + (y % 2)) >> 2;
    }
  }
  return { width: usedWidth, data: result };
}

function smoothBoth({ width, usedWidth, usedHeight, data }) {
  const wide = usedWidth * 2;
  const result = new Uint8Array(wide * usedHeight * 2);
  const sums = new Int32Array(usedWidth);
  for (let y = 0; y < usedHeight * 2; y++) {
    const [near, far] = nearAndFar(y, usedHeight);
    for (let x = 0; x < usedWidth; x++) sums[x] = 3 * data[near * width + x] + data[far * width + x];
    for (let x = 0; x < usedWidth; x++) {
      const left = x ? sums[x - 1] : sums[x];
      const right = x < usedWidth - 1 ? sums[x + 1] : sums[x];
      result[y * wide + 2 * x] = (3 * sums[x] + left + 8) >> 4;
      result[y * wide + 2 * x + 1] = (3 * sums[x] + right + 7) >> 4;
    }
  }
  return { width: wide, data: result };
}

// The two rows of samples between which a row of twice as many lies; at an edge both are the last.
function nearAndFar(y, rows) {
  const near = y >> 1;
  const far = y % 2 ? near + 1 : near - 1;
  return [near, Math.min(Math.max(far, 0), rows - 1)];
}
