// Monaco's workers come from our own origin as files: a strict `worker-src 'self'` allows no blob or data URL.

/* global WORKERS -- file names by label, put in by bundle.mjs */
globalThis.MonacoEnvironment = {
  getWorker: (_id, label) => new Worker(WORKERS[label] ?? WORKERS.editor, { name: label }),
};
