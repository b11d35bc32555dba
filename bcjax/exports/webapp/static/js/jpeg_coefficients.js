// Reads the coefficients of a JPEG: its markers, and the Huffman codes of one scan or of many
// (ITU-T T.81). Baseline, extended and progressive JPEGs of 8 bits are read, grey or of three colours.

export class JpegError extends Error {}

// prettier-ignore
const ZIGZAG = new Uint8Array([
  0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,
  6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45,
  38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
]);
const EXIF = "Exif\0\0";
const ORIENTATION = 0x0112;

// Returns {width, height, h, v, components, isRgb, orientation}; null for a kind that is not read.
export function readCoefficients(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const state = { quantisation: [], dc: [], ac: [], restart: 0, adobe: null, orientation: 1 };
  let frame = null;
  let ended = false;
  let at = 2;
  while (!ended) {
    while (view.getUint8(at) !== 0xff) at++; // what is left of a scan
    while (view.getUint8(at) === 0xff) at++;
    const marker = view.getUint8(at++);
    if (marker === 0xd9) ended = true;
    if (marker === 0 || marker === 1 || (marker >= 0xd0 && marker <= 0xd9)) continue;
    const end = at + view.getUint16(at);
    const body = new DataView(bytes.buffer, bytes.byteOffset + at + 2, end - at - 2);
    at = end;
    if (marker === 0xdb) readQuantisation(body, state);
    else if (marker === 0xc4) readHuffman(body, state);
    else if (marker === 0xdd) state.restart = body.getUint16(0);
    else if (marker === 0xe1) readExif(body, state);
    else if (marker === 0xee && letters(body, 5) === "Adobe") state.adobe = body.getUint8(11);
    else if (marker === 0xc0 || marker === 0xc1 || marker === 0xc2) {
      frame = readFrame(body, marker === 0xc2);
      if (!frame) return null;
    } else if (marker >= 0xc3 && marker <= 0xcf && marker !== 0xc8) return null;
    else if (marker === 0xda) {
      if (!frame) throw new JpegError("a scan without a frame");
      at = new Scan(frame, state, body, bytes, at).read();
    }
  }
  if (!frame) throw new JpegError("no frame");
  frame.orientation = state.orientation;
  frame.isRgb = isRgb(frame, state.adobe);
  return frame;
}

function letters(body, count) {
  if (body.byteLength < count) return "";
  return String.fromCharCode(...new Uint8Array(body.buffer, body.byteOffset, count));
}

function isRgb({ components }, adobe) {
  if (adobe !== null) return adobe === 0;
  return components.map(({ id }) => String.fromCharCode(id)).join("") === "RGB";
}

