// Bundle the page into one flat folder of hashed files: `node bundle.mjs OUTDIR`, called by build.py.
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const PUBLIC = "/static/graphiql/"; // where the server mounts the folder

if (!process.argv[2]) {
  console.error("usage: node bundle.mjs OUTDIR");
  process.exit(2);
}
const out = path.resolve(process.argv[2]);
process.chdir(path.dirname(fileURLToPath(import.meta.url))); // esbuild names inputs and outputs from here

const shared = {
  bundle: true,
  minify: true,
  outdir: out,
  publicPath: PUBLIC,
  target: ["chrome111", "firefox115", "safari16.4"],
  charset: "utf8",
  entryNames: "[name]-[hash]",
  chunkNames: "chunk-[hash]",
  assetNames: "[name]-[hash]",
  // Said outright, so that esbuild takes ES modules even where a package is also required: one copy of graphql.
  mainFields: ["browser", "module", "main"],
  define: { "process.env.NODE_ENV": '"production"' },
  legalComments: "none", // licenses.txt has them whole
  logLevel: "warning",
  metafile: true,
};

/** The served address of each entry point, by its name. */
function addresses({ outputs }) {
  const entries = Object.entries(outputs).filter(([, output]) => output.entryPoint);
  return Object.fromEntries(
    entries.flatMap(([file, { cssBundle }]) =>
      [file, cssBundle].filter(Boolean).map((name) => {
        const hashed = path.basename(name);
        return [hashed.replace(/-[A-Z0-9]{8}(?=\.)/, ""), PUBLIC + hashed];
      }),
    ),
  );
}

const workers = await build({
  ...shared,
  entryPoints: {
    "editor-worker": "monaco-editor/esm/vs/editor/editor.worker.js",
    "graphql-worker": "monaco-graphql/esm/graphql.worker.js",
    "json-worker": "monaco-editor/esm/vs/language/json/json.worker.js",
  },
  format: "iife",
});
const worker = addresses(workers.metafile);

const page = await build({
  ...shared,
  entryPoints: { page: "src/page.jsx", icon: "src/icon.svg" },
  format: "esm",
  splitting: true,
  jsx: "automatic",
  // GraphiQL asks for Prettier's parsers by their old names, which lead to UMD files that it then finds empty.
  alias: { "prettier/parser-babel": "prettier/plugins/babel", "prettier/parser-graphql": "prettier/plugins/graphql" },
  loader: { ".graphql": "text", ".svg": "copy", ".ttf": "file" },
  define: {
    ...shared.define,
    WORKERS: JSON.stringify({
      editor: worker["editor-worker.js"],
      graphql: worker["graphql-worker.js"],
      json: worker["json-worker.js"],
    }),
  },
});
const file = addresses(page.metafile);

// The page /community is served as it is, so it names the library that draws its charts without a hash.
const charts = await build({
  ...shared,
  entryPoints: { uplot: "src/uplot.js" },
  entryNames: "[name]",
  format: "esm",
});

// esbuild writes a sheet for each lazy chunk too, and loads none of them: the page's own sheet must hold all styles.
const sheets = Object.entries(page.metafile.outputs).filter(([name]) => name.endsWith(".css"));
const [, whole] = sheets.find(([name]) => PUBLIC + path.basename(name) === file["page.css"]);
for (const [name, { inputs }] of sheets) {
  const missing = Object.keys(inputs).find((input) => !(input in whole.inputs));
  if (missing) throw new Error(`${missing} is loaded lazily and its styles never: import it in src/page.jsx`);
  if (PUBLIC + path.basename(name) !== file["page.css"]) await rm(name);
}

const template = await readFile("src/index.html", "utf8");
await writeFile(
  path.join(out, "index.html"),
  template
    .replace("{icon}", file["icon.svg"])
    .replace("{style}", file["page.css"])
    .replace("{script}", file["page.js"]),
);

// What is minified has lost its notices, and their licences ask that they go with every copy.
const bundled = [workers, page, charts].flatMap(({ metafile }) => Object.keys(metafile.inputs));
const folders = new Set(bundled.map((name) => name.match(/^.*node_modules\/(@[^/]+\/)?[^/]+/)?.[0]).filter(Boolean));
const notices = [];
for (const folder of [...folders].sort()) {
  const { name, version, license } = JSON.parse(await readFile(path.join(folder, "package.json"), "utf8"));
  const names = (await readdir(folder)).filter((entry) => /^(licen[cs]e|notice|thirdpartynotices)/i.test(entry));
  const texts = await Promise.all(names.sort().map((entry) => readFile(path.join(folder, entry), "utf8")));
  notices.push([`${name} ${version} (${license})`, ...texts.map((text) => text.trim())].join("\n\n"));
}
await writeFile(path.join(out, "licenses.txt"), `${notices.join(`\n\n${"-".repeat(72)}\n\n`)}\n`);
