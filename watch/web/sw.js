const CACHE = "commonwatt-watch-d62e4ce9740e";
const FILES = ["./", "watch.css", "watch.js", "manifest.webmanifest", "icon.svg"];

addEventListener("install", (event) => {
  const cache = registration.active ? "reload" : "force-cache";
  const files = FILES.map((name) => new Request(name, { cache }));
  event.waitUntil(caches.open(CACHE).then((kept) => kept.addAll(files)).then(() => skipWaiting()));
});

addEventListener("activate", (event) => {
  const isOld = (name) => name.startsWith("commonwatt-watch-") && name !== CACHE;
  const clear = async () => Promise.all((await caches.keys()).filter(isOld).map((name) => caches.delete(name)));
  event.waitUntil(clear().then(() => clients.claim()));
});

addEventListener("fetch", (event) => {
  const { method, url, mode } = event.request;
  const at = new URL(url);
  const name = mode === "navigate" ? "./" : `.${at.pathname.slice(at.pathname.lastIndexOf("/"))}`;
  const inShell = at.origin === location.origin && at.pathname.startsWith(new URL("./", location).pathname);
  if (method !== "GET" || !inShell || !FILES.some((file) => `./${file}` === name || file === name)) return;
  event.respondWith(caches.open(CACHE).then((cache) => cache.match(name)).then((kept) => kept ?? fetch(event.request)));
});
