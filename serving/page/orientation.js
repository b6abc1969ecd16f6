// The EXIF orientation of a WebP picture. Browsers apply it to JPEG, PNG and AVIF; Chrome does not
// apply it to WebP.

// A black WebP of 2×1 pixels whose orientation is a quarter turn.
const PROBE = "UklGRk4AAABXRUJQVlA4WAoAAAAIAAAAAQAAAAAAVlA4TA4AAAAvAQAAAAcQEf0PRET/A0VYSUYa" +
  "AAAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAA=";
const ORIENTATION = 0x112; // The tag in EXIF data.

/** The canvas transform of each orientation, 1 to 8, for an image of `width` by `height`. */
export const transforms = (width, height) => [
  [1, 0, 0, 1, 0, 0],
  [-1, 0, 0, 1, width, 0],
  [-1, 0, 0, -1, width, height],
  [1, 0, 0, -1, 0, height],
  [0, 1, 1, 0, 0, 0],
  [0, 1, -1, 0, height, 0],
  [0, -1, -1, 0, height, width],
  [0, -1, 1, 0, 0, width],
];

/** The orientation, 1 to 8, that this browser does not apply to a file itself; 1 without one. */
export async function orientationOf(file) {
  const data = new DataView(await file.arrayBuffer());
  try {
    const exif = exifOfWebp(data);
    return exif && !(await turnsWebp()) ? orientationIn(exif) : 1;
  } catch (error) {
    if (error instanceof RangeError) return 1; // The EXIF data are damaged.
    throw error;
  }
}

function exifOfWebp(data) {
  const text = (at) => String.fromCharCode(...[0, 1, 2, 3].map((i) => data.getUint8(at + i)));
  if (data.byteLength < 12 || text(0) !== "RIFF" || text(8) !== "WEBP") return null;
  for (let at = 12; at + 8 <= data.byteLength; ) {
    const size = data.getUint32(at + 4, true);
    if (text(at) === "EXIF") return new DataView(data.buffer, at + 8, size);
    at += 8 + size + (size % 2);
  }
  return null;
}

function orientationIn(exif) {
  const isLittle = exif.getUint16(0) === 0x4949;
  const directory = exif.getUint32(4, isLittle);
  for (let entry = 0; entry < exif.getUint16(directory, isLittle); entry++) {
    const at = directory + 2 + 12 * entry;
    if (exif.getUint16(at, isLittle) !== ORIENTATION) continue;
    const value = exif.getUint16(at + 8, isLittle);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

async function turnsWebp() {
  const bytes = Uint8Array.from(atob(PROBE), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes]));
  return bitmap.height === 2;
}
