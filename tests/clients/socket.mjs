// The graphql-ws client as all users of a WebSocket here set it up; `params` is what goes into connection_init.
import { createClient } from "graphql-ws";
import WebSocket from "ws";

globalThis.WebSocket ??= WebSocket; // browsers and Node from version 22 on have one

export const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export const socket = ({ url, quick, byDefault, keepAlive }, params, on = {}) =>
  createClient({
    url: url.replace("http", "ws"),
    connectionParams: () => params,
    ...(keepAlive && { keepAlive }),
    ...(!byDefault && { shouldRetry }),
    ...(quick && { retryAttempts: byDefault ? 5 : 200, retryWait: () => after(50) }),
    on,
  });

// By default a refused connection is final, and a refused token is not. What is thrown here would repeat for ever.
const shouldRetry = (problem) => !(problem instanceof Error) && problem.code !== 4403;
