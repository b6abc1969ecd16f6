// Encode picture files as PNG or JPEG, which the server reads.

import { orientationOf, transforms } from "./orientation.js";

// Larger pictures, in pixels or bytes, are reduced here.
const MAX_PIXELS = 2 ** 24;
const MAX_BYTES = 2 ** 24;
const REDUCED_PIXELS = 2 ** 22;

/**
 * A picture file in base64. A PNG or JPEG that is not too large stays unchanged. Other files become
 * a PNG of the first frame, upright, with transparency.
 *
 * @param {Blob} file
 * @returns {Promise<string>}
 * @throws {Error} If the file cannot be read; the message says why.
 */
export async function encode(file) {
  if (!file.size) throw new Error("The file is empty.");
  const start = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  const isPng = "89504e47" === hex(start);
  const isJpeg = hex(start).startsWith("ffd8ff");
  const bitmap = await createImageBitmap(file).catch(() => null);
  // The server may read a PNG or JPEG that this browser cannot read, or else says why.
  if (!bitmap && !isPng && !isJpeg) {
    throw new Error("This browser cannot read the file; choose a PNG, JPEG or WebP picture.");
  }
  const pixels = bitmap ? bitmap.width * bitmap.height : 0;
  const isUnchanged = (isPng || isJpeg) && pixels <= MAX_PIXELS && file.size <= MAX_BYTES;
  const sent = isUnchanged || !bitmap ? file : await asPng(bitmap, await orientationOf(file));
  bitmap?.close();
  return inBase64(sent);
}

function asPng(bitmap, orientation) {
  const scale = Math.min(1, Math.sqrt(REDUCED_PIXELS / (bitmap.width * bitmap.height)));
  const width = Math.max(1, Math.floor(scale * bitmap.width));
  const height = Math.max(1, Math.floor(scale * bitmap.height));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = orientation > 4 ? [height, width] : [width, height];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.setTransform(...transforms(width, height)[orientation - 1]);
  context.drawImage(bitmap, 0, 0, width, height);
  return new Promise((resolve, reject) => {
    const done = (blob) => (blob ? resolve(blob) : reject(new Error("The picture is too large.")));
    canvas.toBlob(done, "image/png");
  });
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function inBase64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error("The file cannot be read."));
    reader.readAsDataURL(blob);
  });
}
