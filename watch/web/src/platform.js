// What the platform says of the device: the display, the network, the battery. Told to the machine as events.

const IDLE_MS = 20_000;
const WRIST = "(max-width: 500px) and (pointer: coarse)"; // a display that dims when nobody touches it

/** Tell `show`, `network` and `battery` as they change; return what a touch wakes, and what toggles ambient by hand. */
export function observe(tell, { forced }) {
  let ambient = forced();
  let idle = 0;
  const shown = () => (document.hidden ? "background" : ambient ? "ambient" : "foreground");
  let before = shown();
  const show = () => {
    if (shown() !== before) tell({ type: "show", as: (before = shown()) });
  };
  const rest = () => {
    clearTimeout(idle);
    if (matchMedia(WRIST).matches) idle = setTimeout(() => { ambient = true; show(); }, IDLE_MS);
  };
  /** Return whether somebody was asleep: then the touch is for waking alone. */
  const wake = () => {
    const slept = ambient;
    ambient = false;
    rest();
    show();
    return slept;
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) ambient = forced();
    show();
    rest();
  });
  addEventListener("online", () => tell({ type: "network", up: true }));
  addEventListener("offline", () => tell({ type: "network", up: false }));
  navigator.getBattery?.().then((battery) => {
    const say = () => tell({ type: "battery", level: battery.level, charging: battery.charging });
    battery.addEventListener("levelchange", say);
    battery.addEventListener("chargingchange", say);
    say();
  }).catch(() => {});
  rest();
  return { shown, wake, toggle: () => { ambient = !ambient; show(); }, dim: () => { ambient = forced(); show(); } };
}
