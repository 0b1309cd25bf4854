// The developer page of a Commonwatt server: GraphiQL with documentation, history, explorer and examples.
import "./workers.js"; // first: Monaco reads MonacoEnvironment when it starts

import { explorerPlugin } from "@graphiql/plugin-explorer";
import { HISTORY_PLUGIN } from "@graphiql/plugin-history";
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { GraphiQL } from "graphiql";
// Imported here although GraphiQL loads it when needed: only so do its styles land in the page's own sheet.
import "monaco-graphql/esm/monaco-editor.js";
import { useEffect } from "react";
import { createRoot } from "react-dom/client";

import "@graphiql/react/style.css";
import "@graphiql/plugin-doc-explorer/style.css";
import "@graphiql/plugin-history/style.css";
import "@graphiql/plugin-explorer/style.css";
import "graphiql/graphiql.css";
import "./page.css";

import { examples } from "./examples.js";
import { fetcher } from "./fetcher.js";
import { storage } from "./storage.js";
import { adoptToken } from "./token.js";

const plugins = [HISTORY_PLUGIN, explorerPlugin({ showAttribution: false })];

/** Name the page, and keep the editors' colours with the system's: GraphiQL asks for them only once. */
function Brand() {
  const theme = useGraphiQL((state) => state.theme);
  const { setTheme } = useGraphiQLActions();
  useEffect(() => {
    if (theme !== null) return undefined; // chosen by hand in the settings
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const follow = () => setTheme(null);
    dark.addEventListener("change", follow);
    return () => dark.removeEventListener("change", follow);
  }, [theme, setTheme]);
  return <span className="brand">Commonwatt</span>;
}

adoptToken();
// A token pasted into an open page: start again, so that sockets and schema are the new viewer's.
addEventListener("hashchange", () => adoptToken() && location.reload());

createRoot(document.getElementById("page")).render(
  <GraphiQL
    fetcher={fetcher}
    plugins={plugins}
    defaultTabs={examples}
    storage={storage}
    shouldPersistHeaders={false}
  >
    <GraphiQL.Logo>
      <Brand />
    </GraphiQL.Logo>
  </GraphiQL>,
);
