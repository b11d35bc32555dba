// From decoded pixels to what the network reads, with the same bits as bcjax's InputTransform, which
// resizes by OpenCV: INTER_AREA where a picture becomes smaller, else INTER_LINEAR. A browser's own
// resizing gives other pixels, and so other answers.
//
// A picture is {width, height, data}: RGB, one byte each, row by row.

// Returns the picture as the network reads it.
//   size: [height, width] of the network. preparation: that of app.json.
export function prepare(picture, size, preparation) {
  const placed = place(resizeFor(picture, size, preparation), size, preparation);
  return preparation.grey ? grey(placed) : placed;
}

// The least height and width that a JPEG may be decoded to; see jpeg.js.
export function filled(size, preparation) {
  const share = preparation.resize === "crop" ? preparation.crop_fraction || 1 : 1;
  return size.map((side) => roundHalfEven(side / share));
}

function resizeFor(picture, size, preparation) {
  const before = [picture.height, picture.width];
  const goal = filled(size, preparation);
  const scales = goal.map((side, axis) => side / before[axis]);
  let after = goal;
  if (preparation.resize === "crop") {
    const most = Math.max(...scales);
    after = goal.map((side, axis) => Math.max(side, Math.trunc(before[axis] * most)));
  } else if (preparation.resize === "pad") {
    const least = Math.min(...scales);
    after = before.map((side) => Math.max(1, roundHalfEven(side * least)));
  }
  return resize(picture, after[0], after[1]);
}

export function resize(picture, height, width) {
  if (picture.height === height && picture.width === width) return picture;
  const shrinks = picture.height >= height && picture.width >= width;
  return shrinks ? byArea(picture, height, width) : bilinear(picture, height, width);
}

// Cuts the result out of the middle, or puts the picture there.
function place(picture, [height, width], preparation) {
  if (picture.height === height && picture.width === width) return picture;
  const top = Math.floor(Math.abs(picture.height - height) / 2);
  const left = Math.floor(Math.abs(picture.width - width) / 2);
  const placed = { height, width, data: new Uint8Array(height * width * 3) };
  if (preparation.resize === "pad") {
    for (let at = 0; at < placed.data.length; at++) {
      placed.data[at] = preparation.pad_colour[at % 3];
    }
    copy(picture, 0, 0, placed, top, left, picture.height, picture.width);
  } else {
    copy(picture, top, left, placed, 0, 0, height, width);
  }
  return placed;
}

function copy(from, fromTop, fromLeft, to, toTop, toLeft, height, width) {
  for (let row = 0; row < height; row++) {
    const start = ((fromTop + row) * from.width + fromLeft) * 3;
    to.data.set(
      from.data.subarray(start, start + width * 3),
      ((toTop + row) * to.width + toLeft) * 3,
    );
  }
}

// OpenCV's cvtColor to grey: ITU-R BT.601 in 15 bits.
function grey(picture) {
  const { height, width, data } = picture;
  const result = new Uint8Array(data.length);
  for (let at = 0; at < data.length; at += 3) {
    const luma = (data[at] * 9798 + data[at + 1] * 19235 + data[at + 2] * 3735 + (1 << 14)) >> 15;
    result.fill(luma, at, at + 3);
  }
  return { height, width, data: result };
}

function byArea(picture, height, width) {
  const factors = [picture.height / height, picture.width / width];
  const whole = factors.every((factor) => Number.isInteger(factor));
  return whole ? byWholeArea(picture, height, width, factors) : byPartArea(picture, height, width);
}

// Means of blocks of whole pixels, summed as integers.
function byWholeArea(picture, height, width, [rows, columns]) {
  const { data, width: stride } = picture;
  const result = new Uint8Array(height * width * 3);
  const scale = Math.fround(1 / (rows * columns));
  const two = rows === 2 && columns === 2; // OpenCV rounds a half up there, else to the even one
  for (let y = 0, out = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++, out++) {
        let sum = 0;
        for (let row = 0; row < rows; row++) {
          let at = ((y * rows + row) * stride + x * columns) * 3 + channel;
          for (let column = 0; column < columns; column++, at += 3) sum += data[at];
        }
        result[out] = two ? (sum + 2) >> 2 : roundHalfEven(Math.fround(sum * scale));
      }
    }
  }
  return { height, width, data: result };
}

