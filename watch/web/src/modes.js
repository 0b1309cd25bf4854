// How often, and how finely, a device asks: the table of docs/watch.md. Pure. Times in ms, durations in ISO 8601.

const GLANCE = { homeStep: 50, communityStep: 500 };
const COARSE = { homeStep: 200, communityStep: 2000 };
const PACES = {
  glance: [{ every: "PT1S", maxSilence: "PT1M", silence: 81_000 }, { every: "PT10S", maxSilence: "PT5M", silence: 330_000 }],
  today: [{ every: "PT1M", maxSilence: "PT5M", silence: 380_000 }, { every: "PT5M", maxSilence: "PT15M", silence: 1_220_000 }],
  hours: [{ silence: 20_000, cadence: 3_600_000 }, { silence: 20_000, cadence: 10_800_000 }],
  ambient: [
    { every: "PT5M", maxSilence: "PT10M", silence: 920_000, cadence: 300_000 },
    { every: "PT15M", maxSilence: "PT30M", silence: 2_720_000, cadence: 900_000 },
  ],
  background: [{ cadence: 1_200_000 }, { cadence: 3_600_000 }],
};
const LOWEST = 0.2;
const ENOUGH = 0.25;

/**
 * Return {screen, document, variables, how, once, silence, cadence}: what a device in a mode asks for and in which way;
 * null for nothing. `once`: a query, whose answer is all until `cadence` has passed.
 */
export function asked({ mode, low, target, before, way }) {
  if (!target || !["foreground", "ambient", "background"].includes(mode)) return null;
  const screen = mode === "foreground" ? before : "glance";
  const { every, maxSilence, silence, cadence } = PACES[mode === "foreground" ? screen : mode][low ? 1 : 0];
  const once = screen === "hours";
  const how = mode === "background" || (way === "stream" && (once || mode === "ambient")) ? "get" : way;
  const steps = once ? {} : screen === "today" ? { energyStep: 100 } : mode === "foreground" ? { ...GLANCE } : { ...COARSE };
  if (target.kind === "community") delete steps.homeStep;
  const variables = { [target.kind]: target.id, ...steps, ...(once || how === "get" ? {} : { every, maxSilence }) };
  const name = (word) => word[0].toUpperCase() + word.slice(1);
  const document = name(target.kind) + name(screen) + (how === "get" && !once ? "Now" : "");
  return { screen, document, variables, how, once, silence, cadence };
}

/** Return for how long after hearing them figures, or a forecast, are recent, in ms; not at all in modes that ask for nothing. */
export function recency({ mode, low }, forecast) {
  if (mode === "ambient") return PACES.ambient[low ? 1 : 0].silence;
  if (mode === "background") return 1.2 * PACES.background[low ? 1 : 0].cadence;
  if (mode !== "foreground") return -1;
  return forecast ? 1.2 * PACES.hours[low ? 1 : 0].cadence : 10_000;
}

/** Return the least time between two messages in ambient, which bounds how often a server that is away is tried there. */
export function slowest(low) {
  return PACES.ambient[low ? 1 : 0].cadence;
}

/** Say whether a battery is low, which was or was not before. */
export function isLow(before, level, charging) {
  if (charging || level === null) return false;
  return level <= LOWEST || (before && level < ENOUGH);
}
