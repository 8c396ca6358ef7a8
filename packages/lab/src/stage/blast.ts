/**
 * What somebody runs in a guest that was taken over: everything at once against the host's local API, from the guest's own
 * address. A process of its own; it ends with its standard input. One line of JSON on the way in says what it has.
 */
import { Agent, request } from 'node:https';
import { connect as tcpConnect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { connect as tlsConnect } from 'node:tls';

export interface Spoils {
  readonly host: string;
  readonly port: number;
  /** Address of the guest. */
  readonly from: string;
  /** PEM. */
  readonly ca: readonly string[];
  readonly own: string;
  /** Of another guest. */
  readonly stolen: string;
}

/** What it was answered so far, by status; `none`: the connection was cut. Printed once a second. */
export type Answers = Record<string, number>;

function blast({ host, port, from, ca, own, stolen }: Spoils): void {
  const answers: Answers = {};
  const count = (what: string): void => void (answers[what] = (answers[what] ?? 0) + 1);
  const to = { host, port, localAddress: from, ca: [...ca], checkServerIdentity: () => undefined };
  const forEver = (lanes: number, step: () => Promise<unknown>): void => {
    for (let lane = 0; lane < lanes; lane += 1)
      void (async () => {
        for (;;) {
          await step();
          await wait(1);
        }
      })();
  };
  const ask = (kind: string, path: string, token: string, agent: Agent, body?: Buffer): Promise<void> =>
    new Promise((done) => {
      const sent = request(
        {
          ...to,
          path,
          agent,
          method: body === undefined ? 'GET' : 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        },
        (answer) => {
          count(`${kind} ${answer.statusCode ?? 0}`);
          answer.resume();
        },
      );
      sent.on('error', () => count(`${kind} none`));
      sent.on('close', () => done());
      sent.end(body);
    });
  const kept = new Agent({ keepAlive: true, maxSockets: 8 });
  forEver(8, () => ask('rate', '/v1/storage', own, kept));
  forEver(2, () => ask('stolen', '/v1/backup/status', stolen, kept));
  const giant = Buffer.alloc(8 * 1_048_576, 0x20);
  forEver(2, () => ask('giant', '/v1/manifest', own, new Agent(), giant));
  forEver(
    50,
    () =>
      new Promise((done) => {
        const socket = tlsConnect(to, () => socket.write('GET /v1/storage HTTP/1.1\r\nX-a: '));
        const drip = setInterval(() => socket.write('a'), 500);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          count('slow cut');
          clearInterval(drip);
          setTimeout(done, 100);
        });
      }),
  );
  forEver(
    50,
    () =>
      new Promise((done) => {
        const socket = tcpConnect({ host, port, localAddress: from }, () => setTimeout(() => socket.destroy(), 20));
        socket.on('error', () => undefined);
        socket.on('close', () => {
          count('connections');
          done(undefined);
        });
      }),
  );
  setInterval(() => process.stdout.write(`${JSON.stringify(answers)}\n`), 1_000);
}

if (import.meta.main) {
  const lines = createInterface({ input: process.stdin });
  lines.once('line', (line) => blast(JSON.parse(line) as Spoils));
  lines.once('close', () => process.exit());
}
