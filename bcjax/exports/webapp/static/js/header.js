// The size that a picture's header says, so that a huge one is refused before it takes memory.

const JPEG_SIZES = new Set([
  0xc0, 0xc1, 0xc2, 0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf,
]);

// Returns {width, height}, or null where the format is another one.
export function pixelsInHeader(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const letters = (start, end) => String.fromCharCode(...bytes.subarray(start, end));
  try {
    if (letters(1, 4) === "PNG") return { width: view.getUint32(16), height: view.getUint32(20) };
    if (letters(0, 3) === "GIF") {
      return { width: view.getUint16(6, true), height: view.getUint16(8, true) };
    }
    if (letters(0, 2) === "BM") {
      return { width: view.getInt32(18, true), height: Math.abs(view.getInt32(22, true)) };
    }
    if (letters(0, 4) === "RIFF" && letters(8, 12) === "WEBP") return webp(view, letters(12, 16));
    if (bytes[0] === 0xff && bytes[1] === 0xd8) return jpeg(view);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the header is cut short
  }
  return null;
}

function webp(view, kind) {
  if (kind === "VP8X") {
    const three = (at) => view.getUint16(at, true) + (view.getUint8(at + 2) << 16) + 1;
    return { width: three(24), height: three(27) };
  }
  if (kind === "VP8 ") {
    return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
  }
  const bits = view.getUint32(21, true);
  return { width: (bits & 0x3fff) + 1, height: ((bits >> 14) & 0x3fff) + 1 };
}

function jpeg(view) {
  for (let at = 2; ; ) {
    const marker = view.getUint8(at + 1);
    if (view.getUint8(at) !== 0xff) return null;
    if (JPEG_SIZES.has(marker)) {
      return { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
    }
    at += marker === 0xff ? 1 : 2 + view.getUint16(at + 2);
  }
}