// Means of areas whose borders cut through pixels.
function byPartArea(picture, height, width) {
  const { data, width: stride } = picture;
  const across = areas(picture.width, width);
  const down = areas(picture.height, height);
  const result = new Uint8Array(height * width * 3);
  const line = new Float32Array(width * 3);
  const sums = new Float32Array(width * 3);
  let target = 0;
  const finish = () => {
    const start = target * width * 3;
    for (let at = 0; at < sums.length; at++) result[start + at] = roundHalfEven(sums[at]);
    sums.fill(0);
  };
  for (const { from: row, to, weight: share } of down) {
    line.fill(0);
    const start = row * stride * 3;
    for (const { from, to: column, weight } of across) {
      const source = start + from * 3;
      const at = column * 3;
      line[at] += Math.fround(data[source] * weight);
      line[at + 1] += Math.fround(data[source + 1] * weight);
      line[at + 2] += Math.fround(data[source + 2] * weight);
    }
    if (to !== target) {
      finish();
      target = to;
    }
    for (let at = 0; at < sums.length; at++) sums[at] += Math.fround(share * line[at]);
  }
  finish();
  return { height, width, data: result };
}

// Which pixels of a line make each pixel of a shorter one, and with what weights.
function areas(before, after) {
  const scale = before / after;
  const found = [];
  for (let to = 0; to < after; to++) {
    const begin = to * scale;
    const end = begin + scale;
    const cell = Math.min(scale, before - begin);
    const last = Math.min(Math.floor(end), before - 1);
    const first = Math.min(Math.ceil(begin), last);
    const add = (from, weight) => found.push({ from, to, weight: Math.fround(weight) });
    if (first - begin > 1e-3) add(first - 1, (first - begin) / cell);
    for (let from = first; from < last; from++) add(from, 1 / cell);
    if (end - last > 1e-3) add(last, Math.min(Math.min(end - last, 1), cell) / cell);
  }
  return found;
}

const UNIT = 2048; // of a bilinear weight

function bilinear(picture, height, width) {
  const { data, width: stride } = picture;
  const across = neighbours(picture.width, width);
  const down = neighbours(picture.height, height);
  const result = new Uint8Array(height * width * 3);
  const interpolated = (row) => {
    const line = new Int32Array(width * 3);
    across.forEach(({ first, second, weights }, x) => {
      for (let channel = 0; channel < 3; channel++) {
        line[x * 3 + channel] =
          data[(row * stride + first) * 3 + channel] * weights[0] +
          data[(row * stride + second) * 3 + channel] * weights[1];
      }
    });
    return line;
  };
  const lines = new Map(); // the two rows that are needed
  const line = (row) => {
    if (!lines.has(row)) lines.set(row, interpolated(row));
    return lines.get(row);
  };
  down.forEach(({ first, second, weights }, y) => {
    for (const row of lines.keys()) if (row !== first && row !== second) lines.delete(row);
    const [upper, lower] = [line(first), line(second)];
    for (let at = 0; at < upper.length; at++) {
      const sum =
        ((weights[0] * (upper[at] >> 4)) >> 16) + ((weights[1] * (lower[at] >> 4)) >> 16);
      result[y * width * 3 + at] = (sum + 2) >> 2;
    }
  });
  return { height, width, data: result };
}

// The two pixels of a line between which each pixel of another lies, and their weights.
function neighbours(before, after) {
  const scale = before / after;
  return Array.from({ length: after }, (_, to) => {
    const place = Math.fround((to + 0.5) * scale - 0.5);
    let first = Math.floor(place);
    let part = Math.fround(place - first);
    if (first < 0) [first, part] = [0, 0];
    if (first >= before - 1) [first, part] = [before - 1, 0];
    const weights = [Math.fround(1 - part), part].map((each) => roundHalfEven(each * UNIT));
    return { first, second: Math.min(first + 1, before - 1), weights };
  });
}

export function roundHalfEven(value) {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}
