// Turning: the crown (a wheel to the page), arrow keys, a swipe; a long press, or r, for what is hidden.

const NOTCH = 60; // of a wheel, in pixels
const SWIPE = 36;
const REST_MS = 250; // one turn for each gesture, however long its wheel runs out
const PRESS_MS = 700;
const KEYS = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };

/** Call `turn(1)`, `turn(-1)`, `reveal()`, `leave()` for any other key, `dim()`. `wake()` comes first and is true where the touch was for waking. */
export function listen(target, { turn, reveal, leave, dim, wake, clock }) {
  let [wheel, quiet, from, press, slept] = [0, 0, null, 0, false];
  const end = () => {
    clearTimeout(press);
    from = null;
  };

  addEventListener("keydown", ({ key, altKey, ctrlKey, metaKey }) => {
    if (altKey || ctrlKey || metaKey || key === "Tab" || key === "Shift") return;
    if (key === "a") dim();
    else if (wake()) return;
    else if (key in KEYS) turn(KEYS[key]);
    else if (key === "r") reveal();
    else leave();
  });
  target.addEventListener("wheel", (event) => {
    const now = clock();
    if (now < quiet) return;
    const moved = Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.deltaY;
    wheel = Math.sign(moved) === Math.sign(wheel) ? wheel + moved : moved;
    if (Math.abs(wheel) < NOTCH) return;
    if (!wake()) turn(Math.sign(wheel));
    [wheel, quiet] = [0, now + REST_MS];
  }, { passive: true });
  target.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || (slept = wake()) || event.target.closest("button, nav")) return;
    from = [event.clientX, event.clientY];
    press = setTimeout(() => {
      end();
      reveal();
    }, PRESS_MS);
  });
  addEventListener("pointermove", (event) => {
    if (from && Math.hypot(event.clientX - from[0], event.clientY - from[1]) > SWIPE / 3) clearTimeout(press);
  });
  addEventListener("pointerup", (event) => {
    if (!from) return;
    const [x, y] = [event.clientX - from[0], event.clientY - from[1]];
    const far = Math.abs(x) > Math.abs(y) ? x : y;
    end();
    if (Math.abs(far) >= SWIPE) turn(far < 0 ? 1 : -1);
  });
  addEventListener("pointercancel", end);
  target.addEventListener("click", (event) => slept && event.detail && (event.preventDefault(), event.stopPropagation()), true);
}
