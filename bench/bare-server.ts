/** The peer of an idle agent: a Node process that listens for HTTPS and does nothing else. Written as plain JavaScript. */
export const bareServer = `
import { createServer } from 'node:https';
import { readFileSync } from 'node:fs';
const [cert, key] = process.argv.slice(2).map((file) => readFileSync(file));
createServer({ cert, key }, (request, response) => response.end('ok')).listen(0, '127.0.0.1');
`;
