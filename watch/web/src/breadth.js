// How wide the platform's font is: measured once, since a face that is drawn without measuring must know it.

/** Return the width of the digits of an element's font, bold, as a multiple of 0.6 of its size. */
export function breadthOf(element) {
  const pen = element.ownerDocument.createElement("canvas").getContext("2d");
  pen.font = `600 100px ${getComputedStyle(element).fontFamily}`;
  return Math.max(0.9, pen.measureText("0123456789").width / 600);
}
