// The light's shape, as large as the face: a disc, a diamond, an octagon. Eight curves each, so that one can become
// another. Pure: figures in, a path out.

// Of the points on the axes, then of those between: the distance from the middle, the length of the handles.
const SHAPES = {
  GREEN: [186, 49.3, 186, 49.3],
  YELLOW: [189, 20, 147, 104],
  RED: [179, 74, 179, 74],
  UNKNOWN: [186, 49.3, 186, 49.3],
};

/** Return the path of a light's shape around (x, y); `size` 1 fills a face of 400. */
export function outline(light, x = 200, y = 200, size = 1) {
  const [near, nearHandle, far, farHandle] = SHAPES[light];
  const point = (i) => {
    const angle = (i * Math.PI) / 4;
    const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
    const [distance, handle] = i % 2 ? [far, farHandle] : [near, nearHandle];
    const at = (turn) => `${round(x + size * (distance * sin + turn * handle * cos))} ${round(y - size * (distance * cos - turn * handle * sin))}`;
    return { before: at(-1), on: at(0), after: at(1) };
  };
  let path = `M${point(0).on}`;
  for (let i = 0; i < 8; i += 1) path += `C${point(i).after} ${point(i + 1).before} ${point(i + 1).on}`;
  return `${path}Z`;
}

/** Return how wide the shape of a light is at `y`, less what its line and a margin take. */
export function width(light, y) {
  const off = Math.abs(y - 200);
  if (light === "YELLOW") return Math.max(0, 2 * (188 - off));
  return 2 * Math.sqrt(Math.max(0, 175 ** 2 - off ** 2));
}

function round(value) {
  return Math.round(value * 10) / 10;
}