function readExif(body, state) {
  if (letters(body, 6) !== EXIF || body.byteLength < 14) return;
  const tiff = new DataView(body.buffer, body.byteOffset + 6, body.byteLength - 6);
  const little = tiff.getUint16(0) === 0x4949;
  try {
    const start = tiff.getUint32(4, little);
    for (let entry = 0; entry < tiff.getUint16(start, little); entry++) {
      const at = start + 2 + entry * 12;
      if (tiff.getUint16(at, little) === ORIENTATION) {
        state.orientation = tiff.getUint16(at + 8, little);
      }
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // damaged notes do not spoil the picture
  }
}

function readQuantisation(body, state) {
  for (let at = 0; at < body.byteLength; ) {
    const kind = body.getUint8(at++);
    const table = new Uint16Array(64);
    for (let k = 0; k < 64; k++) {
      table[ZIGZAG[k]] = kind >> 4 ? body.getUint16(at) : body.getUint8(at);
      at += kind >> 4 ? 2 : 1;
    }
    state.quantisation[kind & 15] = table;
  }
}

function readHuffman(body, state) {
  for (let at = 0; at < body.byteLength; ) {
    const kind = body.getUint8(at);
    const counts = new Uint8Array(body.buffer, body.byteOffset + at + 1, 16);
    const total = counts.reduce((sum, each) => sum + each, 0);
    const symbols = new Uint8Array(body.buffer, body.byteOffset + at + 17, total);
    (kind >> 4 ? state.ac : state.dc)[kind & 15] = huffmanTable(counts, symbols);
    at += 17 + total;
  }
}

// For each 16 bits that may follow: the length of the code times 256, and its symbol; 0: none.
function huffmanTable(counts, symbols) {
  const table = new Uint16Array(1 << 16);
  let code = 0;
  let position = 0;
  for (let length = 1; length <= 16; length++) {
    for (let each = 0; each < counts[length - 1]; each++, code++, position++) {
      const first = code << (16 - length);
      table.fill((length << 8) | symbols[position], first, first + (1 << (16 - length)));
    }
    code <<= 1;
  }
  return table;
}

function readFrame(body, progressive) {
  const [bits, height, width] = [body.getUint8(0), body.getUint16(1), body.getUint16(3)];
  const count = body.getUint8(5);
  if (bits !== 8 || (count !== 1 && count !== 3) || !height || !width) return null;
  const components = Array.from({ length: count }, (_, index) => {
    const at = 6 + 3 * index;
    const factors = body.getUint8(at + 1);
    const [h, v] = count === 1 ? [1, 1] : [factors >> 4, factors & 15];
    return { id: body.getUint8(at), h, v, table: body.getUint8(at + 2) };
  });
  const h = Math.max(...components.map((each) => each.h));
  const v = Math.max(...components.map((each) => each.v));
  const frame = { width, height, h, v, components, progressive };
  frame.unitsAcross = Math.ceil(width / (8 * h));
  frame.unitsDown = Math.ceil(height / (8 * v));
  for (const each of components) {
    if (!each.h || !each.v) throw new JpegError("a component without samples");
    each.blocksAcross = frame.unitsAcross * each.h;
    each.blocksDown = frame.unitsDown * each.v;
    // Of a scan of this component alone: without the blocks that only fill up the last unit.
    each.ownAcross = Math.ceil(Math.ceil((width * each.h) / h) / 8);
    each.ownDown = Math.ceil(Math.ceil((height * each.v) / v) / 8);
    each.coefficients = new Int16Array(each.blocksAcross * each.blocksDown * 64);
  }
  return frame;
}

class Scan {
  constructor(frame, state, body, bytes, at) {
    Object.assign(this, { frame, bytes, at, restart: state.restart });
    this.bits = 0;
    this.held = 0; // bits that are read and not used
    this.invented = 0; // bits of them that are not in the file, beyond the next marker
    this.run = 0; // blocks that follow without coefficients
    const count = body.getUint8(0);
    this.components = Array.from({ length: count }, (_, index) => {
      const [id, tables] = [body.getUint8(1 + 2 * index), body.getUint8(2 + 2 * index)];
      const component = frame.components.find((each) => each.id === id);
      if (!component) throw new JpegError("a scan of no component");
      component.quantisation ??= state.quantisation[component.table];
      if (!component.quantisation) throw new JpegError("no quantisation");
      return { component, dc: state.dc[tables >> 4], ac: state.ac[tables & 15], before: 0 };
    });
    [this.from, this.to] = [body.getUint8(1 + 2 * count), body.getUint8(2 + 2 * count)];
    this.high = body.getUint8(3 + 2 * count) >> 4;
    this.low = body.getUint8(3 + 2 * count) & 15;
    this.block = this.#kind();
  }

  #kind() {
    if (!this.frame.progressive) return this.#whole;
    if (this.from === 0) return this.high ? this.#dcAgain : this.#dcFirst;
    return this.high ? this.#acAgain : this.#acFirst;
  }

  // Reads the blocks of the scan; returns where the next marker is sought.
  read() {
    const alone = this.components.length === 1 ? this.components[0] : null;
    const { unitsAcross, unitsDown } = this.frame;
    const units = alone
      ? alone.component.ownAcross * alone.component.ownDown
      : unitsAcross * unitsDown;
    for (let unit = 0; unit < units; unit++) {
      if (this.restart && unit && unit % this.restart === 0) this.#begin();
      if (alone) {
        const { ownAcross } = alone.component;
        this.#decode(alone, Math.floor(unit / ownAcross), unit % ownAcross);
      } else {
        this.#unit(Math.floor(unit / unitsAcross), unit % unitsAcross);
      }
    }
    return this.at;
  }

  #unit(row, column) {
    for (const each of this.components) {
      const { h, v } = each.component;
      for (let y = 0; y < v; y++) {
        for (let x = 0; x < h; x++) this.#decode(each, row * v + y, column * h + x);
      }
    }
  }

  #decode(each, row, column) {
    const { coefficients, blocksAcross } = each.component;
    this.block(each, coefficients, (row * blocksAcross + column) * 64);
    if (this.held < this.invented) throw new JpegError("cut short");
  }

  // After a restart marker, nothing is known of the blocks before.
  #begin() {
    this.bits = this.held = this.run = this.invented = 0;
    for (const each of this.components) each.before = 0;
    while (this.bytes[this.at] === 0xff && this.bytes[this.at + 1] === 0xff) this.at++;
    const marker = this.bytes[this.at + 1];
    if (this.bytes[this.at] !== 0xff || marker < 0xd0 || marker > 0xd7) {
      throw new JpegError("no restart marker where one must be");
    }
    this.at += 2;
  }

  // Holds at least 17 bits; before the next marker, zeros that nobody uses but a damaged file.
  #fill() {
    while (this.held <= 16) {
      let byte = this.bytes[this.at];
      if (byte === undefined) throw new JpegError("cut short");
      if (byte === 0xff && this.bytes[this.at + 1] !== 0) {
        byte = 0;
        this.invented += 8;
      } else {
        this.at += byte === 0xff ? 2 : 1;
      }
      this.bits = ((this.bits << 8) | byte) & 0xffffff;
      this.held += 8;
    }
  }

  #take(count) {
    if (!count) return 0;
    this.#fill();
    this.held -= count;
    return (this.bits >> this.held) & ((1 << count) - 1);
  }

  #symbol(table) {
    this.#fill();
    const found = table[(this.bits >> (this.held - 16)) & 0xffff];
    if (!found) throw new JpegError("no such code");
    this.held -= found >> 8;
    return found & 255;
  }

  #number(count) {
    const value = this.#take(count);
    return count && value < 1 << (count - 1) ? value - (1 << count) + 1 : value;
  }

  #whole(each, coefficients, start) {
    each.before += this.#number(this.#symbol(each.dc));
    coefficients[start] = each.before;
    for (let k = 1; k < 64; k++) {
      const symbol = this.#symbol(each.ac);
      const count = symbol & 15;
      if (!count && symbol !== 0xf0) return;
      k += symbol >> 4;
      if (k > 63) throw new JpegError("too many coefficients");
      if (count) coefficients[start + ZIGZAG[k]] = this.#number(count);
    }
  }

  #dcFirst(each, coefficients, start) {
    each.before += this.#number(this.#symbol(each.dc));
    coefficients[start] = each.before * (1 << this.low);
  }

  #dcAgain(each, coefficients, start) {
    if (this.#take(1)) coefficients[start] |= 1 << this.low;
  }

  #acFirst(each, coefficients, start) {
    if (this.run) {
      this.run--;
      return;
    }
    for (let k = this.from; k <= this.to; k++) {
      const symbol = this.#symbol(each.ac);
      const [skipped, count] = [symbol >> 4, symbol & 15];
      if (!count && skipped < 15) {
        this.run = (1 << skipped) + this.#take(skipped) - 1;
        return;
      }
      k += skipped;
      if (k > 63) throw new JpegError("too many coefficients");
      if (count) coefficients[start + ZIGZAG[k]] = this.#number(count) * (1 << this.low);
    }
  }

  #acAgain(each, coefficients, start) {
    let k = this.from;
    while (k <= this.to && !this.run) {
      const symbol = this.#symbol(each.ac);
      let skipped = symbol >> 4;
      let value = 0;
      if (symbol & 15) value = this.#take(1) ? 1 << this.low : -(1 << this.low);
      else if (skipped < 15) {
        this.run = (1 << skipped) + this.#take(skipped);
        break;
      }
      for (; k <= this.to; k++) {
        const at = start + ZIGZAG[k];
        if (coefficients[at]) this.#correct(coefficients, at);
        else if (skipped-- === 0) {
          coefficients[at] = value;
          break;
        }
      }
      k++;
    }
    if (!this.run) return;
    for (; k <= this.to; k++) {
      const at = start + ZIGZAG[k];
      if (coefficients[at]) this.#correct(coefficients, at);
    }
    this.run--;
  }

  #correct(coefficients, at) {
    const bit = 1 << this.low;
    if (this.#take(1) && !(Math.abs(coefficients[at]) & bit)) {
      coefficients[at] += coefficients[at] < 0 ? -bit : bit;
    }
  }
}
