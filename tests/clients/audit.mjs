// Audits the server at the URL given and prints one JSON object per audit.
import { serverAudits } from "graphql-http";

const url = process.argv[2];
for (const { id, name, fn } of serverAudits({ url })) {
  const { status, reason } = await fn();
  console.log(JSON.stringify({ id, name, status, reason: reason ?? null }));
}
