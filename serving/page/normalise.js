// Bring a drawn digit into MNIST's form (LeCun et al. 1998, http://yann.lecun.com/exdb/mnist/): it
// is scaled to fit a 20×20 box with the same aspect ratio and grey edges, and its centre of mass is
// moved to the centre of a 28×28 image.

export const SIZE = 28;
const BOX = 20;
// In MNIST's images the centre of mass lies within pixel 14, counted from 0. So MNIST's images stay
// unchanged, except for a few that are smaller than the box.
const CENTRE = 14.5;

/**
 * Normalise a drawing.
 *
 * @param {ArrayLike<number>} ink - 0 (paper) to 255 (ink) of each pixel, row after row.
 * @param {number} width
 * @param {number} height
 * @returns {number[][] | null} 28 rows of 28 values 0 to 255; null without ink.
 */
export function normalise(ink, width, height) {
  const box = boundingBox(ink, width, height);
  if (!box) return null;
  const scale = BOX / Math.max(box.width, box.height);

  // Resample by area, first along the rows, then along the columns: all ink has the same weight.
  const narrow = new Float64Array(BOX * box.height);
  const across = shares(box.width, scale);
  for (let y = 0; y < box.height; y++) {
    const from = (box.top + y) * width + box.left;
    for (const [source, target, share] of across) {
      narrow[y * BOX + target] += share * ink[from + source];
    }
  }
  const digit = new Float64Array(BOX * BOX);
  for (const [source, target, share] of shares(box.height, scale)) {
    for (let x = 0; x < BOX; x++) digit[target * BOX + x] += share * narrow[source * BOX + x];
  }
  return centre(digit, Math.ceil(box.width * scale - 1e-9), Math.ceil(box.height * scale - 1e-9));
}

/** The bounding box of the ink, or null. */
function boundingBox(ink, width, height) {
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!ink[y * width + x]) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = y;
    }
  }
  return bottom < 0 ? null : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

/** Which share of a target pixel each source pixel covers: `[source, target, share]`. */
function shares(length, scale) {
  const covered = [];
  for (let source = 0; source < length; source++) {
    const [begin, end] = [source * scale, (source + 1) * scale];
    for (let target = Math.floor(begin); target < Math.min(end, BOX); target++) {
      const share = Math.min(end, target + 1) - Math.max(begin, target);
      if (share > 1e-9) covered.push([source, target, share]);
    }
  }
  return covered;
}

/** The 28×28 image with the digit's centre of mass in its middle. */
function centre(digit, width, height) {
  let [mass, x, y] = [0, 0, 0];
  digit.forEach((ink, pixel) => {
    mass += ink;
    x += ink * ((pixel % BOX) + 0.5);
    y += ink * (Math.floor(pixel / BOX) + 0.5);
  });
  // The whole digit must fit, even if its centre of mass lies far from its middle.
  const left = clamp(Math.round(CENTRE - x / mass), 0, SIZE - width);
  const top = clamp(Math.round(CENTRE - y / mass), 0, SIZE - height);
  const image = Array.from({ length: SIZE }, () => new Array(SIZE).fill(0));
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const ink = Math.round(digit[row * BOX + column]);
      image[top + row][left + column] = clamp(ink, 0, 255);
    }
  }
  return image;
}

function clamp(value, min, max) {
  return Math.max(min, Math.min(max, value));
}
