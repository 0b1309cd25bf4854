// The graphql-ws client as all users of a WebSocket here set it up; `params` is what goes into connection_init.
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { after } from "./driver.mjs";

globalThis.WebSocket ??= WebSocket; // browsers and Node from version 22 on have one

export const socket = ({ url, quick }, params, on = {}) =>
  createClient({
    url: url.replace("http", "ws"),
    connectionParams: () => params,
    shouldRetry: () => true, // without it a refused connection is final
    ...(quick && { retryAttempts: 200, retryWait: () => after(50) }),
    on,
  });
