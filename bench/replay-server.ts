/** A process that answers a recording over HTTPS. Forked by the benchmarks, so that its cost is not the asker's. */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { keyOfPath } from './replay.ts';
import type { RecordedAnswer } from './replay.ts';

/** What the parent sends first; the port is the answer. */
export interface ReplayOrder {
  readonly cert: string;
  readonly key: string;
  readonly answers: readonly (readonly [path: string, answer: RecordedAnswer])[];
}

process.once('message', (message) => {
  const { cert, key, answers } = message as ReplayOrder;
  const byTarget = new Map(answers.map(([path, answer]) => [`/api2/json${path}`, answer]));
  const server = createServer({ cert, key, keepAliveTimeout: 5_000 }, (request, response) => {
    const answer = byTarget.get(keyOfPath(request.url ?? ''));
    response.writeHead(answer?.status ?? 404, { 'content-type': 'application/json;charset=UTF-8' });
    response.end(answer?.body);
  });
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
});
process.once('disconnect', () => process.exit());
